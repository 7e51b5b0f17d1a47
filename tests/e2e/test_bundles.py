"""Small new files in bundles: few requests, every file once with its bytes, and nothing of a bundle left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from irods.models import Collection, DataObject
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import CommandLine
from tests.e2e.checking import assert_put, objects_below
from tests.e2e.worlds import kill_below

MakeTree = Callable[[dict[str, bytes]], Path]
PUT = ("--operation", "put_sync")
EXTRACT = Api.STRUCT_FILE_EXT_AND_REG_AN
MANY = {f"file{number}": os.urandom(number % 50) for number in range(60)}
NESTED = {f"dir{number // 6}/sub/file{number}": b"%d" % number for number in range(60)}


@pytest.fixture(autouse=True)
def clean(zone: EmbeddedZone) -> Iterator[None]:
    yield
    zone.clear_faults()


def bundles_sent(zone: EmbeddedZone) -> int:
    return zone.counts()[EXTRACT.name]


def leftovers(session: iRODSSession, target: str) -> list[str]:
    return [path for path in objects_below(session, target) if ".mpingest" in path]


def wait_until(condition: Callable[[], Any]) -> None:
    while not condition():
        time.sleep(0.02)


def settle() -> None:
    """Let timestamps grow older than their tick."""
    time.sleep(0.2)


def test_a_thousand_files_are_five_requests(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree({f"file{number}": b"%d" % number for number in range(1000)})
    settle()
    summary = mpingest.start(root, target, *PUT)
    # To make the collection; to put, to extract, to list, to compare one, to remove.
    assert summary["total"]["requests"] == 1 + 5
    counts = zone.counts()
    assert [counts[api.name] for api in (Api.DATA_OBJ_PUT_AN, EXTRACT, Api.DATA_OBJ_UNLINK_AN)] == [1, 1, 1]
    assert summary["total"]["outcome_done"] == assert_put(session, root, target) == 1000
    zone.reset_counts()
    assert mpingest.start(root, target, *PUT)["total"]["requests"] == 0


@pytest.mark.parametrize("ranks", [1, 4])
def test_small_directories_go_together(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str, ranks: int
) -> None:
    root = make_tree(
        {f"dir{number // 6}/sub{number % 2}/file{number}": b"%d" % number for number in range(600)}
        | {"large": os.urandom(5_000_000), "dir1/empty": b""}
    )
    summary = mpingest.start(root, target, *PUT, ranks=ranks)
    assert assert_put(session, root, target) == summary["total"]["outcome_done"] == 602
    assert zone.counts()["DATA_OBJ_PUT_AN"] < 200
    assert bundles_sent(zone) > 0
    settle()
    assert mpingest.start(root, target, *PUT, ranks=ranks)["total"]["requests"] == 0


def test_new_files_beside_old_ones(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree(MANY)
    mpingest.start(root, target, *PUT)
    make_tree({f"new{number}": b"%d" % number for number in range(30)})
    zone.reset_counts()
    mpingest.start(root, target, *PUT)
    assert bundles_sent(zone) == 1
    assert assert_put(session, root, target) == len(MANY) + 30


@pytest.mark.parametrize(
    ("options", "files", "bundles"),
    [
        (("--bundle", "never"), 60, 0),
        ((), 4, 0),
        ((), 5, 1),
        (("--bundle", "always"), 1, 1),
    ],
)
def test_when_they_are_made(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    target: str,
    options: tuple[str, ...],
    files: int,
    bundles: int,
) -> None:
    root = make_tree({f"file{number}": b"x" for number in range(files)})
    total = mpingest.start(root, target, *PUT, *options)["total"]
    assert bundles_sent(zone) == bundles
    assert total["bundled"] == (files if bundles else 0)
    assert assert_put(session, root, target) == files


def test_odd_names(mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str) -> None:
    odd = ["-dash", "new\nline", "tab\t", "n" * 255, "é" * 120, "quo'te", 'double"', "back\\slash", "%_*?[", "._x", " "]
    nested = "/".join(["deep" * 20] * 4)
    root = make_tree({name: name.encode() for name in [*odd, "BZh91AY&SY", f"{nested}/{'l' * 200}"]})
    (root / "link").symlink_to("-dash")
    os.link(root / "-dash", root / "hard")
    with open(os.path.join(os.fsencode(root), b"\xff"), "wb") as file:
        file.write(b"not UTF-8")
    mpingest.start(root, target, *PUT, "--bundle", "always")
    assert mpingest.failures() == []
    found = objects_below(session, target)
    assert len(found) == len(odd) + 5
    os.unlink(os.path.join(os.fsencode(root), b"\xff"))
    (surrogate,) = (path for path in found if path.startswith("irods_UnicodeEncodeError_"))
    session.data_objects.unlink(f"{target}/{surrogate}", force=True)
    assert_put(session, root, target)


def test_names_that_are_taken_go_singly(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree(MANY)
    session.collections.create(f"{target}/file7")
    session.data_objects.put(str(root / "file8"), f"{target}/file3")
    done = mpingest("start", *PUT, "--initial-ingest", root, target)
    assert done.returncode == 3
    assert [failure["path"] for failure in mpingest.failures()] == ["file7"]
    session.collections.remove(f"{target}/file7")
    mpingest.start(root, target, *PUT)
    assert assert_put(session, root, target) == len(MANY)
    assert bundles_sent(zone) == 1


@pytest.mark.parametrize(
    ("action", "api", "status"),
    [
        ("fail", Api.DATA_OBJ_PUT_AN, -818000),
        ("fail", Api.DATA_OBJ_PUT_AN, -806000),
        ("drop-before", Api.DATA_OBJ_PUT_AN, 0),
        ("drop-after", Api.DATA_OBJ_PUT_AN, 0),
        ("fail", EXTRACT, -818000),
        ("fail", EXTRACT, -18000),
        ("drop-before", EXTRACT, 0),
        ("drop-after", EXTRACT, 0),
        ("fail", Api.DATA_OBJ_CHKSUM_AN, -512000),
        ("drop-after", Api.DATA_OBJ_UNLINK_AN, 0),
        ("fail", Api.DATA_OBJ_UNLINK_AN, -806000),
    ],
)
def test_whatever_fails_of_a_bundle(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    target: str,
    action: str,
    api: Api,
    status: int,
) -> None:
    root = make_tree(MANY)
    settle()
    zone.inject(action, api, status=status)
    summary = mpingest.start(root, target, *PUT)
    assert summary["total"]["outcome_done"] == assert_put(session, root, target) == len(MANY)
    assert mpingest.failures() == []


@pytest.mark.parametrize("before_last", [0, 1])
def test_a_listing_that_fails(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    target: str,
    before_last: int,
) -> None:
    """The last query of such a run is for what was extracted, the one before for what is older than that."""
    for collection in (f"{target}/trial", f"{target}/real"):
        mpingest.start(make_tree({"old": b"old"}), collection, *PUT)
        root = make_tree(MANY)
        settle()
        if collection.endswith("real"):
            zone.inject("fail", Api.GEN_QUERY_AN, status=-129000, skip=zone.counts()["GEN_QUERY_AN"] - 1 - before_last)
        zone.reset_counts()
        assert mpingest.start(root, collection, *PUT)["total"]["outcome_done"] == len(MANY)
        assert assert_put(session, root, collection) == len(MANY) + 1
        shutil.rmtree(mpingest.jobs)
        shutil.rmtree(root)


def test_a_tar_file_that_cannot_be_removed_goes_with_the_next_run(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree(MANY)
    zone.inject("fail", Api.DATA_OBJ_UNLINK_AN, status=-818000, times=None)
    assert mpingest.start(root, target, *PUT)["exit_code"] == 0
    assert len(leftovers(session, target)) == 1
    assert mpingest.start(root, target, *PUT)["exit_code"] == 0
    assert len(leftovers(session, target)) == 1
    zone.clear_faults()
    (note,) = mpingest.start(root, target, *PUT)["notes"]
    assert "removed what an unfinished bundle had left: " in note
    assert assert_put(session, root, target) == len(MANY)
    assert mpingest.start(root, target, *PUT)["notes"] == []
    assert list(mpingest.jobs.rglob("bundles/*")) == []


@contextmanager
def running(mpingest: CommandLine, root: Path, target: str, *options: str) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-m", "mpingest", "start", *options, str(root), target]
    process = subprocess.Popen(command, env=mpingest.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        kill_below(process.pid)
        process.communicate()


def begun(mpingest: CommandLine) -> list[Path]:
    return [path for path in mpingest.jobs.rglob("bundles/rank*") if path.stat().st_size]


@pytest.mark.parametrize(
    ("operation", "moment", "files"),
    [("put_sync", "put", MANY), ("put", "extract", NESTED), ("put", "list", MANY), ("put_sync", "remove", NESTED)],
)
def test_a_run_that_is_killed_in_a_bundle_is_finished_by_the_next(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    target: str,
    operation: str,
    moment: str,
    files: dict[str, bytes],
) -> None:
    root = make_tree(files)
    settle()
    ways = {
        "put": (Api.DATA_OBJ_PUT_AN, lambda: begun(mpingest)),
        "extract": (EXTRACT, lambda: leftovers(session, target)),
        "list": (Api.DATA_OBJ_CHKSUM_AN, lambda: set(files) <= set(objects_below(session, target))),
        "remove": (Api.DATA_OBJ_UNLINK_AN, lambda: set(files) <= set(objects_below(session, target))),
    }
    api, is_reached = ways[moment]
    assert objects_below(session, target) == {}
    own = zone.stats()["connections"]  # that of the session, which stays open
    zone.inject("delay", api, seconds=1.5, times=None)
    with running(mpingest, root, target, "--operation", operation):
        wait_until(is_reached)
    zone.clear_faults()
    if moment == "put":  # else the next run may be over before the server comes to it
        wait_until(lambda: zone.stats()["connections"] <= own)
    mpingest.start(root, target, "--operation", operation, ranks=2)
    # Whatever the server was still at is over now.
    wait_until(lambda: zone.stats()["connections"] <= own)
    mpingest.start(root, target, "--operation", operation)
    assert assert_put(session, root, target) == len(files)
    assert list(mpingest.jobs.rglob("bundles/*")) == []


@pytest.mark.parametrize("operation", ["put", "put_sync"])
def test_what_a_killed_run_had_extracted_is_looked_at(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str, operation: str
) -> None:
    """An object that was there before is kept by put; what came out of the bundle with other bytes is not."""
    root = make_tree(MANY)
    session.collections.create(target)
    session.data_objects.put(str(root / "file9"), f"{target}/file5")
    settle()
    zone.inject("delay", Api.DATA_OBJ_CHKSUM_AN, seconds=1, times=None)
    with running(mpingest, root, target, "--operation", operation):
        wait_until(lambda: set(MANY) <= set(objects_below(session, target)))
    zone.clear_faults()
    vault_path = Path(objects_below(session, target)["file40"].path)
    vault_path.write_bytes(bytes(40))
    (root / "file30").write_bytes(b"changed since")
    settle()
    mpingest.start(root, target, "--operation", operation)
    if operation == "put":
        assert objects_below(session, target)["file5"].size == 9
        (root / "file5").write_bytes(MANY["file9"])
    assert assert_put(session, root, target) == len(MANY)


@pytest.mark.parametrize("moment", [Api.DATA_OBJ_PUT_AN, EXTRACT])
def test_a_signal_in_a_bundle(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str, moment: Api
) -> None:
    root = make_tree(MANY)
    zone.inject("delay", moment, seconds=2, times=None)
    with running(mpingest, root, target, *PUT) as process:
        wait_until(lambda: begun(mpingest) if moment is Api.DATA_OBJ_PUT_AN else leftovers(session, target))
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    assert leftovers(session, target) == []
    # What came out of it is recorded, what was taken back is not there.
    zone.clear_faults()
    found = set(objects_below(session, target))
    assert found in (set(), set(MANY))
    summary = mpingest.start(root, target, *PUT)
    assert summary["total"]["change_new"] == len(MANY) - len(found)
    assert assert_put(session, root, target) == len(MANY)


def test_checksums_are_compared_and_kept(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree(MANY)
    mpingest.start(root, target, *PUT, "--checksum")
    assert bundles_sent(zone) == 1
    assert assert_put(session, root, target) == len(MANY)
    rows = session.query(DataObject.checksum).filter(Collection.name == target)
    assert all(row[DataObject.checksum].startswith("sha2:") for row in rows)


@pytest.mark.parametrize("mode", ["always", "never"])
def test_objects_get_the_modify_time_of_their_files(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, mode: str
) -> None:
    root = make_tree({f"file{number}": b"x" for number in range(9)})
    for number, path in enumerate(sorted(root.iterdir())):
        os.utime(path, (0, 1_000_000_000 + number))
    mpingest.start(root, target, *PUT, "--preserve-mtime", "--bundle", mode)
    rows = session.query(DataObject.name, DataObject.modify_time).filter(Collection.name == target)
    times = {row[DataObject.name]: int(row[DataObject.modify_time].timestamp()) for row in rows}
    assert times == {f"file{number}": 1_000_000_000 + number for number in range(9)}


RESOURCES = """
from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation

