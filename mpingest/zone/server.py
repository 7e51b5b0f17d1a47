"""The server process: a directory to live in, a port to listen on, one thread a connection."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mpingest.errors import MpingestError
from mpingest.zone.agent import Agent
from mpingest.zone.catalog.users import find_user, password_of
from mpingest.zone.control import ControlServer
from mpingest.zone.counts import Counts
from mpingest.zone.environment import Account, write_environment
from mpingest.zone.faults import Faults
from mpingest.zone.settings import Settings
from mpingest.zone.zone import DEFAULT_RESOURCES, Zone

_ALL_INTERFACES = ("0.0.0.0", "::")  # noqa: S104
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_STDIN = 0
_BACKLOG = 128
_MAX_PASSWORD = 50
_GRACE = 2.0
"""Seconds that connections get to finish their request when the server stops."""


class _Stopped(BaseException):
    """A signal asked the server to stop."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP; one line on standard output says when it listens. Raises MpingestError."""
    os.umask(0o077)
    password = _read_password(settings.password_file)
    with _locked_directory(settings.directory) as directory, _listener(settings) as listener:
        server = _Server(settings, directory, listener, password)
        try:
            _raise_on_stop_signals()
            server.run()
        except _Stopped:
            server.stop()


class _Server:
    def __init__(self, settings: Settings, directory: Path, listener: socket.socket, password: str | None) -> None:
        self._listener = listener
        self._zone = Zone.open(directory, settings.zone, settings.user)
        self._counts = Counts()
        self._faults = Faults()
        self._channels: dict[threading.Thread, socket.socket] = {}
        environment = write_environment(directory, self._account(settings, password))
        self._control = ControlServer(directory, self._counts, self._faults)
        print(f"zone {self._zone.name} is ready: IRODS_ENVIRONMENT_FILE={environment}", flush=True)

    def run(self) -> None:
        """Accept connections for ever."""
        while True:
            channel, _ = self._listener.accept()
            channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(channel,), daemon=True)
            self._channels[thread] = channel
            thread.start()

    def stop(self) -> None:
        """Close everything; what clients left open becomes stale."""
        self._control.close()
        connections = list(self._channels.items())
        for _, channel in connections:
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_RD)
        for thread, _ in connections:
            thread.join(_GRACE)
        self._zone.close(clean=not any(thread.is_alive() for thread in self._channels))

    def _serve(self, channel: socket.socket) -> None:
        self._counts.connected()
        try:
            Agent(channel, self._zone, self._counts, self._faults).serve()
        finally:
            self._counts.disconnected()
            self._channels.pop(threading.current_thread(), None)

    def _account(self, settings: Settings, password: str | None) -> Account:
        host, port = self._listener.getsockname()[:2]
        reachable = socket.gethostname() if host in _ALL_INTERFACES else host
        user = settings.user
        known = self._known_password(user)
        password = password or known or secrets.token_urlsafe(24)
        if password != known:
            self._zone.set_password(user, password)
        return Account(reachable, port, self._zone.name, user, password, DEFAULT_RESOURCES[0])

    def _known_password(self, name: str) -> str | None:
        user = find_user(self._zone.db, name, self._zone.name)
        return password_of(self._zone.db, user) if user else None


def _read_password(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        password = file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MpingestError(f"can't read the password from {file}: {error}") from None
    if not 0 < len(password) <= _MAX_PASSWORD or not password.isascii():
        raise MpingestError(f"the password in {file} must be 1 to {_MAX_PASSWORD} ASCII characters")
    return password


@contextmanager
def _locked_directory(directory: Path) -> Iterator[Path]:
    """The directory, made private, for this process alone."""
    directory = directory.absolute()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MpingestError(f"can't use {directory} for a zone: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield directory
    except BlockingIOError:
        raise MpingestError(f"a zone runs in {directory} already") from None
    finally:
        os.close(lock)


@contextmanager
def _listener(settings: Settings) -> Iterator[socket.socket]:
    try:
        listener = socket.create_server((settings.host, settings.port), backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise MpingestError(f"can't listen on {settings.host} port {settings.port}: {error}") from None
    with listener:
        yield listener


def _raise_on_stop_signals() -> None:
    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise _Stopped

    for number in _STOP_SIGNALS:
        signal.signal(number, stop)


def stop_at_end_of_input() -> None:
    """Stop when standard input ends: whoever started this process is gone then, however it went."""

    def wait() -> None:
        while os.read(_STDIN, 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="stdin", daemon=True).start()
