from __future__ import annotations

import pytest
from irods import exception
from irods.access import iRODSAccess
from irods.message import ModAclRequest
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.test_put import put, read
from tests.zone.wire import Wire, json_input


def grant(wire: Wire, level: str, path: str, user: str, *, recursive: bool = False, zone: str = "") -> int:
    message = ModAclRequest(recursiveFlag=int(recursive), accessLevel=level, userName=user, zone=zone, path=path)
    return wire.call(707, message).status


def rights(session: iRODSSession, path: str) -> dict[str, str]:
    is_collection = session.collections.exists(path)
    target = session.collections.get(path) if is_collection else session.data_objects.get(path)
    return {acl.user_name: acl.access_name for acl in session.acls.get(target)}


def test_levels(wire: Wire, session: iRODSSession, home: str, user: str) -> None:
    path = f"{home}/object"
    put(wire, path)
    for level, stored in (("read", "read_object"), ("write", "modify_object"), ("own", "own")):
        assert grant(wire, level, path, user) == 0
        assert rights(session, path) == {session.username: "own", user: stored}
    assert grant(wire, "modify_metadata", path, user) == 0
    assert rights(session, path)[user] == "modify_metadata"
    assert grant(wire, "null", path, user) == 0
    assert grant(wire, "null", path, user) == 0
    assert rights(session, path) == {session.username: "own"}


def test_the_clients_own_way(session: iRODSSession, home: str, user: str) -> None:
    session.acls.set(iRODSAccess("read", home, user))
    assert rights(session, home) == {session.username: "own", user: "read_object"}


def test_what_makes_no_sense(wire: Wire, session: iRODSSession, home: str, user: str) -> None:
    path = f"{home}/object"
    put(wire, path)
    assert grant(wire, "bogus", path, user) == statuses.CAT_INVALID_ARGUMENT
    assert grant(wire, "read", path, "nobody-of-this-name") == statuses.CAT_INVALID_USER
    assert grant(wire, "read", path, user, zone="noZone") == statuses.CAT_INVALID_USER
    assert grant(wire, "read", f"{home}/none", user) == statuses.CAT_INVALID_ARGUMENT
    assert grant(wire, "read", path, user, recursive=True) == statuses.CAT_INVALID_ARGUMENT
    assert grant(wire, "inherit", path, "") == statuses.CAT_NO_ACCESS_PERMISSION


def test_recursive(wire: Wire, session: iRODSSession, home: str, user: str) -> None:
    session.collections.create(f"{home}/outer/inner")
    put(wire, f"{home}/outer/inner/object")
    assert grant(wire, "write", f"{home}/outer", user, recursive=True) == 0
    for path in (f"{home}/outer", f"{home}/outer/inner", f"{home}/outer/inner/object"):
        assert rights(session, path)[user] == "modify_object"


def test_inheritance(wire: Wire, session: iRODSSession, home: str, user: str) -> None:
    assert grant(wire, "read", home, user) == 0
    put(wire, f"{home}/before")
    assert grant(wire, "inherit", home, "") == 0
    put(wire, f"{home}/after")
    session.collections.create(f"{home}/inner")
    assert rights(session, f"{home}/before") == {session.username: "own"}
    assert rights(session, f"{home}/after") == {session.username: "own", user: "read_object"}
    assert rights(session, f"{home}/inner") == {session.username: "own", user: "read_object"}
    assert session.collections.get(f"{home}/inner").inheritance
    assert grant(wire, "noinherit", home, "") == 0
    assert not session.collections.get(home).inheritance


def test_a_level_allows_what_it_says(
    wire: Wire, session: iRODSSession, user_session: iRODSSession, home: str, user: str
) -> None:
    path = f"{home}/object"
    put(wire, path)
    with pytest.raises(exception.OBJ_PATH_DOES_NOT_EXIST):
        read(user_session, path)
    grant(wire, "read", path, user)
    with pytest.raises(exception.OBJ_PATH_DOES_NOT_EXIST):
        read(user_session, path)
    grant(wire, "read", home, user)
    assert read(user_session, path) == b"hello"
    with pytest.raises(exception.CAT_NO_ACCESS_PERMISSION):
        user_session.data_objects.unlink(path, force=True)
    grant(wire, "own", path, user)
    user_session.data_objects.unlink(path, force=True)


def test_only_owners_grant(wire: Wire, user_session: iRODSSession, home: str, user: str) -> None:
    path = f"{home}/object"
    put(wire, path)
    theirs = Wire(user_session)
    assert grant(theirs, "own", path, user) == statuses.CAT_NO_ACCESS_PERMISSION
    assert grant(theirs, "admin:own", path, user) == statuses.CAT_NO_ACCESS_PERMISSION


def test_administrators_grant_to_themselves(wire: Wire, session: iRODSSession, user_session: iRODSSession) -> None:
    path = f"/{session.zone}/home/{user_session.username}/object"
    put(Wire(user_session), path)
    with pytest.raises(exception.CAT_NO_ACCESS_PERMISSION):
        session.data_objects.unlink(path, force=True)
    assert grant(wire, "own", path, session.username) == statuses.CAT_NO_ACCESS_PERMISSION
    assert grant(wire, "admin:own", path, session.username) == 0
    session.data_objects.unlink(path, force=True)


def test_several_at_once(wire: Wire, session: iRODSSession, home: str, user: str) -> None:
    path = f"{home}/object"
    put(wire, path)

    def apply(*operations: dict[str, str]) -> int:
        return wire.call(20005, json_input(logical_path=path, operations=list(operations))).status

    assert apply({"entity_name": user, "acl": "read"}, {"entity_name": "public", "acl": "write"}) == 0
    assert rights(session, path) == {session.username: "own", user: "read_object", "public": "modify_object"}
    wrong = apply({"entity_name": user, "acl": "null"}, {"entity_name": "nobody-of-this-name", "acl": "read"})
    assert wrong == statuses.SYS_INVALID_INPUT_PARAM
    assert rights(session, path)[user] == "read_object"


def test_groups(wire: Wire, session: iRODSSession, user_session: iRODSSession, home: str, user: str) -> None:
    group = f"group-of-{user}"
    session.groups.create(group)
    try:
        session.groups.addmember(group, user)
        assert [member.name for member in session.groups.getmembers(group)] == [user]
        put(wire, f"{home}/object")
        for path in (home, f"{home}/object"):
            assert grant(wire, "read", path, group) == 0
        assert rights(session, home) == {session.username: "own", group: "read_object"}
        assert read(user_session, f"{home}/object") == b"hello"
        session.groups.removemember(group, user)
        with pytest.raises(exception.OBJ_PATH_DOES_NOT_EXIST):
            read(user_session, f"{home}/object")
    finally:
        session.groups.remove(group)
