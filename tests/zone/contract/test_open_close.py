from __future__ import annotations

import os
import time

import pytest
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import GOOD, INTERMEDIATE, STALE, WRITE_LOCKED, replicas
from tests.zone.contract.conftest import Tree
from tests.zone.contract.test_put import HELLO_SHA256, put, read
from tests.zone.wire import Reply, Wire, json_input, object_input, opened_input

READ, WRITE, CREATE, TRUNCATE = os.O_RDONLY, os.O_WRONLY, os.O_CREAT, os.O_TRUNC


def open_object(wire: Wire, path: str, flags: int, size: int = -1, **keywords: str) -> int:
    return wire.call(602, object_input(path, flags=flags, size=size, **keywords)).status


def write(wire: Wire, descriptor: int, content: bytes) -> int:
    return wire.call(676, opened_input(descriptor, length=len(content)), content).status


def seek(wire: Wire, descriptor: int, offset: int, whence: int = os.SEEK_SET) -> Reply:
    return wire.call(674, opened_input(descriptor, offset=offset, whence=whence))


def close(wire: Wire, descriptor: int) -> int:
    return wire.call(673, opened_input(descriptor)).status


def test_write_and_read(wire: Wire, session: iRODSSession, home: str) -> None:
    descriptor = open_object(wire, f"{home}/object", WRITE | CREATE)
    assert descriptor >= 3
    assert [replica.status for replica in replicas(session, f"{home}/object")] == [INTERMEDIATE]
    assert write(wire, descriptor, b"hello ") == 6
    assert write(wire, descriptor, b"world") == 5
    assert seek(wire, descriptor, 0, os.SEEK_END).text("offset") == "11"
    assert close(wire, descriptor) == 0
    (replica,) = replicas(session, f"{home}/object")
    assert (replica.status, replica.size) == (GOOD, 11)
    descriptor = open_object(wire, f"{home}/object", READ)
    first = wire.call(675, opened_input(descriptor, length=5))
    assert (first.status, first.stream) == (5, b"hello")
    rest = wire.call(675, opened_input(descriptor, length=100))
    assert (rest.status, rest.stream) == (6, b" world")
    assert wire.call(675, opened_input(descriptor, length=100)).status == 0
    assert close(wire, descriptor) == 0


def test_what_cannot_be_opened(wire: Wire, home: str) -> None:
    assert open_object(wire, f"{home}/object", READ) == statuses.OBJ_PATH_DOES_NOT_EXIST
    assert open_object(wire, f"{home}/object", WRITE) == statuses.OBJ_PATH_DOES_NOT_EXIST
    assert open_object(wire, f"{home}/none/object", READ) == statuses.OBJ_PATH_DOES_NOT_EXIST
    assert open_object(wire, f"{home}/none/object", WRITE | CREATE) == statuses.CAT_UNKNOWN_COLLECTION
    assert open_object(wire, home, READ) == statuses.OBJ_PATH_DOES_NOT_EXIST
    assert open_object(wire, home, WRITE | CREATE) == statuses.CAT_NAME_EXISTS_AS_COLLECTION


def test_descriptors_that_are_not_open(wire: Wire) -> None:
    assert close(wire, 1) < 0
    assert close(wire, 99_999) < 0
    assert close(wire, 77) < 0
    assert write(wire, 77, b"x") < 0


def test_reading_is_not_writing(wire: Wire, home: str) -> None:
    put(wire, f"{home}/object")
    descriptor = open_object(wire, f"{home}/object", READ)
    assert write(wire, descriptor, b"x") < 0
    assert seek(wire, descriptor, -5).status < 0
    assert seek(wire, descriptor, 0, 9).status < 0
    assert close(wire, descriptor) == 0


