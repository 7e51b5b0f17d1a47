from __future__ import annotations

from pathlib import Path

import pytest
from irods import exception
from irods.models import Collection
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import replicas
from tests.zone.contract.conftest import Tree
from tests.zone.contract.test_put import HELLO_SHA256, put, read
from tests.zone.wire import Wire, object_input


def checksum(wire: Wire, path: str, **keywords: str) -> int | str:
    reply = wire.call(629, object_input(path, **keywords))
    return reply.text("myStr") if reply.message and not reply.status else reply.status


def test_size_and_time_of_a_replica(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object", regChksum="")
    columns = {"dataSize": "77", "dataModify": "01500000000", "chksum": ""}
    session.data_objects.modDataObjMeta({"objPath": f"{home}/object", "replNum": 0}, columns)
    (replica,) = replicas(session, f"{home}/object")
    assert (replica.size, replica.modified, replica.checksum) == (77, 1500000000, "")


def test_a_replica_by_its_hierarchy(wire: Wire, session: iRODSSession, home: str, tree: Tree) -> None:
    put(wire, f"{home}/object", resc_hier=tree.hierarchy)
    change = session.data_objects.modDataObjMeta
    change({"objPath": f"{home}/object", "rescHier": tree.hierarchy}, {"dataSize": "8"})
    assert replicas(session, f"{home}/object")[0].size == 8
    with pytest.raises(exception.CAT_SUCCESS_BUT_WITH_NO_INFO):
        change({"objPath": f"{home}/object", "rescHier": tree.other}, {"dataSize": "9"})


def test_one_replica_or_all(wire: Wire, session: iRODSSession, home: str, tree: Tree, file: Path) -> None:
    path = f"{home}/object"
    wire.call(630, object_input(path, filePath=str(file)))
    wire.call(630, object_input(path, filePath=str(file), regRepl="", resc_hier=tree.other, dataSize="5"))
    session.data_objects.modDataObjMeta({"objPath": path, "replNum": 1}, {"dataSize": "7"})
    assert [replica.size for replica in replicas(session, path)] == [5, 7]
    session.data_objects.modDataObjMeta({"objPath": path, "replNum": 0}, {"replStatus": "1"})
    assert [replica.status for replica in replicas(session, path)] == [1, 1]
    session.data_objects.modDataObjMeta({"objPath": path}, {"dataSize": "8"})
    assert [replica.size for replica in replicas(session, path)] == [8, 8]


def test_what_is_not_there_cannot_be_changed(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object")
    change = session.data_objects.modDataObjMeta
    with pytest.raises(exception.CAT_SUCCESS_BUT_WITH_NO_INFO):
        change({"objPath": f"{home}/object", "replNum": 9}, {"dataSize": "1"})
    with pytest.raises(exception.CAT_UNKNOWN_FILE):
        change({"objPath": f"{home}/none", "replNum": 0}, {"dataSize": "1"})
    with pytest.raises(exception.CAT_NO_ROWS_FOUND):
        change({"objPath": f"{home}/none"}, {"dataSize": "1"})
    with pytest.raises(exception.CAT_UNKNOWN_COLLECTION):
        change({"objPath": f"{home}/none/object", "replNum": 0}, {"dataSize": "1"})
    for columns in ({"dataSize": "abc"}, {"noSuchColumn": "1"}):
        with pytest.raises(exception.CAT_SQL_ERR):
            change({"objPath": f"{home}/object", "replNum": 0}, columns)


def test_only_administrators_change_sizes(user_session: iRODSSession, user: str) -> None:
    path = f"/{user_session.zone}/home/{user}/object"
    put(Wire(user_session), path)
    with pytest.raises(exception.SYS_NO_API_PRIV):
        user_session.data_objects.modDataObjMeta({"objPath": path, "replNum": 0}, {"dataSize": "1"})
    user_session.data_objects.unlink(path, force=True)


def test_checksum(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object")
    assert checksum(wire, f"{home}/object") == HELLO_SHA256
    assert replicas(session, f"{home}/object")[0].checksum == HELLO_SHA256
    assert checksum(wire, f"{home}/object", forceChksum="") == HELLO_SHA256
    assert checksum(wire, f"{home}/object", replNum="0") == HELLO_SHA256
    assert checksum(wire, f"{home}/object", verifyChksum="") == 0
    assert session.data_objects.chksum(f"{home}/object") == HELLO_SHA256


def test_checksums_that_there_are_not(wire: Wire, home: str) -> None:
    put(wire, f"{home}/object")
    assert checksum(wire, f"{home}/none") == statuses.CAT_NO_ROWS_FOUND
    assert checksum(wire, home) == statuses.CAT_NO_ROWS_FOUND
    assert checksum(wire, f"{home}/object", replNum="5") == statuses.SYS_REPLICA_DOES_NOT_EXIST
    assert checksum(wire, f"{home}/object", rescName="no-such-resource") == statuses.SYS_RESC_DOES_NOT_EXIST


def test_touch(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object")
    session.data_objects.touch(f"{home}/object", seconds_since_epoch=1400000000)
    assert replicas(session, f"{home}/object")[0].modified == 1400000000
    session.collections.touch(home, seconds_since_epoch=1400000001)
    row = session.query(Collection.modify_time).filter(Collection.name == home).one()
    assert row[Collection.modify_time].timestamp() == 1400000001


def test_touch_what_is_not_there(session: iRODSSession, home: str, tree: Tree) -> None:
    session.data_objects.touch(f"{home}/none", no_create=True)
    assert not replicas(session, f"{home}/none")
    session.data_objects.touch(f"{home}/new", leaf_resource_name=tree.leaf)
    assert [(replica.size, replica.hierarchy) for replica in replicas(session, f"{home}/new")] == [(0, tree.hierarchy)]
    with pytest.raises(exception.CAT_UNKNOWN_COLLECTION):
        session.data_objects.touch(f"{home}/none/new")
    with pytest.raises(exception.SYS_REPLICA_DOES_NOT_EXIST):
        session.data_objects.touch(f"{home}/new", replica_number=4)
    with pytest.raises(exception.USER_INCOMPATIBLE_PARAMS):
        session.data_objects.touch(f"{home}/new", replica_number=0, leaf_resource_name=tree.leaf)


def test_truncate(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object", regChksum="")
    answer = session.data_objects.replica_truncate(f"{home}/object", 4)
    assert (answer["replica_number"], answer["resource_hierarchy"]) == (0, session.default_resource)
    assert read(session, f"{home}/object") == b"hell"
    (replica,) = replicas(session, f"{home}/object")
    assert (replica.size, replica.checksum) == (4, "")
    session.data_objects.replica_truncate(f"{home}/object", 6)
    assert read(session, f"{home}/object") == b"hell\0\0"
    with pytest.raises(exception.OBJ_PATH_DOES_NOT_EXIST):
        session.data_objects.replica_truncate(f"{home}/none", 4)
