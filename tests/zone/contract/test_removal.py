from __future__ import annotations

from pathlib import Path

from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import listing, names, replicas
from tests.zone.contract.conftest import Tree
from tests.zone.contract.test_put import put
from tests.zone.wire import Wire, object_input

UNREGISTER = 26


def unlink(wire: Wire, path: str, operation: int = 0, **keywords: str) -> int:
    return wire.call(615, object_input(path, size=-1, operation=operation, **keywords)).status


def trim(wire: Wire, path: str, **keywords: str) -> int:
    return wire.call(632, object_input(path, size=-1, operation=UNREGISTER, **keywords)).status


def test_for_good(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object")
    file = replicas(session, f"{home}/object")[0].path
    assert unlink(wire, f"{home}/object", forceFlag="") == 0
    assert not replicas(session, f"{home}/object")
    put(wire, f"{home}/object")
    assert replicas(session, f"{home}/object")[0].path == file


def test_what_is_not_there(wire: Wire, home: str) -> None:
    for path in (f"{home}/none", f"{home}/none/object", home):
        assert unlink(wire, path) == statuses.CAT_NO_ROWS_FOUND
        assert unlink(wire, path, forceFlag="") == statuses.CAT_NO_ROWS_FOUND
    assert unlink(wire, f"{home}/none", UNREGISTER) == statuses.CAT_NO_ROWS_FOUND


def test_into_the_trash(wire: Wire, session: iRODSSession, home: str) -> None:
    trash = home.replace(f"/{session.zone}/home/", f"/{session.zone}/trash/home/")
    for _ in range(2):
        put(wire, f"{home}/object")
        assert unlink(wire, f"{home}/object") == 0
    assert not replicas(session, f"{home}/object")
    found = names(session, trash)
    assert len(found) == 2
    assert "object" in found
    assert all(name.startswith("object") for name in found)
    session.collections.remove(trash, recurse=True, force=True)


def test_unregister_leaves_the_file(wire: Wire, session: iRODSSession, home: str, file: Path) -> None:
    for force in ({}, {"forceFlag": ""}):
        wire.call(630, object_input(f"{home}/object", filePath=str(file)))
        assert unlink(wire, f"{home}/object", UNREGISTER, **force) == 0
        assert not replicas(session, f"{home}/object")
    assert file.read_bytes() == b"hello"


def test_a_registered_file_is_nobodys_to_delete(wire: Wire, home: str, file: Path) -> None:
    wire.call(630, object_input(f"{home}/object", filePath=str(file)))
    assert unlink(wire, f"{home}/object", forceFlag="") == 0
    assert file.read_bytes() == b"hello"
    assert wire.call(630, object_input(f"{home}/absent", filePath="/no/file", dataSize="5")).status == 0
    assert unlink(wire, f"{home}/absent", forceFlag="") == 0


def test_trim_keeps_enough_replicas(wire: Wire, session: iRODSSession, home: str, file: Path, tree: Tree) -> None:
    path = f"{home}/object"
    wire.call(630, object_input(path, filePath=str(file)))
    wire.call(630, object_input(path, filePath=str(file), regRepl="", resc_hier=tree.other, dataSize="5"))
    assert trim(wire, path, replNum="0") == 0
    assert trim(wire, path, replNum="7", copies="1") == statuses.SYS_REPLICA_DOES_NOT_EXIST
    assert [replica.number for replica in replicas(session, path)] == [0, 1]
    assert trim(wire, path, replNum="0", copies="1") == 1
    assert trim(wire, path, replNum="1", copies="1") == 0
    assert [replica.number for replica in replicas(session, path)] == [1]
    assert trim(wire, f"{home}/none", replNum="0") == statuses.CAT_NO_ROWS_FOUND
    assert file.exists()


def test_nobody_removes_what_they_may_not_see(user_session: iRODSSession, wire: Wire, home: str) -> None:
    put(wire, f"{home}/object")
    theirs = Wire(user_session)
    assert unlink(theirs, f"{home}/object", forceFlag="") == statuses.CAT_NO_ROWS_FOUND
    assert unlink(theirs, f"{home}/object") == statuses.CAT_NO_ROWS_FOUND
    assert listing(user_session, home) == []
