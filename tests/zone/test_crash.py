"""What a killed server leaves behind: the catalog is consistent, and says the truth about every file."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from irods.exception import iRODSException
from irods.models import Collection, DataObject
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.zone.contract.catalog import GOOD, INTERMEDIATE, STALE, Replica, listing, replicas
from tests.zone.wire import Wire, collection_input, copy_input, make_session, object_input, opened_input

HOME = "/tempZone/home/rods"


def put(wire: Wire, path: str, content: bytes, **keywords: str) -> int:
    message = object_input(path, size=len(content), operation=1, dataIncluded="", **keywords)
    return wire.call(606, message, content).status


def load(zone: EmbeddedZone, collection: str, acknowledged: list[str]) -> None:
    """Put, overwrite, register, rename and unlink until the server is gone."""
    try:
        with make_session(zone.environment_file) as session:
            wire = Wire(session)
            for number in range(10**6):
                path = f"{collection}/object{number}"
                assert put(wire, path, b"x" * (number % 5000), regChksum="") == 0
                acknowledged.append(path)
                put(wire, path, b"y" * (number % 3000), forceFlag="")
                wire.call(630, object_input(f"{path}-registered", filePath="/f", dataSize="1"))
                if number % 3 == 0:
                    wire.call(627, copy_input(path, f"{path}-renamed", 11))
                    acknowledged[-1] = f"{path}-renamed"
                if number % 5 == 0:
                    wire.call(615, object_input(acknowledged.pop(), forceFlag=""))
    except (OSError, iRODSException):
        return


def vault_replicas(session: iRODSSession) -> list[Replica]:
    """All replicas of all objects whose file is in a vault."""
    rows = session.query(Collection.name).filter(Collection.name != "/")
    found = [replica for row in rows for replica in listing(session, row[Collection.name])]
    return [replica for replica in found if "/vaults/" in replica.path]


@pytest.mark.parametrize("delay", [0.3, 0.7, 1.1])
def test_killed_in_the_middle_of_a_load(tmp_path: Path, delay: float) -> None:
    zone = EmbeddedZone(tmp_path / "zone")
    zone.start()
    with make_session(zone.environment_file) as session:
        for number in range(3):
            session.collections.create(f"{HOME}/load{number}")
    done: list[list[str]] = [[] for _ in range(3)]
    threads = [threading.Thread(target=load, args=(zone, f"{HOME}/load{number}", done[number])) for number in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(delay)
    zone.kill()
    for thread in threads:
        thread.join()
    zone.start()
    try:
        assert_consistent(zone, [path for paths in done for path in paths])
    finally:
        zone.stop()


def assert_consistent(zone: EmbeddedZone, acknowledged: list[str]) -> None:
    with make_session(zone.environment_file) as session:
        found = vault_replicas(session)
        assert {replica.status for replica in found} <= {STALE, GOOD}
        for replica in found:
            assert os.path.getsize(replica.path) == replica.size
        on_disk = {str(path) for path in zone.directory.glob("vaults/**/*") if path.is_file()}
        assert on_disk == {replica.path for replica in found}
        rows = session.query(Collection.name, DataObject.name).filter(Collection.name != "/")
        names = {f"{row[Collection.name]}/{row[DataObject.name]}" for row in rows}
        # The last request of each client may have been done or not.
        assert len(set(acknowledged) - names) <= 3


def test_a_replica_that_was_being_written_is_stale(tmp_path: Path) -> None:
    zone = EmbeddedZone(tmp_path / "zone")
    zone.start()
    with make_session(zone.environment_file) as session:
        wire = Wire(session)
        put(wire, f"{HOME}/old", b"an old version")
        for name, flags in (("new", os.O_WRONLY | os.O_CREAT), ("old", os.O_WRONLY | os.O_TRUNC)):
            descriptor = wire.call(602, object_input(f"{HOME}/{name}", size=-1, flags=flags)).status
            assert wire.call(676, opened_input(descriptor), b"abc").status == 3
            assert replicas(session, f"{HOME}/{name}")[0].status == INTERMEDIATE
        zone.kill()
    zone.start()
    try:
        with make_session(zone.environment_file) as session:
            for name in ("new", "old"):
                (replica,) = replicas(session, f"{HOME}/{name}")
                assert (replica.status, replica.size) == (STALE, 3)
                assert put(Wire(session), f"{HOME}/{name}", b"hello", forceFlag="") == 0
                assert replicas(session, f"{HOME}/{name}")[0].status == GOOD
    finally:
        zone.stop()


def test_what_was_acknowledged_is_there_after_a_restart(tmp_path: Path) -> None:
    zone = EmbeddedZone(tmp_path / "zone")
    for restart in (zone.kill, zone.stop):
        zone.start()
        port = zone.port
        with make_session(zone.environment_file) as session:
            wire = Wire(session)
            path = f"{HOME}/{restart.__name__}"
            assert wire.call(681, collection_input(path)).status == 0
            assert put(wire, f"{path}/object", b"hello") == 0
            restart()
        zone.start()
        assert zone.port == port
        with make_session(zone.environment_file) as session:
            assert [replica.size for replica in listing(session, path)] == [5]
        zone.stop()


def test_a_clean_stop_leaves_one_catalog_file(tmp_path: Path) -> None:
    with EmbeddedZone(tmp_path / "zone") as zone, make_session(zone.environment_file) as session:
        session.collections.create(f"{HOME}/x")
    assert [path.name for path in (tmp_path / "zone").glob("catalog*")] == ["catalog.sqlite"]
    assert not (tmp_path / "zone" / "control.sock").exists()
