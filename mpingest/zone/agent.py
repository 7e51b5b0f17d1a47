"""One connection: startup, login, then request and reply until the client leaves."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sqlite3
import time
from typing import BinaryIO, cast

from mpingest.zone.api.finalize import abandon, release
from mpingest.zone.api.table import HANDLERS
from mpingest.zone.auth import Identity, Login
from mpingest.zone.counts import Counts
from mpingest.zone.faults import Action, Fault, Faults
from mpingest.zone.frame import Frame, FrameError, read_frame, write_frame
from mpingest.zone.messages import pack_error
from mpingest.zone.numbers import Api
from mpingest.zone.pack import Element, PackError, leaf, pack, unpack
from mpingest.zone.session import Handler, Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError
from mpingest.zone.zone import Zone

RELEASE = "rods5.0.90"
_NEGOTIATION = "request_server_negotiation"
_LOGIN_APIS = {Api.AUTH_REQUEST_AN, Api.AUTH_RESPONSE_AN, Api.AUTHENTICATION_APN}

_log = logging.getLogger(__name__)


class Dropped(Exception):
    """The connection is to be closed now, without an answer."""


class Died(Dropped):
    """The same, and nothing is cleaned up."""


class Agent:
    """Serves one connection until it ends."""

    def __init__(self, channel: socket.socket, zone: Zone, counts: Counts, faults: Faults) -> None:
        self._channel = channel
        self._reader = cast(BinaryIO, channel.makefile("rb", buffering=1 << 16))
        self._zone = zone
        self._counts = counts
        self._faults = faults
        self._session: Session | None = None
        self._died = False

    def serve(self) -> None:
        """Until the client disconnects, breaks off or stops speaking the protocol."""
        try:
            identity = self._start()
            if identity:
                self._answer_requests(Login(self._zone, identity))
        except (FrameError, PackError) as error:
            _log.warning("connection closed: %s", error)
        except Died:
            self._died = True
        except (Dropped, OSError):
            pass
        finally:
            self._clean_up()

    def _start(self) -> Identity | None:
        frame = read_frame(self._reader)
        if frame is None or frame.kind != "RODS_CONNECT":
            return None
        startup = unpack(frame.message)
        if startup.string("option", "").endswith(_NEGOTIATION):
            self._negotiate()
        limit = self._faults.max_connections
        if limit is not None and self._counts.snapshot()[2] > limit:
            self._send_version(Status.SYS_MAX_CONNECT_COUNT_EXCEEDED)
            return None
        self._send_version(0)
        return Identity(
            startup.string("proxyUser"),
            startup.string("proxyRcatZone"),
            startup.string("clientUser"),
            startup.string("clientRcatZone"),
        )

    def _negotiate(self) -> None:
        """Plain connections only: the client that insists on TLS leaves."""
        message = pack("CS_NEG_PI", leaf("status", 1), leaf("result", "CS_NEG_REFUSE")).encode()
        write_frame(self._channel, Frame("RODS_CS_NEG_T", message=message))
        if read_frame(self._reader) is None:
            raise Dropped

    def _send_version(self, status: int) -> None:
        version = pack(
            "Version_PI",
            leaf("status", int(status)),
            leaf("relVersion", RELEASE),
            leaf("apiVersion", "d"),
            leaf("reconnPort", 0),
            leaf("reconnAddr", ""),
            leaf("cookie", 400),
        )
        write_frame(self._channel, Frame("RODS_VERSION", int(status), version.encode()))

    def _answer_requests(self, login: Login) -> None:
        while True:
            frame = read_frame(self._reader)
            if frame is None or frame.kind == "RODS_DISCONNECT":
                return
            if frame.kind != "RODS_API_REQ":
                raise FrameError(f"unexpected {frame.kind}")
            self._answer(frame, login)

    def _answer(self, frame: Frame, login: Login) -> None:
        before = self._zone.db.thread_changes
        try:
            answer = self._reply(frame, login)
        finally:
            self._counts.count(frame.info, changed=self._zone.db.thread_changes != before)
        write_frame(self._channel, answer)

    def _reply(self, frame: Frame, login: Login) -> Frame:
        """What to say to a request, whatever becomes of it. Raises Dropped."""
        faults = self._faults.hitting(frame.info)
        try:
            with self._faults.turn():
                _strike_before(faults)
                reply = self._handle(frame, login)
                _strike_after(faults)
        except ZoneError as error:
            return _error_frame(error)
        except PackError as error:
            return _error_frame(ZoneError(Status.SYS_PACK_INSTRUCT_FORMAT_ERR, str(error)))
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            return _error_frame(ZoneError(Status.CAT_SQL_ERR, str(error)))
        except Dropped:
            raise
        except Exception:
            _log.exception("request %d failed", frame.info)
            return _error_frame(ZoneError(Status.SYS_INTERNAL_ERR))
        return Frame("RODS_API_REPLY", reply.status, reply.message, stream=reply.stream)

    def _handle(self, frame: Frame, login: Login) -> Reply:
        request = Request(frame.info, _message(frame), frame.stream)
        if self._session is None or frame.info in _LOGIN_APIS:
            return self._log_in(login, request)
        return _handler(frame.info)(self._session, request)

    def _log_in(self, login: Login, request: Request) -> Reply:
        if self._faults.refuse_logins:
            raise ZoneError(Status.CAT_INVALID_AUTHENTICATION)
        reply, session = login.answer(request)
        self._session = session or self._session
        return reply

    def _clean_up(self) -> None:
        if self._session:
            for opened in self._session.descriptors.drain():
                if self._died:
                    release(opened)
                    continue
                with contextlib.suppress(ZoneError, sqlite3.Error):
                    abandon(self._session, opened)
        self._reader.close()
        self._channel.close()


def _error_frame(error: ZoneError) -> Frame:
    text = pack_error(0, error.message) if error.message else b""
    return Frame("RODS_API_REPLY", error.status, error=text)


def _message(frame: Frame) -> Element | None:
    return unpack(frame.message) if frame.message else None


def _handler(number: int) -> Handler:
    if number not in HANDLERS:
        raise ZoneError(Status.SYS_UNMATCHED_API_NUM)
    return HANDLERS[number]


def _strike_before(faults: list[Fault]) -> None:
    for fault in faults:
        match fault.action:
            case Action.FAIL:
                raise ZoneError(fault.status)
            case Action.DROP_BEFORE:
                raise Dropped
            case Action.DIE:
                raise Died
            case Action.DELAY:
                time.sleep(fault.seconds)


def _strike_after(faults: list[Fault]) -> None:
    if any(fault.action == Action.CRASH for fault in faults):
        os.kill(os.getpid(), signal.SIGKILL)
    if any(fault.action == Action.DROP_AFTER for fault in faults):
        raise Dropped
