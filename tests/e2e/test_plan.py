"""``mpingest plan``, run as its user runs it: what it says is what a run then does, and it leaves no trace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mpingest.cli.root import cli
from mpingest.errors import MpingestError
from mpingest.jobs.directory import JobDirectory
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import sealed_segments
from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import CommandLine, mpiexec, powerless
from tests.e2e.test_start import settle

MakeTree = Callable[[dict[str, bytes]], Path]
Json = dict[str, Any]

FILES = {f"dir{number % 4}/sub{number % 3}/file{number:02}": b"x" * number for number in range(60)} | {"top": b"top"}


class Planner:
    """The command, without an iRODS environment; in this process where nothing else is said, for that takes no time."""

    def __init__(self, command: CommandLine, scratch: Path) -> None:
        nowhere = {"IRODS_ENVIRONMENT_FILE": "/nowhere", "HOME": "/nowhere", "TMPDIR": str(scratch)}
        self.command = CommandLine(command.environment | nowhere, command.jobs)
        self.scratch = scratch

    def __call__(self, *arguments: str | Path, ranks: int | None = None, code: int = 0) -> Json:
        said = self.text("--json", *arguments, ranks=ranks, code=code)
        assert list(self.scratch.iterdir()) == []
        planned: Json = json.loads(said)
        assert planned["exit_code"] == code
        return planned

    def text(self, *arguments: str | Path, ranks: int | None = None, code: int = 0) -> str:
        if ranks is None and not self.command.prefix:
            done = CliRunner().invoke(cli, ["plan", *map(os.fspath, arguments)], env=self.command.environment)
            assert done.exit_code == code, done.exception
            return done.stdout
        ran = self.command("plan", *arguments, ranks=ranks)
        assert ran.returncode == code, ran.stderr
        return ran.stdout

    def alike(self, *arguments: str | Path, code: int = 0) -> Json:
        """What is planned, whoever does it: this process, or four ranks."""
        one, other = (self(*arguments, ranks=ranks, code=code) for ranks in (None, 4))
        assert one | {"seconds": 0} == other | {"seconds": 0}
        return one

    def refused(self, *arguments: str | Path) -> str:
        """Why the command can't be done."""
        done = CliRunner().invoke(cli, ["plan", *map(os.fspath, arguments)], env=self.command.environment)
        assert isinstance(done.exception, MpingestError)
        assert done.output == ""
        return str(done.exception)


