from __future__ import annotations

import pytest
from irods import exception
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import GOOD, STALE, replicas
from tests.zone.contract.conftest import Tree
from tests.zone.contract.test_put import HELLO_SHA256, put, read
from tests.zone.wire import Wire, copy_input, object_input


def replicate(wire: Wire, path: str, **keywords: str) -> int:
    return wire.call(695, object_input(path, size=-1, operation=6, **keywords)).status


def copy(wire: Wire, source: str, target: str) -> int:
    return wire.call(696, copy_input(source, target, 9)).status


def test_replicate(session: iRODSSession, wire: Wire, home: str, tree: Tree) -> None:
    path = f"{home}/object"
    put(wire, path, regChksum="")
    for resource in (tree.root, tree.other):
        session.data_objects.replicate(path, resource=resource)
        session.data_objects.replicate(path, resource=resource)
    found = replicas(session, path)
    assert [replica.hierarchy for replica in found] == [session.default_resource, tree.hierarchy, tree.other]
    assert {(replica.status, replica.size, replica.checksum) for replica in found} == {(GOOD, 5, HELLO_SHA256)}
    with session.data_objects.open(path, "r", rescName=tree.other) as content:
        assert content.read() == b"hello"


def test_update_what_is_stale(session: iRODSSession, wire: Wire, home: str, tree: Tree) -> None:
    path = f"{home}/object"
    put(wire, path)
    for resource in (tree.root, tree.other):
        assert replicate(wire, path, destRescName=resource) == 0
    put(wire, path, b"changed", forceFlag="", destRescName=session.default_resource)
    assert [replica.status for replica in replicas(session, path)] == [GOOD, STALE, STALE]
    assert replicate(wire, path, destRescName=tree.other) == 0
    assert [replica.status for replica in replicas(session, path)] == [GOOD, STALE, GOOD]
    assert replicate(wire, path, all="", updateRepl="") == 0
    assert [(replica.status, replica.size) for replica in replicas(session, path)] == [(GOOD, 7)] * 3


def test_trim_what_was_replicated(session: iRODSSession, wire: Wire, home: str, tree: Tree) -> None:
    path = f"{home}/object"
    put(wire, path)
    replicate(wire, path, destRescName=tree.other)
    session.data_objects.trim(path, replNum="0", copies="1")
    assert [replica.hierarchy for replica in replicas(session, path)] == [tree.other]
    assert read(session, path) == b"hello"


def test_what_cannot_be_replicated(wire: Wire, home: str, tree: Tree) -> None:
    put(wire, f"{home}/object")
    assert replicate(wire, f"{home}/none", destRescName=tree.other) == statuses.CAT_NO_ROWS_FOUND
    assert replicate(wire, home, destRescName=tree.other) == statuses.CAT_NO_ROWS_FOUND
    assert replicate(wire, f"{home}/object", destRescName="no-such-resource") == statuses.SYS_RESC_DOES_NOT_EXIST
    assert replicate(wire, f"{home}/object", destRescName=tree.leaf) == statuses.DIRECT_CHILD_ACCESS


def test_copy(session: iRODSSession, wire: Wire, home: str) -> None:
    put(wire, f"{home}/object")
    session.data_objects.copy(f"{home}/object", f"{home}/copy")
    assert read(session, f"{home}/copy") == b"hello"
    put(wire, f"{home}/object", b"changed", forceFlag="")
    with pytest.raises(exception.OVERWRITE_WITHOUT_FORCE_FLAG):
        session.data_objects.copy(f"{home}/object", f"{home}/copy")
    session.data_objects.copy(f"{home}/object", f"{home}/copy", forceFlag="")
    assert read(session, f"{home}/copy") == b"changed"


def test_what_cannot_be_copied(wire: Wire, home: str) -> None:
    put(wire, f"{home}/object")
    assert copy(wire, f"{home}/object", f"{home}/object") == statuses.OVERWRITE_WITHOUT_FORCE_FLAG
    assert copy(wire, f"{home}/none", f"{home}/copy") == statuses.USER_INPUT_PATH_ERR
    assert copy(wire, f"{home}/object", home) == statuses.CAT_NAME_EXISTS_AS_COLLECTION
