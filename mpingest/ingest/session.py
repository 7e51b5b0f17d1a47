"""The iRODS session of a rank: found, opened and logged in, or one line that says why not."""

from __future__ import annotations

import json
import os
from typing import Any

from irods.session import NonAnonymousLoginWithoutPassword, iRODSSession

from mpingest.errors import MpingestError
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.statuses import NETWORK_FAILURE, RequestError, status_name

REPLY_SECONDS = 600
"""How long a server may take for one reply (think of a checksum at close) before the connection counts as broken."""

_LOGIN_PROBLEMS = {
    -826000: "wrong password: run iinit",
    -827000: "no such user in the zone",
    -840000: "the password has expired: run iinit",
}


def environment_file() -> str:
    """The iRODS environment file: IRODS_ENVIRONMENT_FILE, or the one of the home directory."""
    path = os.environ.get("IRODS_ENVIRONMENT_FILE") or os.path.expanduser("~/.irods/irods_environment.json")
    return os.path.abspath(path)


def session_for(user: tuple[str, str]) -> Any:
    """An iRODSSession that acts for the user (zone or "" for the own, name); it logs in with its first request.

    Raises MpingestError where there is no usable iRODS environment.
    """
    zone, name = user
    client = {"client_user": name} | ({"client_zone": zone} if zone else {})
    return _configure(environment_file(), **client)


def own_session() -> Any:
    """An iRODSSession; it logs in with its first request. Raises MpingestError where no environment is usable."""
    return _configure(environment_file())


def checked_session(user: tuple[str, str] | None = None) -> Any:
    """An iRODSSession, acting for ``user`` if one is given, with one connection logged in.

    Raises MpingestError: one line that says what is wrong.
    """
    path = environment_file()
    session = session_for(user) if user else own_session()
    where = f"zone {session.zone} at {session.host}:{session.port}"
    try:
        Catalog(session).log_in()
    except RequestError as error:
        if error.status == NETWORK_FAILURE:
            raise MpingestError(f"{where} does not answer: is the server up, is {path} right?") from error
        raise _refused(where, session.username, error.status) from error
    return session


def _configure(path: str, **client: str) -> Any:
    try:
        with open(path, encoding="utf-8") as file:
            environment = json.load(file)
    except FileNotFoundError as error:
        raise MpingestError(f"no iRODS environment at {path}: run iinit, or set IRODS_ENVIRONMENT_FILE") from error
    except (OSError, ValueError) as error:
        raise MpingestError(f"iRODS environment {path}: {error}") from error
    missing = {"irods_host", "irods_port", "irods_user_name", "irods_zone_name"} - set(environment)
    if missing:
        raise MpingestError(f"iRODS environment {path}: lacks {', '.join(sorted(missing))}")
    try:
        return iRODSSession(
            irods_env_file=path, application_name="mpingest", connection_timeout=REPLY_SECONDS, **client
        )
    except NonAnonymousLoginWithoutPassword as error:
        raise MpingestError(f"no password for {environment['irods_user_name']}: run iinit") from error
    except OSError as error:
        raise MpingestError(f"iRODS password file: {error}") from error


def _refused(where: str, user: str, code: int) -> MpingestError:
    problem = _LOGIN_PROBLEMS.get(code, f"{status_name(code)} ({code})")
    return MpingestError(f"{where} refuses user {user}: {problem}")
