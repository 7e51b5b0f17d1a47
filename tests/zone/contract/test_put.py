from __future__ import annotations

import os
from pathlib import Path

import pytest
from irods import exception
from irods.models import DataObject
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import GOOD, STALE, replicas
from tests.zone.contract.conftest import Tree
from tests.zone.wire import Wire, object_input

HELLO_SHA256 = "sha2:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
HELLO_MD5 = "5d41402abc4b2a76b9719d911017c592"


def put(wire: Wire, path: str, content: bytes = b"hello", **keywords: str) -> int:
    message = object_input(path, size=len(content), operation=1, dataIncluded="", **keywords)
    return wire.call(606, message, content).status


def read(session: iRODSSession, path: str) -> bytes:
    with session.data_objects.open(path, "r") as content:
        return content.read()


@pytest.mark.parametrize("content", [b"", b"x", b"hello", bytes(range(256)) * 4096])
def test_a_new_object(wire: Wire, session: iRODSSession, home: str, content: bytes) -> None:
    assert put(wire, f"{home}/object", content) == 0
    (replica,) = replicas(session, f"{home}/object")
    assert (replica.status, replica.size, replica.checksum) == (GOOD, len(content), "")
    assert read(session, f"{home}/object") == content


def test_what_exists_needs_force(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object", b"a longer first version")
    assert put(wire, f"{home}/object") == statuses.OVERWRITE_WITHOUT_FORCE_FLAG
    assert put(wire, f"{home}/object", b"hello", forceFlag="") == 0
    assert read(session, f"{home}/object") == b"hello"
    assert [replica.size for replica in replicas(session, f"{home}/object")] == [5]


def test_a_collection_is_no_object(wire: Wire, home: str) -> None:
    assert put(wire, home) == statuses.OVERWRITE_WITHOUT_FORCE_FLAG
    assert put(wire, home, forceFlag="") == statuses.CAT_NAME_EXISTS_AS_COLLECTION


def test_what_cannot_be_put(wire: Wire, home: str, tree: Tree) -> None:
    assert put(wire, f"{home}/none/object") == statuses.CAT_UNKNOWN_COLLECTION
    assert put(wire, f"{home}/object", destRescName="no-such-resource") == statuses.SYS_RESC_DOES_NOT_EXIST
    assert put(wire, f"{home}/object", resc_hier="no-such-resource") == statuses.SYS_RESC_DOES_NOT_EXIST
    assert put(wire, f"{home}/object", destRescName=tree.middle) == statuses.DIRECT_CHILD_ACCESS
    assert put(wire, f"{home}/object", destRescName=tree.leaf) == statuses.DIRECT_CHILD_ACCESS


def test_below_an_object(wire: Wire, home: str) -> None:
    put(wire, f"{home}/object")
    assert put(wire, f"{home}/object/below") == statuses.CAT_UNKNOWN_COLLECTION


def test_into_a_tree(wire: Wire, session: iRODSSession, home: str, tree: Tree) -> None:
    assert put(wire, f"{home}/root", destRescName=tree.root) == 0
    assert put(wire, f"{home}/hierarchy", resc_hier=tree.hierarchy) == 0
    assert put(wire, f"{home}/leaf", resc_hier=tree.leaf) == 0
    for name in ("root", "hierarchy", "leaf"):
        assert [replica.hierarchy for replica in replicas(session, f"{home}/{name}")] == [tree.hierarchy]


def test_force_stays_on_its_resource(wire: Wire, session: iRODSSession, home: str, tree: Tree) -> None:
    put(wire, f"{home}/object")
    refused = put(wire, f"{home}/object", b"more", forceFlag="", destRescName=tree.other)
    assert refused == statuses.HIERARCHY_ERROR
    assert read(session, f"{home}/object") == b"hello"


def test_a_wrong_length_leaves_a_stale_replica(wire: Wire, session: iRODSSession, home: str) -> None:
    message = object_input(f"{home}/object", size=9, operation=1, dataIncluded="")
    assert wire.call(606, message, b"hello").status == statuses.SYS_COPY_LEN_ERR
    assert [replica.status for replica in replicas(session, f"{home}/object")] == [STALE]
    assert put(wire, f"{home}/object", forceFlag="") == 0
    assert [replica.status for replica in replicas(session, f"{home}/object")] == [GOOD]


@pytest.mark.parametrize("checksum", [HELLO_SHA256, HELLO_MD5])
def test_a_verified_checksum(wire: Wire, session: iRODSSession, home: str, checksum: str) -> None:
    assert put(wire, f"{home}/object", verifyChksum=checksum) == 0
    assert [replica.checksum for replica in replicas(session, f"{home}/object")] == [checksum]


def test_a_checksum_that_is_wrong(wire: Wire, session: iRODSSession, home: str) -> None:
    assert put(wire, f"{home}/object", verifyChksum="sha2:wrong") == statuses.USER_CHKSUM_MISMATCH
    assert [replica.status for replica in replicas(session, f"{home}/object")] == [STALE]


def test_a_registered_checksum(wire: Wire, session: iRODSSession, home: str) -> None:
    assert put(wire, f"{home}/object", regChksum="") == 0
    assert [replica.checksum for replica in replicas(session, f"{home}/object")] == [HELLO_SHA256]
    assert put(wire, f"{home}/object", b"other", forceFlag="") == 0
    assert [replica.checksum for replica in replicas(session, f"{home}/object")] == [""]


def test_metadata_and_rights_in_the_same_request(wire: Wire, session: iRODSSession, home: str, user: str) -> None:
    keywords = {"metadataIncluded": "a;b;c;d;e;;", "aclIncluded": f"read {user};"}
    assert put(wire, f"{home}/object", **keywords) == 0
    found = {(meta.name, meta.value, meta.units or "") for meta in session.metadata.get(DataObject, f"{home}/object")}
    assert found == {("a", "b", "c"), ("d", "e", "")}
    acls = session.acls.get(session.data_objects.get(f"{home}/object"))
    assert {(acl.user_name, acl.access_name) for acl in acls} == {
        *((session.username, "own"), (user, "read_object")),
    }


def test_rights_for_nobody(wire: Wire, session: iRODSSession, home: str) -> None:
    assert put(wire, f"{home}/object", aclIncluded="read nobody-of-this-name;") == statuses.CAT_INVALID_USER
    assert [replica.status for replica in replicas(session, f"{home}/object")] == [STALE]


def test_users_put_where_they_may(user_session: iRODSSession, home: str, user: str) -> None:
    wire = Wire(user_session)
    assert put(wire, f"{home}/object") == statuses.CAT_NO_ACCESS_PERMISSION
    path = f"/{user_session.zone}/home/{user}/object"
    assert put(wire, path) == 0
    user_session.data_objects.unlink(path, force=True)


def test_the_clients_own_put_and_get(session: iRODSSession, home: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(content := os.urandom(3_000_000))
    session.data_objects.put(str(tmp_path / "source"), f"{home}/object")
    session.data_objects.get(f"{home}/object", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == content
    (tmp_path / "source").write_bytes(b"shorter")
    session.data_objects.put(str(tmp_path / "source"), f"{home}/object", forceFlag="")
    assert [replica.size for replica in replicas(session, f"{home}/object")] == [7]


def test_the_client_does_not_overwrite_without_force(session: iRODSSession, home: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"1")
    session.data_objects.put(str(tmp_path / "source"), f"{home}/object", forceFlag=None)
    with pytest.raises(exception.OVERWRITE_WITHOUT_FORCE_FLAG):
        session.data_objects.put(str(tmp_path / "source"), f"{home}/object", forceFlag=None)


def test_parallel_put_and_get(session: iRODSSession, home: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(content := os.urandom(40_000_000))
    session.data_objects.put(str(tmp_path / "source"), f"{home}/object", num_threads=3)
    (replica,) = replicas(session, f"{home}/object")
    assert (replica.status, replica.size) == (GOOD, len(content))
    session.data_objects.get(f"{home}/object", str(tmp_path / "copy"), num_threads=3)
    assert (tmp_path / "copy").read_bytes() == content
