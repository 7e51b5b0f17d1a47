"""``mpingest verify``, run as its user runs it: what a plain client and others do to a job is found, and put right."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from irods.exception import NetworkException
from irods.session import iRODSSession

from mpingest.cli.root import cli
from mpingest.errors import ExitCode, MpingestError
from mpingest.jobs.directory import JobDirectory
from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import CommandLine, powerless
from tests.e2e.checking import assert_put, assert_registered, objects_below
from tests.e2e.test_special_names import surrogate
from tests.e2e.test_start import settle

MakeTree = Callable[[dict[str, bytes]], Path]
Json = dict[str, Any]

FILES = {f"dir{number % 4}/sub{number % 3}/file{number:02}": b"x" * number for number in range(40)} | {"top": b"top"}
EVERYTHING_OF_PUT = ("--operation", "put_sync")


class Verifier:
    """The command; in this process where there is one rank alone, for that takes no time."""

    def __init__(self, command: CommandLine) -> None:
        self.command = command
        self.last: list[Json] = []
        """differences.jsonl."""

    def __call__(self, *options: str | Path, ranks: int | None = None, code: int = 0) -> Json:
        arguments = ["verify", "--json", *map(os.fspath, options), self.command.job().name]
        if ranks is None and not self.command.prefix:
            done = CliRunner().invoke(cli, arguments, env=self.command.environment)
            assert done.exit_code == code, (done.output, done.exception)
            said = done.stdout
        else:
            ran = self.command(*arguments)
            assert ran.returncode == code, ran.stdout + ran.stderr
            said = ran.stdout
        found: Json = json.loads(said)
        self.last = [json.loads(line) for line in Path(found["list"]).read_text().splitlines()]
        assert found["exit_code"] == code
        assert found["total"] == len(self.last) == sum(each["count"] for each in found["differences"].values())
        assert not (self.command.job() / "lock").exists()
        return found

    def kinds(self, *options: str | Path, ranks: int | None = None) -> dict[str, set[str]]:
        """What differs: paths by kind; something does."""
        self(*options, ranks=ranks, code=3)
        found: dict[str, set[str]] = {}
        for difference in self.last:
            found.setdefault(difference["kind"], set()).add(difference["path"])
        return found

    def alike(self, *options: str | Path) -> dict[str, set[str]]:
        """The same, whoever looks: four ranks, or this process."""
        found = self.kinds(*options, ranks=4)
        assert self.kinds(*options) == found
        return found

    def refused(self, *arguments: str | Path) -> str:
        """Why the command can't be done."""
        done = CliRunner().invoke(cli, ["verify", *map(os.fspath, arguments)], env=self.command.environment)
        assert isinstance(done.exception, MpingestError), done.output
        assert done.output == ""
        return str(done.exception)


@pytest.fixture
def verify(mpingest: CommandLine) -> Verifier:
    return Verifier(mpingest)


@pytest.fixture
def faulty(zone: EmbeddedZone) -> Iterator[EmbeddedZone]:
    yield zone
    zone.clear_faults()


def tamper(session: iRODSSession, path: str, replica: int = 0, **changes: str | int) -> None:
    """Change what the catalog says of a replica."""
    changed = {name: str(value) for name, value in changes.items()}
    session.data_objects.modDataObjMeta({"objPath": path, "replNum": replica}, changed)


def change_secretly(path: Path) -> None:
    """Other bytes under the same size, mtime and inode."""
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"?")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("operation", ["register_sync", "put_sync"])
def test_what_a_run_has_done_agrees_and_takes_listings_alone(
    mpingest: CommandLine,
    verify: Verifier,
    make_tree: MakeTree,
    zone: EmbeddedZone,
    target: str,
    operation: str,
) -> None:
    root = make_tree(FILES)
    (root / "empty").mkdir()
    (root / "link").symlink_to("top")
    os.mkfifo(root / "pipe")
    mpingest.start(root, target, "--operation", operation)
    checkpoint = (mpingest.job() / "checkpoint.h5").read_bytes()
    zone.reset_counts()
    found = verify("--slice-size", "3")
    directories = 1 + 4 + 12 + 1
    assert (found["directories"], found["compared"], found["way"]) == (directories, len(FILES) + 2, operation)
    # Two listings each, and whether a collection is there in which there is nothing.
    assert zone.counts()["GEN_QUERY_AN"] == 2 * directories + 1
    assert zone.catalog_changes().total() == 0
    assert (mpingest.job() / "checkpoint.h5").read_bytes() == checkpoint