def test_append(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object", regChksum="")
    with session.data_objects.open(f"{home}/object", "a") as content:
        content.write(b", world")
    assert read(session, f"{home}/object") == b"hello, world"
    assert replicas(session, f"{home}/object")[0].checksum == ""


def test_opening_to_write_and_writing_nothing_changes_nothing(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object", regChksum="")
    before = replicas(session, f"{home}/object")
    descriptor = open_object(wire, f"{home}/object", WRITE)
    assert replicas(session, f"{home}/object")[0].status == INTERMEDIATE
    assert close(wire, descriptor) == 0
    assert replicas(session, f"{home}/object") == before


def test_truncate_on_open(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object", regChksum="")
    descriptor = open_object(wire, f"{home}/object", WRITE | TRUNCATE)
    assert close(wire, descriptor) == 0
    (replica,) = replicas(session, f"{home}/object")
    assert (replica.status, replica.size, replica.checksum) == (GOOD, 0, "")


def test_a_size_that_was_announced_and_not_reached(wire: Wire, session: iRODSSession, home: str) -> None:
    descriptor = open_object(wire, f"{home}/object", WRITE | CREATE, size=100, dataSize="100")
    write(wire, descriptor, b"abc")
    assert close(wire, descriptor) == 3
    (replica,) = replicas(session, f"{home}/object")
    assert (replica.status, replica.size) == (STALE, 3)


def test_checksums_on_close(wire: Wire, session: iRODSSession, home: str) -> None:
    descriptor = open_object(wire, f"{home}/registered", WRITE | CREATE, regChksum="")
    write(wire, descriptor, b"hello")
    assert close(wire, descriptor) == 0
    assert replicas(session, f"{home}/registered")[0].checksum == HELLO_SHA256
    descriptor = open_object(wire, f"{home}/wrong", WRITE | CREATE, verifyChksum="sha2:wrong")
    write(wire, descriptor, b"hello")
    assert close(wire, descriptor) == statuses.USER_CHKSUM_MISMATCH
    assert replicas(session, f"{home}/wrong")[0].status == STALE


def test_nobody_gets_at_what_is_being_written(wire: Wire, session: iRODSSession, home: str) -> None:
    path, hierarchy = f"{home}/object", session.default_resource
    descriptor = open_object(wire, path, WRITE | CREATE)
    other = Wire(session)
    assert open_object(other, path, READ) == statuses.HIERARCHY_ERROR
    assert open_object(other, path, WRITE) == statuses.HIERARCHY_ERROR
    assert open_object(other, path, WRITE, resc_hier=hierarchy) == statuses.INTERMEDIATE_REPLICA_ACCESS
    wrong = {"resc_hier": hierarchy, "replicaToken": "wrong"}
    assert open_object(other, path, WRITE, **wrong) == statuses.INTERMEDIATE_REPLICA_ACCESS
    assert put(other, path, forceFlag="") == statuses.HIERARCHY_ERROR
    assert other.call(615, object_input(path, forceFlag="")).status == statuses.LOCKED_DATA_OBJECT_ACCESS
    assert other.call(615, object_input(path)).status == statuses.HIERARCHY_ERROR
    assert close(wire, descriptor) == 0
    assert open_object(other, path, READ) >= 3


def test_a_token_lets_others_write_the_same_replica(wire: Wire, session: iRODSSession, home: str) -> None:
    descriptor = open_object(wire, f"{home}/object", WRITE | CREATE)
    info = wire.call(20000, json_input(fd=descriptor)).json()
    keywords = {"replicaToken": info["replica_token"], "resc_hier": info["data_object_info"]["resource_hierarchy"]}
    other = Wire(session)
    second = open_object(other, f"{home}/object", WRITE, **keywords)
    assert second >= 3
    seek(other, second, 3)
    write(other, second, b"DEF")
    flags = dict.fromkeys(("send_notification", "update_size", "update_status", "compute_checksum"), False)
    assert other.call(20004, json_input(fd=second, **flags)).status == 0
    assert replicas(session, f"{home}/object")[0].status == INTERMEDIATE
    write(wire, descriptor, b"ABC")
    assert close(wire, descriptor) == 0
    assert read(session, f"{home}/object") == b"ABCDEF"


def test_a_dropped_connection_leaves_a_stale_replica(wire: Wire, session: iRODSSession, home: str) -> None:
    descriptor = open_object(wire, f"{home}/object", WRITE | CREATE)
    write(wire, descriptor, b"ABC")
    wire.drop()
    deadline = time.monotonic() + 20
    while replicas(session, f"{home}/object")[0].status == INTERMEDIATE and time.monotonic() < deadline:
        time.sleep(0.05)
    (replica,) = replicas(session, f"{home}/object")
    assert (replica.status, replica.size) == (STALE, 3)
    assert put(Wire(session), f"{home}/object", forceFlag="") == 0
    assert replicas(session, f"{home}/object")[0].status == GOOD


def test_siblings_are_locked_and_then_stale(wire: Wire, session: iRODSSession, home: str, tree: Tree) -> None:
    path = f"{home}/object"
    assert put(wire, path) == 0
    assert wire.call(630, object_input(path, filePath="/f", dataSize="5", regRepl="", resc_hier=tree.other)).status == 0
    descriptor = open_object(wire, path, WRITE, resc_hier=session.default_resource)
    assert [replica.status for replica in replicas(session, path)] == [INTERMEDIATE, WRITE_LOCKED]
    write(wire, descriptor, b"HELLO")
    assert close(wire, descriptor) == 0
    assert [replica.status for replica in replicas(session, path)] == [GOOD, STALE]


@pytest.mark.parametrize("mode", ["r", "r+"])
def test_the_client_opens_what_is_there(session: iRODSSession, home: str, wire: Wire, mode: str) -> None:
    put(wire, f"{home}/object")
    with session.data_objects.open(f"{home}/object", mode) as content:
        assert content.read() == b"hello"


def test_create(wire: Wire, session: iRODSSession, home: str) -> None:
    session.data_objects.create(f"{home}/object")
    assert [replica.size for replica in replicas(session, f"{home}/object")] == [0]
