from __future__ import annotations

import pytest
from irods import exception
from irods.client_configuration import legacy_auth
from irods.message import Message, StringStringMap
from irods.message.property_types import StringProperty, SubmessageProperty
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.conftest import PASSWORD
from tests.zone.wire import Wire, collection_input


class SwitchUserRequest(Message):
    _name = "SwitchUserInp_PI"
    username = StringProperty()
    zone = StringProperty()
    KeyValPair_PI = SubmessageProperty(StringStringMap)


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


def switch_user(wire: Wire, name: str, zone: str) -> int:
    return wire.call(20012, SwitchUserRequest(username=name, zone=zone, KeyValPair_PI=StringStringMap())).status


def test_a_connection_switches_to_another_user(wire: Wire, session: iRODSSession, home: str, user: str) -> None:
    assert switch_user(wire, "nobody-of-this-name", session.zone) == statuses.CAT_INVALID_USER
    assert switch_user(wire, user, session.zone) == 0
    create = 681
    assert wire.call(create, collection_input(f"{home}/x")).status == statuses.CAT_NO_ACCESS_PERMISSION
    path = f"/{session.zone}/home/{user}/switched"
    assert wire.call(create, collection_input(path)).status == 0
    assert session.collections.get(path).owner_name == user
    assert switch_user(wire, session.username, session.zone) == 0
    assert wire.call(create, collection_input(f"{home}/x")).status == 0


def test_only_administrators_switch(user_session: iRODSSession, session: iRODSSession) -> None:
    assert switch_user(Wire(user_session), session.username, session.zone) == statuses.SYS_PROXYUSER_NO_PRIV


def test_nobody_acts_for_an_unknown_user(session: iRODSSession) -> None:
    password = session.pool.account.password
    with pytest.raises(exception.CAT_INVALID_CLIENT_USER):
        log_in(session, session.username, password, client_user="nobody-of-this-name", client_zone=session.zone)