def spoil_put(root: Path, session: iRODSSession, zone: EmbeddedZone, target: str) -> None:
    """One of each kind, of what was put."""
    session.data_objects.unlink(f"{target}/dir0/sub0/file00", force=True)
    session.data_objects.move(f"{target}/dir0/sub0/file12", f"{target}/dir0/sub0/renamed")
    with session.data_objects.open(f"{target}/dir1/sub1/file01", "w") as stored:
        stored.write(b"other content")
    tamper(session, f"{target}/dir1/sub1/file13", dataSize=99)
    zone.inject("drop-before", Api.DATA_OBJ_CLOSE_AN)
    with pytest.raises(NetworkException), session.data_objects.open(f"{target}/dir2/sub2/file02", "w") as stored:
        stored.write(b"torn")
    tamper(session, f"{target}/dir2/sub2/file14", replStatus=2)
    tamper(session, f"{target}/dir2/sub2/file26", replStatus=4)
    session.collections.remove(f"{target}/dir3", recurse=True, force=True)
    session.collections.create(f"{target}/dir0/not ours")
    session.data_objects.create(f"{target}/dir0/not ours either")
    (root / "dir0/sub1/file04").unlink()
    shutil.rmtree(root / "dir1/sub2")
    (root / "dir1/sub0/file09").write_bytes(b"now it is longer")
    (root / "dir9/below").mkdir(parents=True)
    (root / "dir9/below/new").write_bytes(b"new")


def below(prefix: str) -> set[str]:
    return {name for name in FILES if name.startswith(prefix)}


def test_each_kind_of_difference_of_what_was_put_is_found_and_put_right(
    mpingest: CommandLine,
    verify: Verifier,
    make_tree: MakeTree,
    faulty: EmbeddedZone,
    session: iRODSSession,
    target: str,
) -> None:
    root = make_tree(FILES)
    mpingest.start(root, target, *EVERYTHING_OF_PUT)
    settle()
    spoil_put(root, session, faulty, target)
    collections = {"dir3"} | {f"dir3/sub{number}" for number in range(3)}
    expected = {
        "missing": {"dir0/sub0/file00", "dir0/sub0/file12"} | below("dir3/") | collections,
        "size": {"dir1/sub1/file01", "dir1/sub1/file13"},
        "stale": {"dir2/sub2/file02"},
        "intermediate": {"dir2/sub2/file14"},
        "locked": {"dir2/sub2/file26"},
        "extra": {"dir0/not ours", "dir0/not ours either", "dir0/sub0/renamed"},
        "gone": {"dir0/sub1/file04", "dir1/sub2"} | below("dir1/sub2/"),
        "changed": {"dir1/sub0/file09"},
        "new": {"dir9", "dir9/below", "dir9/below/new"},
    }
    before = (mpingest.job() / "checkpoint.h5").read_bytes()
    assert verify.alike("--slice-size", "2") == expected
    assert not any(difference["marked"] for difference in verify.last)
    assert (mpingest.job() / "checkpoint.h5").read_bytes() == before
    assert verify.kinds("--repair", ranks=4) == expected
    marked = {difference["kind"] for difference in verify.last if difference["marked"]}
    assert marked == {"missing", "size", "stale", "intermediate", "locked"}
    commands = {path: commands for each in verify.last if (path := each["path"]) and (commands := each["commands"])}
    assert commands == {
        f"dir2/sub2/file{number}": [
            f"iadmin modrepl logical_path {target}/dir2/sub2/file{number} replica_number 0 DATA_REPL_STATUS 0"
        ]
        for number in (14, 26)
    }
    for number in (14, 26):
        tamper(session, f"{target}/dir2/sub2/file{number}", replStatus=0)

    total = mpingest.start(root, target, *EVERYTHING_OF_PUT)["total"]
    assert total["outcome_failed"] == 0
    repaired = 2 + len(below("dir3/")) + 2 + 3
    assert total["outcome_done"] + total["outcome_unsettled"] == repaired + 2
    assert set(verify.kinds()) == {"extra"}
    session.data_objects.unlink(f"{target}/dir0/not ours either", force=True)
    session.data_objects.unlink(f"{target}/dir0/sub0/renamed", force=True)
    session.collections.remove(f"{target}/dir0/not ours", recurse=True, force=True)
    verify()
    # What is gone from disk stays in the catalog, for that is how the job was run.
    kept = {"dir0/sub1/file04"} | below("dir1/sub2/")
    for name in kept:
        session.data_objects.unlink(f"{target}/{name}", force=True)
    session.collections.remove(f"{target}/dir1/sub2", force=True)
    assert assert_put(session, root, target) == len(FILES) + 1 - len(kept)
    assert verify.kinds("--repair") == {"missing": {*kept, "dir1/sub2"}}
    verify()