@pytest.fixture
def plan(mpingest: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planner:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    mpingest.environment["MPINGEST_START_BUNDLE"] = "never"  # what bundles save depends on what comes together when
    return Planner(mpingest, scratch)


def traces(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything at and below a directory: mode, mtime, content."""
    paths = [directory, *directory.rglob("*")]
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in paths
    }


def files(planned: Json) -> dict[str, int]:
    return {change: found["files"] for change, found in planned["changes"].items() if found["files"]}


def assert_true(planned: Json, summary: Json, zone: EmbeddedZone) -> None:
    """A run that followed did what was planned, request for request."""
    total = summary["total"]
    compared = {
        name.removeprefix("change_"): count for name, count in total.items() if name.startswith("change_") and count
    }
    assert files(planned) == compared
    assert planned["directories"]["scanned"] == total["directories"]
    assert planned["directories"]["new"] == total["collections_made"]
    assert planned["excluded"] == total["excluded"]
    assert planned["deletions"]["objects"] == total["outcome_removed"]
    assert planned["requests"]["total"] == total["requests"]
    looks = planned["deletions"]["objects"] + sum(
        step["files"] for step in planned["steps"] if step["request"] == "append"
    )
    counted = zone.counts()
    sent = zone.catalog_changes().total() + counted["DATA_OBJ_WRITE_AN"] + counted["DATA_OBJ_LSEEK_AN"]
    assert sent == planned["requests"]["total"] - looks


MODES = {"register_sync": "unregister", "put_sync": "trash", "put_append": "no_trash"}


@pytest.mark.parametrize(("operation", "ranks"), [("register_sync", 4), ("put_sync", None), ("put_append", None)])
def test_a_run_does_what_was_planned(
    mpingest: CommandLine,
    plan: Planner,
    make_tree: MakeTree,
    zone: EmbeddedZone,
    target: str,
    operation: str,
    ranks: int | None,
) -> None:
    options = ("--operation", operation, "--delete-mode", MODES[operation], "--slice-size", "7")
    root = make_tree(FILES)
    (root / "empty").mkdir()
    (root / "link").symlink_to("top")
    os.mkfifo(root / "pipe")

    def plan_and_run() -> Json:
        settle()
        planned = plan(*options, root, target, ranks=ranks)
        zone.reset_counts()
        assert_true(planned, mpingest.start(root, target, *options, ranks=ranks), zone)
        return planned

    planned = plan_and_run()
    assert files(planned) == {"new": len(FILES) + 2}
    assert planned["run"] == 0
    assert planned["changes"]["new"]["names"] == [f"dir0/sub0/file{number:02}" for number in range(0, 60, 12)]
    assert [(left["files"], "pipe" in left["reason"]) for left in planned["left_alone"]] == [(1, True)]

    assert files(plan_and_run()) == {"unchanged": len(FILES) + 2}

    (root / "dir0/sub0/file00").write_bytes(b"now it is longer")
    (root / "top").chmod(0o600)
    make_tree({"dir9/new": b"new", "dir9/below/new": b"new"})
    shutil.rmtree(root / "dir1")
    (root / "dir2/sub2/file02").unlink()
    planned = plan_and_run()
    gone = sum(name.startswith("dir1/") for name in FILES) + 1
    # A link whose content is put is what it leads to.
    metadata = 1 if operation == "register_sync" else 2
    assert files(planned) == {
        "new": 2,
        "modified": 1,
        "metadata": metadata,
        "deleted": gone,
        "unchanged": len(FILES) + 2 - 1 - metadata - gone,
    }
    assert planned["changes"]["deleted"]["bytes"] == sum(
        len(FILES[name]) for name in FILES if name.startswith("dir1/") or name == "dir2/sub2/file02"
    )
    assert planned["directories"]["gone"] == planned["deletions"]["collections"] == 4
    assert planned["job"]["name"] == mpingest.job().name
    assert plan_and_run()["requests"]["total"] == 0

    shutil.rmtree(root / "dir3")
    (root / "dir9/new").unlink()
    make_tree({"dir3": b"a file now", "dir9/new/file": b"in a directory now"})
    assert files(plan_and_run())["new"] == 2
    assert plan_and_run()["requests"]["total"] == 0


def test_what_was_gone_before_is_planned_to_be_deleted(
    mpingest: CommandLine, plan: Planner, make_tree: MakeTree, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree(FILES)
    mpingest.start(root, target)
    settle()
    shutil.rmtree(root / "dir1")
    gone = sum(name.startswith("dir1/") for name in FILES)
    assert plan(root, target)["deletions"] == {"objects": 0, "bytes": 0, "collections": 0, "requests": 0}
    mpingest.start(root, target)
    planned = plan("--delete-mode", "unregister", root, target)
    assert files(planned) == {"unchanged": len(FILES) - gone}
    assert planned["deletions"]["objects"] == gone
    zone.reset_counts()
    assert_true(planned, mpingest.start(root, target, "--delete-mode", "unregister"), zone)


def test_a_refusal_is_foreseen(
    mpingest: CommandLine, plan: Planner, make_tree: MakeTree, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree(FILES)
    mpingest.start(root, target)
    settle()
    for name in ("file00", "file12", "file24", "file36"):
        (root / "dir0/sub0" / name).unlink()
    for limit in ("3", "4"):
        options = ("--delete-mode", "unregister", "--max-delete", limit)
        planned = plan(*options, root, target)
        zone.reset_counts()
        summary = mpingest.start(root, target, *options)
        assert planned["refusal"] == summary["refusal"]
        assert bool(planned["refusal"]) == (limit == "3")
        assert_true(planned, summary, zone)


def test_half_of_what_is_recorded_is_refused_as_in_a_run(
    mpingest: CommandLine, plan: Planner, make_tree: MakeTree, target: str
) -> None:
    root = make_tree({f"dir{number % 2}/file{number}": b"x" for number in range(200)} | {"dir1/one more": b"x"})
    options = ("--delete-mode", "unregister")
    mpingest.start(root, target, *options)
    settle()
    shutil.rmtree(root / "dir1")
    planned = plan(*options, root, target)
    assert "more than half" in planned["refusal"]
    assert planned["refusal"] == mpingest.start(root, target, *options)["refusal"]


def test_failures_are_planned_to_be_tried_again(
    mpingest: CommandLine, plan: Planner, make_tree: MakeTree, zone: EmbeddedZone, target: str
) -> None:
    """Those that are known to fail are named, and no request is counted for them."""
    root = make_tree({"good": b"good", "dir/good": b"good"})
    with open(os.path.join(os.fsencode(root), b"dir/bad \xff\n"), "wb") as file:
        file.write(b"bad")
    planned = plan.alike(root, target, code=3)
    assert planned["changes"]["new"]["names"] == ["dir/bad \udcff\n", "dir/good", "good"]
    assert [failure["path"] for failure in planned["failures"]] == ["dir/bad \udcff\n"]
    assert_true(planned, mpingest.start(root, target), zone)
    settle()
    planned = plan(root, target, code=3)
    assert files(planned) == {"retry": 1, "unchanged": 2}
    zone.reset_counts()
    assert_true(planned, mpingest.start(root, target), zone)
    options = ("--operation", "put")
    planned = plan(*options, root, target)
    assert [(step["operation"], step["change"], step["request"]) for step in planned["steps"]] == [
        ("put", "retry", "put")
    ]
    zone.reset_counts()
    assert_true(planned, mpingest.start(root, target, *options), zone)
    assert "'dir/bad \\udcff\\n': its path is not valid UTF-8" in plan.text("--ignore-cache", root, target, code=3)


def test_names_are_told_apart_that_are_no_utf8_but_together(plan: Planner, make_tree: MakeTree) -> None:
    root = os.fsencode(make_tree({}))
    for name in (b"a\xc3", b"\xa9b", "é".encode()):
        Path(os.fsdecode(os.path.join(root, name))).touch()
    planned = plan(os.fsdecode(root), code=3)
    assert [failure["path"] for failure in planned["failures"]] == ["a\udcc3", "\udca9b"]
    assert planned["requests"]["files"] == 1


def test_a_large_file_is_planned_as_the_stream_that_it_is(
    mpingest: CommandLine, plan: Planner, make_tree: MakeTree, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree({"small": b"x"})
    with open(root / "large", "wb") as file:
        file.truncate(33 * 1024 * 1024)
    options = ("--operation", "put_append", "--checksum", "--sessions", "1")  # more share a large file if they are idle
    settle()
    planned = plan(*options, root, target)
    assert planned["requests"]["total"] == mpingest.start(root, target, *options)["total"]["requests"]
    with open(root / "large", "ab") as file:
        file.write(b"the end")
    settle()
    planned = plan(*options, root, target)
    assert planned["requests"]["total"] == mpingest.start(root, target, *options)["total"]["requests"]


def test_what_is_there_already_costs_no_more_than_planned(
    mpingest: CommandLine, plan: Planner, make_tree: MakeTree, target: str
) -> None:
    root = make_tree(FILES)
    mpingest.start(root, target)
    settle()
    planned = plan("--ignore-cache", root, target)
    assert files(planned) == {"new": len(FILES)}
    assert planned["requests"]["listings_besides"] == planned["directories"]["new"] == 17
    assert plan("--ignore-cache", "--initial-ingest", root, target)["requests"]["listings_besides"] == 0
    total = mpingest.start(root, target, "--ignore-cache")["total"]
    assert total["requests"] == 2 * 17
    assert total["requests"] < planned["requests"]["total"] + planned["requests"]["listings_besides"]


@pytest.mark.parametrize("kind", ["excluded", "followed"])
def test_excludes_and_links_are_those_of_a_run(
    mpingest: CommandLine,
    plan: Planner,
    make_tree: MakeTree,
    zone: EmbeddedZone,
    target: str,
    kind: str,
) -> None:
    root = make_tree(FILES)
    (root / "to dir0").symlink_to("dir0")
    (root / "round").symlink_to(".")
    options = {
        "excluded": ("--exclude-directory-name", f"{root}/dir1", "--exclude-file-type", "link"),
        "followed": ("--follow-symlinks", "inside", "--special", "register"),
    }[kind]
    settle()
    planned = plan.alike(*options, root, target)
    assert_true(planned, mpingest.start(root, target, *options), zone)
    assert planned["excluded"] == (3 if kind == "excluded" else 0)


HANDLER = """
from mpingest.handler.core import Core
from mpingest.handler.operations import Operation, DeleteMode

class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        if meta["path"].endswith("asks"):
            session.data_objects.exists(meta["target"])
        if meta["path"].endswith("fails"):
            raise ValueError("no operation for it")
        return Operation.PUT_SYNC if "dir1" in meta["path"] else Operation.REGISTER_SYNC

    @staticmethod
    def delete_mode(meta):
        return DeleteMode.TRASH if "dir1" in meta["path"] else DeleteMode.DO_NOT_DELETE
"""
HOOKS = """
class event_handler:
    @staticmethod
    def pre_coll_create(hdlr_mod, logger, session, meta, **options):
        assert session.zone

    @staticmethod
    def metadata(meta):
        assert meta["job_name"] != "plan"
        return [("a", "1")]

    @staticmethod
    def acl(meta):
        assert meta["job_name"] != "plan"
        return [("read", "public")]
"""


def test_a_handler_says_what_is_to_be_done(
    mpingest: CommandLine,
    plan: Planner,
    make_tree: MakeTree,
    zone: EmbeddedZone,
    target: str,
    tmp_path: Path,
) -> None:
    script = tmp_path / "handler.py"
    script.write_text(HANDLER)
    root = make_tree(FILES)
    options = ("--event-handler", str(script))
    settle()
    planned = plan.alike(*options, root, target)
    assert {(step["operation"], step["request"], step["files"]) for step in planned["steps"]} == {
        ("put_sync", "put", 15),
        ("register_sync", "register", len(FILES) - 15),
    }
    assert_true(planned, mpingest.start(root, target, *options), zone)
    settle()
    shutil.rmtree(root / "dir1/sub1")
    shutil.rmtree(root / "dir2/sub1")
    planned = plan(*options, root, target)
    assert planned["deletions"]["objects"] == 5
    zone.reset_counts()
    assert_true(planned, mpingest.start(root, target, *options), zone)

    make_tree({"dir0/asks": b"", "dir0/fails": b""})
    planned = plan.alike(*options, root, target, code=3)
    assert planned["unforeseen"] == 1
    assert any("asks the zone about 1 files" in note for note in planned["notes"])
    assert planned["failures"] == [
        {"path": "dir0/fails", "reason": "operation() raised ValueError: no operation for it"}
    ]
    assert "name TARGET" in plan.refused(*options, "--jobs-dir", tmp_path / "none", root)


def test_hooks_are_not_called_but_what_they_take_is_known(
    mpingest: CommandLine, plan: Planner, make_tree: MakeTree, target: str, tmp_path: Path
) -> None:
    script = tmp_path / "handler.py"
    script.write_text(HOOKS)
    options = ("--event-handler", str(script))
    root = make_tree(FILES)
    planned = plan(*options, "--job-name", "plan", root, target)
    [collections] = [note for note in planned["notes"] if "pre_coll_create()" in note]
    assert "not called" in collections
    assert [note for note in planned["notes"] if "metadata(), acl()" in note]
    assert planned["requests"]["total"] == mpingest.start(root, target, *options)["total"]["requests"]


def test_no_trace_is_left(mpingest: CommandLine, plan: Planner, make_tree: MakeTree, target: str) -> None:
    root = make_tree(FILES)
    plan(root, target)
    assert not mpingest.jobs.exists()
    mpingest.start(root, target)
    settle()
    (root / "top").write_bytes(b"changed")
    before = traces(mpingest.jobs)
    for path in sorted(mpingest.jobs.rglob("*"), reverse=True):
        path.chmod(0o500 if path.is_dir() else 0o400)
    mpingest.jobs.chmod(0o500)
    read_only = traces(mpingest.jobs)
    plan.command.prefix = powerless()
    try:
        assert files(plan(root, target, ranks=4)) == {"modified": 1, "unchanged": len(FILES) - 1}
    finally:
        assert traces(mpingest.jobs) == read_only
        for path in [mpingest.jobs, *mpingest.jobs.rglob("*")]:
            path.chmod(0o700 if path.is_dir() else 0o600)
    assert {path: entry[1:] for path, entry in traces(mpingest.jobs).items()} == {
        path: entry[1:] for path, entry in before.items()
    }


@pytest.fixture
def cut_off(mpingest: CommandLine, make_tree: MakeTree, target: str) -> Path:
    """The root of a job; of its last run only segments tell, no checkpoint."""
    root = make_tree({f"dir{number % 4}/file{number}": b"x" for number in range(20)})
    mpingest.start(root, target)
    make_tree({f"dir{number % 5}/file{number}": b"x" for number in range(20, 80)})
    settle()
    command = [sys.executable, "-m", "tests.e2e.crash.accident", "start", root, target]
    environment = mpingest.environment | {"ACCIDENT": "0 after publish 1"}
    killed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert sealed_segments(mpingest.last_run() / "manifest")
    return root


def test_what_a_run_that_was_cut_off_had_done_counts(
    mpingest: CommandLine,
    plan: Planner,
    zone: EmbeddedZone,
    cut_off: Path,
    target: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = traces(mpingest.jobs)
    planned = plan.alike(cut_off, target)
    assert 20 < files(planned)["unchanged"] < 80
    assert [note for note in planned["notes"] if "run 2 was cut off" in note]

    copy = tmp_path / "copy"
    shutil.copytree(mpingest.jobs, copy)
    (segment,) = copy.rglob("rank*.h5")
    segment.write_bytes(segment.read_bytes()[:-100])
    damaged = traces(copy)
    without = plan("--jobs-dir", copy, cut_off, target)
    assert files(without) == {"unchanged": 20, "new": 60}
    assert [note for note in without["notes"] if f"{segment} is damaged" in note]
    assert traces(copy) == damaged

    taken = tmp_path / "taken"
    shutil.copytree(mpingest.jobs, taken)

    def merge_as_another_run_does(*arguments: Any) -> Any:
        """Between our look at the segments and their merge, a run takes them in."""
        patch.undo()
        (job,) = JobDirectory.all(str(taken))
        checkpoint = Path(job.checkpoint)
        for segment in merge(checkpoint, job.segments(), checkpoint, arguments[-1]).merged:
            segment.unlink()
        return merge(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("mpingest.jobs.plan.merge", merge_as_another_run_does)
        assert plan("--jobs-dir", taken, cut_off, target)["changes"] == planned["changes"]

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", "/proc/nowhere")
        assert "/proc/nowhere: No such file or directory; set TMPDIR" in plan.refused(cut_off, target)
    assert traces(mpingest.jobs) == before
    zone.reset_counts()
    assert_true(planned, mpingest.start(cut_off, target), zone)


def test_a_run_in_progress_is_told_of(mpingest: CommandLine, plan: Planner, make_tree: MakeTree, target: str) -> None:
    root = make_tree(FILES)
    mpingest.start(root, target)
    settle()
    with JobDirectory(str(mpingest.job())).locked():
        before = traces(mpingest.jobs)
        planned = plan(root, target)
        assert traces(mpingest.jobs) == before
    assert files(planned) == {"unchanged": len(FILES)}
    assert [note for note in planned["notes"] if f"by process {os.getpid()} on {socket.gethostname()}" in note]
    assert plan(root, target)["notes"] == []


def test_the_job_is_found_by_its_root(mpingest: CommandLine, plan: Planner, make_tree: MakeTree, target: str) -> None:
    root = make_tree({"file": b"x"})
    planned = plan(root)
    assert planned["job"] == {"name": "", "root": str(root), "target": ""}
    assert files(planned) == {"new": 1}
    assert any("no job of this root" in note for note in planned["notes"])
    mpingest.start(root, target, "--job-name", "one")
    settle()
    assert plan(root)["job"] == {"name": "one", "root": str(root), "target": target}
    assert files(plan("--job-name", "one", root)) == {"unchanged": 1}
    mpingest("start", "--job-name", "two", root, f"{target}/two")
    said = plan.refused(root)
    assert f"one ({target}), two ({target}/two)" in said
    assert f"no job 'three' in {mpingest.jobs}; there are one, two" in plan.refused("--job-name", "three", root)
    other = make_tree({}).parent / "other"
    other.mkdir()
    (other / "file").touch()
    assert f"job 'one' is that of '{root}'" in plan.refused("--job-name", "one", other)
    assert f"job 'one' is that of '{root}'" in plan.refused("--job-name", "one", other, target)


def test_another_way_is_told_of(mpingest: CommandLine, plan: Planner, make_tree: MakeTree, target: str) -> None:
    root = make_tree({"file": b"x"})
    mpingest.start(root, target, "--operation", "put")
    assert [note for note in plan(root, target)["notes"] if "it was put before, now it is register_sync" in note]
    mpingest.environment["MPINGEST_START_OPERATION"] = "put"
    plan.command.environment["MPINGEST_START_OPERATION"] = "put"
    assert plan(root, target)["notes"] == []


def test_what_is_set_for_start_holds_for_plan(plan: Planner, make_tree: MakeTree, tmp_path: Path) -> None:
    root = make_tree({"file": b"x"})
    config = tmp_path / "config.toml"
    config.write_text("[start]\noperation = 'put'\ninterval = 5\n[plan]\nnames = 0\n")
    done = CliRunner().invoke(cli, ["--config", str(config), "plan", "--json", str(root)], env=plan.command.environment)
    planned = json.loads(done.stdout)
    assert planned["way"] == "put"
    assert planned["changes"]["new"]["names"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nothing"], "no such directory"),
        ([".", "relative"], "must be an absolute path"),
        ([".", "/"], "must be a collection"),
        ([".", "/zone/home", "--event-handler", "none.py"], "no such file"),
        ([".", "/zone/home", "--delete-mode", "trash"], "does not fit operation register_sync"),
        ([".", "/zone/home", "--delete-unknown"], "deletes nothing without --delete-mode"),
        ([".", "/zone/home", "--job-name", "a/b"], "use up to 64 letters"),
        ([".", "/zone/home", "--jobs-dir", "jobs"], "lies in the root"),
        (["empty"], "--allow-empty"),
    ],
)
def test_bad_input(
    plan: Planner, make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    root = make_tree({"file": b"x"})
    (root / "empty").mkdir()
    monkeypatch.chdir(root)
    assert says in plan.refused(*arguments)
    assert sorted(os.listdir(root)) == ["empty", "file"]


@pytest.mark.parametrize(("option", "value"), [("--names", "-1"), ("--operation", "move")])
def test_bad_usage(make_tree: MakeTree, option: str, value: str) -> None:
    done = CliRunner().invoke(cli, ["plan", option, value, str(make_tree({"file": b"x"}))])
    assert done.exit_code == 2
    assert option in done.stderr


def test_an_error_is_one_line_in_any_world(plan: Planner, make_tree: MakeTree) -> None:
    root = make_tree({"file": b"x"})
    done = plan.command("plan", root, "relative", ranks=3)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == ["mpingest: target relative: must be an absolute path such as /tempZone/home/…"]


def test_what_cannot_be_read_is_said(plan: Planner, make_tree: MakeTree, target: str) -> None:
    root = make_tree(FILES)
    (root / "dir1").chmod(0)
    plan.command.prefix = powerless()
    try:
        planned = plan(root, target, ranks=4, code=3)
        assert planned["failures"] == [{"path": "dir1", "reason": "Permission denied"}]
        assert files(planned) == {"new": sum(not name.startswith("dir1/") for name in FILES)}
        assert "failing      dir1: Permission denied" in plan.text(root, target, code=3)
    finally:
        (root / "dir1").chmod(0o700)


def test_names_are_the_first_ones(plan: Planner, make_tree: MakeTree) -> None:
    names = [f"{a}/{b}{c}" for a in ("a", "a-b", "a.b", "b") for b in ("x", "x/", "x-") for c in ("1", "2", "3")]
    root = make_tree(dict.fromkeys(names, b""))
    ordered = sorted(names, key=lambda name: name.replace("/", "\0"))
    for count, ranks in ((0, None), (1, None), (7, None), (7, 4), (100, None)):
        planned = plan("--names", str(count), "--slice-size", "1", root, ranks=ranks)
        assert planned["changes"]["new"]["names"] == ordered[:count]


def test_the_table_says_it_all(mpingest: CommandLine, plan: Planner, make_tree: MakeTree, target: str) -> None:
    root = make_tree(FILES)
    mpingest.start(root, target)
    settle()
    make_tree({"two\nlines": b"new", "top": b"modified"})
    (root / "dir0/sub0/file00").unlink()
    text = plan.text("--delete-mode", "unregister", root, target)
    assert f"{root} to {target}: run 2 of job {mpingest.job().name}, register_sync" in text
    rows = [" ".join(line.split()) for line in text.splitlines()]
    for row in (
        "new 1 3 B",
        "'two\\nlines'",
        "modified 1 8 B",
        "top",
        f"unchanged {len(FILES) - 2} {sum(range(60)) / 1000:.1f} kB",
        "deleted 1 0 B",
        "dir0/sub0/file00",
        "register_sync, new: register 1 3 B 1",
        "register_sync, modified: update 1 8 B 1",
        "delete objects 1 0 B 2",
        "in all 4",
        "nothing was asked of a zone, and nothing written",
    ):
        assert row in rows, text


SLOW = """
import os, time
from mpingest.handler.core import Core
from mpingest.handler.operations import Operation

class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        if meta["entry_type"] == "file":
            with open(os.environ["MARK"] + ".new", "w") as mark:
                mark.write(str(os.getpid()))
            os.rename(mark.name, os.environ["MARK"])
            time.sleep(0.2)
        return Operation.REGISTER_SYNC
"""


@pytest.mark.parametrize(("number", "ranks"), [(signal.SIGTERM, None), (signal.SIGUSR1, 3)])
def test_a_signal_ends_it(
    plan: Planner, make_tree: MakeTree, target: str, tmp_path: Path, number: signal.Signals, ranks: int | None
) -> None:
    root = make_tree({f"file{number}": b"x" for number in range(1000)})
    script, mark = tmp_path / "slow.py", tmp_path / "mark"
    script.write_text(SLOW)
    launcher = [] if ranks is None else [mpiexec(), "-n", str(ranks)]
    command = [*launcher, sys.executable, "-m", "mpingest", "plan", "--event-handler", script, root, target]
    environment = plan.command.environment | {"MARK": str(mark)}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    while not mark.exists():
        assert running.poll() is None
        time.sleep(0.02)
    os.kill(int(mark.read_text()), number)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 75, err
    assert f"stopped by {number.name}: run the same line again" in err.decode()
    assert out == b""


def test_a_stall_ends_it(plan: Planner, make_tree: MakeTree, target: str, tmp_path: Path) -> None:
    root = make_tree({"file": b"x", "dir/hangs": b"x"})
    script = tmp_path / "hangs.py"
    script.write_text(
        HANDLER.replace('if meta["path"].endswith("asks"):', 'while meta["path"].endswith("hangs"):').replace(
            'session.data_objects.exists(meta["target"])', "import time; time.sleep(1)"
        )
    )
    planned = plan("--event-handler", script, "--stall-timeout", "1", root, target, ranks=3, code=75)
    assert planned["partial"] is True
    [stalled] = planned["stalled"]
    assert f"scanning {root}/dir for" in stalled["at"]
