from __future__ import annotations

import pytest
from irods import exception
from irods.client_configuration import legacy_auth
from irods.session import iRODSSession

from tests.zone.contract.conftest import PASSWORD


def log_in(session: iRODSSession, user: str, password: str, **options: str) -> None:
    with iRODSSession(
        host=session.host, port=session.port, user=user, password=password, zone=session.zone, **options
    ) as other:
        other.collections.exists(f"/{session.zone}/home")


def test_version(session: iRODSSession) -> None:
    assert session.server_version >= (4, 3)


def test_native_login(session: iRODSSession, user: str) -> None:
    log_in(session, user, PASSWORD)


def test_legacy_login(session: iRODSSession, user: str) -> None:
    legacy_auth.force_legacy_auth = True
    try:
        log_in(session, user, PASSWORD)
        with pytest.raises(exception.CAT_INVALID_AUTHENTICATION):
            log_in(session, user, "wrong")
    finally:
        legacy_auth.force_legacy_auth = False


@pytest.mark.parametrize("password", ["wrong", "", PASSWORD + "x", PASSWORD[:-1]])
def test_a_wrong_password_is_refused(session: iRODSSession, user: str, password: str) -> None:
    with pytest.raises(exception.CAT_INVALID_AUTHENTICATION):
        log_in(session, user, password)


def test_an_unknown_user_is_refused(session: iRODSSession) -> None:
    with pytest.raises(exception.CAT_INVALID_AUTHENTICATION):
        log_in(session, "nobody-of-this-name", PASSWORD)


def test_an_administrator_acts_for_a_user(proxied_session: iRODSSession, user: str) -> None:
    path = f"/{proxied_session.zone}/home/{user}/by-proxy"
    collection = proxied_session.collections.create(path)
    assert collection.owner_name == user
    collection.remove(recurse=True, force=True)


def test_a_user_acts_for_nobody_else(session: iRODSSession, user: str) -> None:
    with pytest.raises(exception.SYS_PROXYUSER_NO_PRIV):
        log_in(session, user, PASSWORD, client_user=session.username, client_zone=session.zone)


def test_nobody_acts_for_an_unknown_user(session: iRODSSession) -> None:
    password = session.pool.account.password
    with pytest.raises(exception.CAT_INVALID_CLIENT_USER):
        log_in(session, session.username, password, client_user="nobody-of-this-name", client_zone=session.zone)