class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.REGISTER_SYNC if "registered" in meta["path"] else Operation.PUT_SYNC

    @staticmethod
    def to_resource(session, meta, **options):
        return "secondResc" if meta["path"].endswith("5") else "demoResc"
"""
HOOK = """
    @staticmethod
    def post_data_obj_create(hdlr_mod, logger, session, meta, op, **options):
        pass
"""


@pytest.mark.parametrize(("script", "bundles"), [(RESOURCES, 2), (RESOURCES + HOOK, 0)])
def test_a_handler_says_where_and_how(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    tmp_path: Path,
    target: str,
    script: str,
    bundles: int,
) -> None:
    files = {f"file{number}": b"%d" % number for number in range(100)} | {"registered": b"r"}
    root = make_tree(files)
    handler = tmp_path / "handler.py"
    handler.write_text(script)
    mpingest.start(root, target, "--event-handler", handler)
    assert bundles_sent(zone) == bundles
    rows = session.query(DataObject.name, DataObject.resource_name).filter(Collection.name == target)
    places = {row[DataObject.name]: row[DataObject.resource_name] for row in rows}
    assert places == {name: "secondResc" if name.endswith("5") else "demoResc" for name in files}
    assert_put(session, root, target)


def test_bundles_of_another_user(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, tmp_path: Path
) -> None:
    name = f"bundler{os.getpid()}"
    session.users.create(name, "rodsuser")
    root = make_tree(MANY)
    target = f"/{zone.zone}/home/{name}/target"
    mpingest.start(root, target, *PUT, "--as-user", name, "--bundle", "always")
    assert bundles_sent(zone) == 1
    rows = session.query(DataObject.owner_name).filter(Collection.name == target)
    assert {row[DataObject.owner_name] for row in rows} == {name}
    with iRODSSession(irods_env_file=str(zone.environment_file), client_user=name, client_zone=zone.zone) as theirs:
        assert assert_put(theirs, root, target) == len(MANY)