def test_each_kind_of_difference_of_what_was_registered_is_found_and_put_right(
    mpingest: CommandLine,
    verify: Verifier,
    make_tree: MakeTree,
    session: iRODSSession,
    target: str,
    tmp_path: Path,
) -> None:
    root = make_tree(FILES)
    mpingest.start(root, target)
    settle()
    session.data_objects.unregister(f"{target}/dir0/sub0/file00")
    tamper(session, f"{target}/dir1/sub1/file01", dataSize=77)
    tamper(session, f"{target}/dir1/sub1/file13", dataModify="01000000000")
    tamper(session, f"{target}/dir2/sub2/file02", replStatus=0)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"")
    session.data_objects.unregister(f"{target}/top")
    session.data_objects.register(str(elsewhere), f"{target}/top")
    expected = {
        "missing": {"dir0/sub0/file00"},
        "size": {"dir1/sub1/file01"},
        "mtime": {"dir1/sub1/file13"},
        "stale": {"dir2/sub2/file02"},
        "path": {"top"},
    }
    assert verify.alike() == expected
    assert verify.kinds("--repair") == expected
    (path,) = [difference for difference in verify.last if difference["kind"] == "path"]
    assert not path["marked"]
    assert path["catalog"][0]["physical_path"] == str(elsewhere)
    session.data_objects.unregister(f"{target}/top")
    assert verify.kinds("--repair")["missing"] == {"top"}
    assert mpingest.start(root, target)["total"]["outcome_done"] == 5
    verify()
    assert assert_registered(session, root, target) == len(FILES)


def test_a_replica_that_is_missing_is_registered_again(
    mpingest: CommandLine, verify: Verifier, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path
) -> None:
    root = make_tree({"file": b"content"})
    options = ("--operation", "register_as_replica_sync", "--resource", "demoResc")
    mpingest.start(root, target, *options)
    session.data_objects.unregister(f"{target}/file")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"content")
    session.resources.create("otherResc", "unixfilesystem", session.host, str(tmp_path / "vault"))
    try:
        session.data_objects.register(str(elsewhere), f"{target}/file", destRescName="otherResc")
        assert verify.kinds("--repair") == {"path": {"file"}}
        assert mpingest.start(root, target, *options)["total"]["outcome_failed"] == 0
        verify()
        paths = {replica.path for replica in session.data_objects.get(f"{target}/file").replicas}
        assert paths == {str(elsewhere), str(root / "file")}

        # The other one is stale since then; that somebody writes it is another matter.
        tamper(session, f"{target}/file", replStatus=2)
        assert verify.kinds("--repair") == {"intermediate": {"file"}}
        (difference,) = verify.last
        assert (difference["marked"], len(difference["commands"])) == (False, 1)
        tamper(session, f"{target}/file", replStatus=0)
    finally:
        session.data_objects.unregister(f"{target}/file")
        session.resources.remove("otherResc")


def test_contents_are_compared_by_checksums(
    mpingest: CommandLine,
    verify: Verifier,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    target: str,
) -> None:
    root = make_tree({f"flat/{number:03}": b"%d" % number for number in range(100)} | {"top": b"top"})
    mpingest.start(root, target, *EVERYTHING_OF_PUT, "--checksum")
    settle()
    for name in ("flat/007", "flat/099"):
        change_secretly(root / name)
    verify()
    zone.reset_counts()
    assert verify.kinds("--checksum") == {"checksum": {"flat/007", "flat/099"}}
    assert zone.counts()["GEN_QUERY_AN"] == 4
    assert zone.catalog_changes().total() == 0
    assert verify.kinds("--checksum", "--repair", ranks=4) == {"checksum": {"flat/007", "flat/099"}}
    mpingest.start(root, target, *EVERYTHING_OF_PUT, "--checksum")
    found = verify("--checksum")
    assert found["checksums"] == {"compared": 101, "missing": 0}
    assert assert_put(session, root, target) == 101


def test_checksums_that_the_catalog_lacks_are_computed_on_repair_alone(
    mpingest: CommandLine,
    verify: Verifier,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    target: str,
) -> None:
    root = make_tree({"a": b"a", "b": b"b", "c": b"c"})
    (root / "link").symlink_to("a")
    mpingest.start(root, target)
    session.data_objects.chksum(f"{target}/a")
    settle()
    zone.reset_counts()
    assert verify("--checksum")["checksums"] == {"compared": 1, "missing": 2}
    assert zone.catalog_changes().total() == 0
    change_secretly(root / "a")
    assert verify.kinds("--checksum", "--repair") == {"checksum": {"a"}}
    assert zone.catalog_changes() == {"DATA_OBJ_CHKSUM_AN": 2}
    mpingest.start(root, target)
    # What is registered anew has no checksum, for the run was not asked for one.
    assert verify("--checksum")["checksums"] == {"compared": 2, "missing": 1}


def test_put_keeps_what_was_put_once(
    mpingest: CommandLine, verify: Verifier, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    root = make_tree({"file": b"1", "lost": b"2"})
    mpingest.start(root, target, "--operation", "put")
    settle()
    (root / "file").write_bytes(b"longer")
    session.data_objects.unlink(f"{target}/lost", force=True)
    assert verify.kinds() == {"changed": {"file"}, "missing": {"lost"}}
    settle()
    mpingest.start(root, target, "--operation", "put")
    assert verify.kinds("--repair") == {"changed": {"file"}, "missing": {"lost"}}
    assert {each["path"]: each["marked"] for each in verify.last} == {"file": False, "lost": True}
    mpingest.start(root, target, "--operation", "put")
    assert verify.kinds() == {"changed": {"file"}}
    assert "put_sync" in verify.last[0]["says"]
    mpingest.start(root, target, "--operation", "put_sync")
    verify()


def test_names_that_are_not_utf8(
    mpingest: CommandLine,
    verify: Verifier,
    make_tree: MakeTree,
    session: iRODSSession,
    target: str,
) -> None:
    root = make_tree({"dir/good": b"good"})
    paths = [os.path.join(os.fsencode(root), name) for name in (b"dir/\xff", b"dir/\xfe/below")]
    for path in paths:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(b"content")
    mpingest.start(root, target, *EVERYTHING_OF_PUT)
    settle()
    verify("--checksum", ranks=4)
    session.data_objects.unlink(f"{target}/dir/{surrogate(paths[0])}", force=True)
    tamper(session, f"{target}/dir/{surrogate(os.path.dirname(paths[1]))}/below", dataSize=9)
    expected = {"missing": {"dir/\udcff"}, "size": {"dir/\udcfe/below"}}
    assert verify.kinds("--repair") == expected
    mpingest.start(root, target, *EVERYTHING_OF_PUT)
    verify()
    assert "dir/'\\udcff" not in mpingest("verify", mpingest.job().name).stdout


ROUTED = """
from mpingest.handler.core import Core
from mpingest.handler.operations import Operation

class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.NO_OP if meta["path"].endswith("skip") else Operation.PUT_SYNC

    @staticmethod
    def collection_for(meta):
        return "by size/" + str(meta["size"])
"""

RENAMED = """
import re
from mpingest.handler.core import Core
from mpingest.handler.operations import Operation

class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.REGISTER_SYNC

    @staticmethod
    def character_map():
        return {re.compile(r"[^A-Za-z0-9._-]"): "_"}

    @staticmethod
    def target_path(session, meta, **options):
        return "/mnt" + meta["path"]
"""


def test_what_a_handler_routes_is_looked_for_there(
    mpingest: CommandLine, verify: Verifier, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path
) -> None:
    script = tmp_path / "routed.py"
    script.write_text(ROUTED)
    root = make_tree({"a/one": b"1", "b/two": b"22", "b/other": b"1", "skip": b"", "a/lost": b"1"})
    mpingest.start(root, target, "--event-handler", script)
    settle()
    found = verify()
    assert found["way"] == f"handler {script}"
    assert any("collection_for" in note for note in found["notes"])
    session.data_objects.create(f"{target}/by size/1/whose")
    session.data_objects.unlink(f"{target}/by size/1/lost", force=True)
    tamper(session, f"{target}/by size/2/two", dataSize=5)
    assert verify.kinds("--repair") == {"missing": {"a/lost"}, "size": {"b/two"}}
    mpingest.start(root, target, "--event-handler", script)
    verify()


def test_what_a_handler_renames_is_looked_for_under_its_names(
    mpingest: CommandLine, verify: Verifier, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path
) -> None:
    script = tmp_path / "renamed.py"
    script.write_text(RENAMED)
    root = make_tree({"a b/c d": b"1", "plain": b"2"})
    mpingest.start(root, target, "--event-handler", script)
    settle()
    verify()
    objects = objects_below(session, target)
    assert {stored.path for stored in objects.values()} == {f"/mnt{root}/a b/c d", f"/mnt{root}/plain"}
    (special,) = set(objects) - {"plain"}
    session.data_objects.unregister(f"{target}/{special}")
    assert verify.kinds("--repair") == {"missing": {"a b/c d"}}
    mpingest.start(root, target, "--event-handler", script)
    verify()


def test_how_to_look_is_as_in_the_last_run_unless_it_is_given(
    mpingest: CommandLine, verify: Verifier, make_tree: MakeTree, target: str
) -> None:
    root = make_tree({"keep": b"1", "drop.tmp": b"2", ".snap/file": b"3"})
    (root / "link").symlink_to("keep")
    excludes = (
        "--exclude-file-name",
        r".*\.tmp",
        "--exclude-directory-name",
        r".*/\.snap",
        "--exclude-file-type",
        "link",
    )
    mpingest.start(root, target, *EVERYTHING_OF_PUT, *excludes)
    settle()
    found = verify()
    assert (found["excluded"], found["way"]) == (3, "put_sync")
    assert verify.kinds("--exclude-file-type", "link") == {"new": {"drop.tmp", ".snap", ".snap/file"}}
    assert verify.kinds("--operation", "register_sync") == {"path": {"keep"}}
    summary = mpingest.last_run() / "summary.json"
    summary.unlink()
    assert "--operation" in verify.refused(mpingest.job().name)
    verify("--operation", "put_sync", *excludes)


def test_what_failed_is_found_and_what_cannot_be_read(
    mpingest: CommandLine, verify: Verifier, make_tree: MakeTree, faulty: EmbeddedZone, target: str
) -> None:
    root = make_tree({"bad": b"1", "closed/file": b"2", "good": b"3"})
    faulty.inject("fail", Api.DATA_OBJ_PUT_AN, status=-818000)
    mpingest.start(root, target, *EVERYTHING_OF_PUT, "--sessions-per-rank", "1")
    (failed,) = [failure["path"] for failure in mpingest.failures()]
    assert verify.kinds() == {"failed": {failed}}
    assert "CAT_NO_ACCESS_PERMISSION" in verify.last[0]["says"]
    mpingest.start(root, target, *EVERYTHING_OF_PUT)
    (root / "closed").chmod(0)
    try:
        mpingest.prefix = powerless()
        assert verify.kinds("--repair", ranks=1) == {"unreadable": {"closed"}}
    finally:
        (root / "closed").chmod(0o755)
        mpingest.prefix = ()
    settle()
    faulty.inject("fail", Api.GEN_QUERY_AN, status=-818000, skip=3)
    assert "unreadable" in verify.kinds()


def test_a_zone_that_goes_away_stops_it(
    mpingest: CommandLine, make_tree: MakeTree, faulty: EmbeddedZone, target: str
) -> None:
    mpingest.start(make_tree({"a/file": b"1"}), target, *EVERYTHING_OF_PUT)
    job = mpingest.job().name
    faulty.inject("drop-before", Api.GEN_QUERY_AN, times=None)
    for ranks in (None, 3):
        ran = mpingest("verify", "--zone-timeout", "0.1", job, ranks=ranks)
        assert (ran.returncode, ran.stderr) == (75, "")
        assert "makes no progress: the zone has not answered for " in ran.stdout
        assert not (mpingest.job() / "lock").exists()


def test_a_signal_stops_it_and_frees_the_job(
    mpingest: CommandLine, verify: Verifier, make_tree: MakeTree, faulty: EmbeddedZone, target: str
) -> None:
    mpingest.start(make_tree({"a/file": b"1"}), target, *EVERYTHING_OF_PUT)
    job = mpingest.job()
    faulty.inject("delay", Api.GEN_QUERY_AN, seconds=1.0, times=None)
    command = [sys.executable, "-m", "mpingest", "verify", job.name]
    process = subprocess.Popen(command, env=mpingest.environment, stderr=subprocess.PIPE, text=True)
    while not (job / "verification/log/rank00000.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, "stopped by SIGTERM" in said, "Traceback" in said) == (75, True, False)
    assert not (job / "lock").exists()
    faulty.clear_faults()
    verify()


def test_what_cannot_be_done_is_told_in_a_line(
    mpingest: CommandLine, verify: Verifier, make_tree: MakeTree, target: str, tmp_path: Path
) -> None:
    root = make_tree({"file": b"1"})
    assert "there is no job at all" in verify.refused("whatever")
    mpingest.start(root, target)
    job = mpingest.job()
    assert job.name in verify.refused("whatever")
    with JobDirectory(str(job)).locked():
        assert "is being run by" in verify.refused(job.name)
    (root / "file").unlink()
    assert "is it mounted?" in verify.refused(job.name)
    assert verify.kinds("--allow-empty") == {"gone": {"file"}}
    root.rmdir()
    assert "no such directory" in verify.refused(job.name)
    root.mkdir()
    (job / "checkpoint.h5").rename(tmp_path / "checkpoint.h5")
    assert "mpingest start first" in verify.refused("--allow-empty", job.name)
    ran = mpingest("verify", "whatever", ranks=2)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (ExitCode.CANNOT_RUN, 1)


def test_people_are_told_what_to_do(
    mpingest: CommandLine, verify: Verifier, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    root = make_tree({"a": b"1", "b\n": b"2", "c": b"3"})
    mpingest.start(root, target, *EVERYTHING_OF_PUT)
    job = mpingest.job().name
    settle()
    assert "agreed" in mpingest("verify", "--checksum", job).stdout
    for name in ("a", "b\n"):
        session.data_objects.unlink(f"{target}/{name}", force=True)
    said = mpingest("verify", "--names", "1", job).stdout
    assert "missing               2  recorded as brought in, but not in the catalog" in said
    assert "    a: no object of that name" in said
    assert "repairable   2: verify --repair" in said
    said = mpingest("verify", "--repair", job).stdout
    assert "    'b\\n': no object" in said
    assert "marked       2 for the next run" in said
