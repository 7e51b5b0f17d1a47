"""Landing zones: what is left alone until it has arrived, and taken away once it is in the zone, pass after pass."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from irods.session import iRODSSession

from mpingest.cli.root import cli
from mpingest.errors import MpingestError
from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import CommandLine, mpiexec, powerless
from tests.e2e.checking import assert_put, objects_below
from tests.e2e.test_options import wait_until
from tests.e2e.test_start import settle

PUT = ("--operation", "put", "--allow-empty")
DELETE = (*PUT, "--after-ingest", "delete")
SECONDS = 1.5
"""What files are left alone for."""


@dataclass
class Landing:
    """A root, and ``mpingest start`` on it, in this process."""

    command: CommandLine
    root: Path
    target: str

    def __call__(self, *options: str | Path, name: str = "start", code: int = 0) -> str:
        """What it says."""
        arguments = [name, *map(os.fspath, options), str(self.root), self.target]
        done = CliRunner().invoke(cli, arguments, env=self.command.environment)
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    def run(self, *options: str | Path, code: int = 0) -> dict[str, int]:
        """The figures of a run."""
        self(*options, code=code)
        total: dict[str, int] = self.command.summary()["total"]
        return total

    def refused(self, *options: str | Path) -> str:
        """Why it can't be done, in a line; nothing was."""
        before = self.files()
        arguments = ["start", *map(os.fspath, options), str(self.root), self.target]
        done = CliRunner().invoke(cli, arguments, env=self.command.environment)
        assert done.exit_code in (1, 2)
        assert self.files() == before
        (line,) = str(done.exception if isinstance(done.exception, MpingestError) else done.output).splitlines()[-1:]
        return line

    def files(self, below: Path | None = None) -> dict[str, bytes]:
        """Content of all that is no directory, by relative path."""
        top = below or self.root
        return {
            str(path.relative_to(top)): os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            for path in top.rglob("*")
            if path.is_symlink() or not path.is_dir()
        }

    def write(self, *names: str, age: float = 3600) -> None:
        """Files whose name is their content, written so long ago as far as mtime tells; age: seconds."""
        for name in names:
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            then = time.time() - age
            os.utime(path, (then, then))
        settle()


@pytest.fixture
def landing(mpingest: CommandLine, tmp_path: Path, target: str) -> Landing:
    (tmp_path / "root").mkdir()
    return Landing(mpingest, tmp_path / "root", target)


def stored(session: iRODSSession, target: str) -> dict[str, bytes]:
    """Content of every object, by relative path."""
    found = {}
    for name in objects_below(session, target):
        with session.data_objects.open(f"{target}/{name}", "r") as file:
            found[name] = file.read()
    return found


def contents(*names: str) -> dict[str, bytes]:
    return {name: name.encode() for name in names}


# What has not arrived yet.


def test_files_written_lately_are_left_to_a_later_run(landing: Landing, session: iRODSSession) -> None:
    landing.write("dir/old", "old")
    landing.write("dir/young", "young", age=0)
    planned = json.loads(landing(*PUT, "--settle", "60", "--json", name="plan"))
    assert planned["left_alone"] == [
        {"reason": "written lately (--settle): a later run takes them", "files": 2, "bytes": 14}
    ]
    assert [step["files"] for step in planned["steps"]] == [2]
    said = landing(*PUT, "--settle", "60")
    assert "left alone   2 files written lately (--settle): a later run takes them" in said
    assert set(objects_below(session, landing.target)) == {"dir/old", "old"}
    landing.write("young", "dir/young")
    # One that was taken is left alone, too, while it is written again.
    (landing.root / "old").write_text("older")
    settle()
    total = landing.run("--operation", "put_sync", "--settle", "60")
    assert (total["young"], total["outcome_done"]) == (1, 2)
    assert stored(session, landing.target)["old"] == b"old"
    landing.run("--operation", "put_sync")
    assert assert_put(session, landing.root, landing.target) == 4


def test_an_mtime_in_the_future_keeps_no_file_from_being_taken(landing: Landing, session: iRODSSession) -> None:
    landing.write("camera", age=-86400)
    assert landing.run(*PUT, "--settle", str(SECONDS))["young"] == 1
    time.sleep(SECONDS)
    assert landing.run(*PUT, "--settle", str(SECONDS))["outcome_done"] == 1
    assert set(objects_below(session, landing.target)) == {"camera"}


def test_what_failed_and_is_young_is_tried_later(landing: Landing, zone: EmbeddedZone, session: iRODSSession) -> None:
    landing.write("file")
    zone.inject("fail", Api.DATA_OBJ_PUT_AN, status=-818000)
    assert landing.run(*PUT, code=3)["outcome_failed"] == 1
    (landing.root / "file").write_text("file")
    settle()
    assert landing.run(*PUT, "--settle", "60")["young"] == 1
    landing.write("file")
    assert landing.run(*PUT, "--settle", "60")["outcome_done"] == 1
    assert stored(session, landing.target) == contents("file")


def test_a_directory_waits_for_its_marker_and_for_all_below_it(landing: Landing, session: iRODSSession) -> None:
    landing.write("run1/a/b/file", "run1/DONE", "run2/file", "run3/sub/DONE", "top")
    ready = (*PUT, "--ready-file", "DONE")
    landing.write("run1/a/b/young", age=0)
    planned = json.loads(landing(*ready, "--settle", str(SECONDS), "--json", name="plan"))
    assert planned["not_ready"] == 3
    assert landing.run(*ready, "--settle", str(SECONDS))["not_ready"] == 3
    assert set(objects_below(session, landing.target)) == {"top"}
    assert landing.run(*ready)["not_ready"] == 2
    names = {"top", "run1/a/b/file", "run1/a/b/young", "run1/DONE"}
    assert set(objects_below(session, landing.target)) == names
    # Once it is taken it is one like any other, with or without its marker.
    landing.write("run1/later")
    (landing.root / "run1/DONE").unlink()
    assert landing.run(*ready)["outcome_done"] == 1
    # What has lost its marker is not gone, whatever is deleted.
    sync = ("--operation", "put_sync", "--delete-mode", "no_trash", "--ready-file", "DONE")
    assert landing.run(*sync)["outcome_removed"] == 1
    assert set(objects_below(session, landing.target)) == (names | {"run1/later"}) - {"run1/DONE"}


def test_a_marker_is_a_file_in_the_directory(landing: Landing) -> None:
    for name in ("", ".", "..", "a/b"):
        assert "is no name of a file in a directory" in landing.refused(*PUT, "--ready-file", name)
    (landing.root / "run/DONE").mkdir(parents=True)
    assert landing.run(*PUT, "--ready-file", "DONE")["not_ready"] == 1


# What is taken away.


def test_a_world_takes_away_what_it_has_put(
    landing: Landing, session: iRODSSession, zone: EmbeddedZone, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    done.mkdir()
    names = [f"run{number % 3}/sub{number % 2}/file{number}" for number in range(60)]
    landing.write(*names, "run0/DONE", "run1/DONE")
    (landing.root / "run1/empty").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"elsewhere")
    (landing.root / "link").symlink_to(elsewhere)
    options = (*PUT, "--ready-file", "DONE", "--slice-size", "7", "--after-ingest", f"move:{done}")
    summary = landing.command.start(landing.root, landing.target, *options, ranks=3)
    taken = [name for name in [*names, "run0/DONE", "run1/DONE"] if not name.startswith("run2")]
    assert (summary["total"]["outcome_released"], summary["exit_code"]) == (len(taken), 0)
    assert landing.files(done) == contents(*taken)
    assert stored(session, landing.target) == contents(*taken) | {"link": b"elsewhere"}
    assert sorted(os.listdir(landing.root)) == ["link", "run2"], "emptied directories that were ready go"

    landing.write("run2/DONE")
    landing.command.start(landing.root, landing.target, *options, ranks=3)
    assert landing.files(done) == contents(*names, *(f"run{number}/DONE" for number in range(3)))
    zone.reset_counts()
    idle = landing.command.start(landing.root, landing.target, *options, ranks=3)
    assert (idle["total"]["requests"], idle["total"]["change_unchanged"]) == (0, 1)
    assert Api.DATA_OBJ_PUT_AN.name not in zone.stats()["requests"]


def test_what_was_taken_away_is_never_deleted_from_the_zone(landing: Landing, session: iRODSSession) -> None:
    landing.write(*(names := ("a/b/one", "a/two", "three")))
    assert landing.run(*DELETE)["outcome_released"] == 3
    assert landing.files() == {}
    assert (landing.root / "a/b").is_dir(), "directories stay"
    deletes = ("--operation", "put_sync", "--allow-empty", "--delete-mode", "no_trash", "--max-delete", "9")
    for options in (deletes, (*deletes, "--ignore-cache"), (*deletes, "--detect-renames")):
        assert landing.run(*options)["outcome_removed"] == 0
    shutil.rmtree(landing.root / "a")
    landing.run(*deletes)
    landing.run(*deletes)
    assert "has taken files away after their ingest" in landing.refused(*deletes, "--delete-unknown")
    (landing.command.job() / "checkpoint.h5").unlink()
    assert "has taken files away" in landing.refused(*deletes, "--delete-unknown")
    landing.run(*deletes)
    assert stored(session, landing.target) == contents(*names)


def test_verify_finds_objects_missing_whose_files_were_taken_away(landing: Landing, session: iRODSSession) -> None:
    landing.write("dir/kept", "dir/lost", "dir/cut")
    landing.run(*DELETE)
    job = landing.command.job().name
    assert landing.command("verify", job).returncode == 0, landing.command.last.stdout
    session.data_objects.unlink(f"{landing.target}/dir/lost", force=True)
    with session.data_objects.open(f"{landing.target}/dir/cut", "w") as file:
        file.write(b"cu")
    assert landing.command("verify", job).returncode == 3
    said = landing.command.last.stdout
    assert "its file was moved or deleted after the ingest, and there is no object" in said
    assert "recorded with 7 bytes, 2 in the catalog" in said


def test_a_file_that_is_put_back_or_replaced_is_taken_as_it_is(landing: Landing, session: iRODSSession) -> None:
    landing.write("same", "other")
    landing.run(*DELETE)
    landing.write("same")
    (landing.root / "other").write_text("of that name again")
    settle()
    failed = landing("--operation", "put", "--after-ingest", "delete", code=3)
    assert "its object has no good replica of its size" in failed
    assert landing.files() == {"other": b"of that name again"}
    assert stored(session, landing.target) == contents("same", "other"), "put replaces nothing"
    landing("--operation", "put_sync", "--after-ingest", "delete", "--ignore-cache")
    assert stored(session, landing.target)["other"] == b"of that name again"
    assert landing.files() == {}


def test_what_cannot_go_stays_and_is_tried_again(landing: Landing, tmp_path: Path, session: iRODSSession) -> None:
    done = tmp_path / "done"
    done.mkdir()
    landing.write("dir/file", "free")
    (done / "dir").mkdir()
    (done / "dir/file").write_text("another")
    options = (*PUT, "--after-ingest", f"move:{done}")
    said = landing(*options, code=3)
    assert "cannot be moved: another file of that name is there already" in said
    assert landing.files() == contents("dir/file")
    (done / "dir/file").unlink()
    landing(*options)
    assert landing.files() == {}
    assert landing.files(done) == contents("dir/file", "free")
    assert stored(session, landing.target) == contents("dir/file", "free")


def test_a_file_that_must_not_be_deleted_is_named(landing: Landing, session: iRODSSession) -> None:
    landing.write("dir/file")
    (landing.root / "dir").chmod(0o500)
    command = CommandLine(landing.command.environment, landing.command.jobs, powerless())
    assert command("start", *DELETE, landing.root, landing.target).returncode == 3
    assert command.failures() == [{"path": "dir/file", "reason": "cannot be deleted: Permission denied"}]
    (landing.root / "dir").chmod(0o700)
    assert landing.run(*DELETE)["outcome_released"] == 1
    assert stored(session, landing.target) == contents("dir/file")


def test_a_handler_says_which_files_have_served(landing: Landing, session: iRODSSession, tmp_path: Path) -> None:
    landing.write("put/file", "kept/file")
    handler = tmp_path / "handler.py"
    script = (
        "from irods_capability_automated_ingest.core import Core\n"
        "from irods_capability_automated_ingest.utils import Operation, DeleteMode\n"
        "class event_handler(Core):\n"
        "    @staticmethod\n"
        "    def operation(session, meta, **options):\n"
        "        return Operation.REGISTER_SYNC if '/kept' in meta['path'] else Operation.PUT_SYNC\n"
    )
    handler.write_text(script)
    options = ("--event-handler", handler, "--after-ingest", "delete")
    assert landing.run(*options)["outcome_released"] == 1
    assert landing.files() == contents("kept/file")
    assert set(objects_below(session, landing.target)) == {"put/file", "kept/file"}
    other = tmp_path / "other.py"
    other.write_text(f"{script}    delete_mode = staticmethod(lambda meta: DeleteMode.DO_NOT_DELETE)\n")
    said = landing.refused("--event-handler", other, "--after-ingest", "delete")
    assert "does not go with deletions" in said


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--operation", "register_sync", "--after-ingest", "delete"), "goes with --operation put or put_sync"),
        (("--operation", "put_append", "--after-ingest", "delete"), "not put_append"),
        ((*DELETE, "--follow-symlinks", "all"), "does not go with --follow-symlinks"),
        (("--operation", "put_sync", "--delete-mode", "trash", "--after-ingest", "delete"), "go with --delete-mode"),
        ((*PUT, "--after-ingest", "burn"), "is none of keep, move:DIR, delete"),
        ((*PUT, "--after-ingest", "move:"), "is none of keep, move:DIR, delete"),
        ((*PUT, "--after-ingest", "move:/nowhere/done"), "no such directory: make it"),
        ((*PUT, "--after-ingest", "move:{root}/below"), "lies in the other"),
        ((*PUT, "--after-ingest", "move:{root}/.."), "lies in the other"),
        ((*PUT, "--settle", "-1"), "--settle"),
    ],
)
def test_what_makes_no_sense_is_refused(landing: Landing, options: tuple[str, ...], why: str) -> None:
    landing.write("below/file")
    assert why in landing.refused(*(option.format(root=landing.root) for option in options))


# Whatever happens between two runs, nothing goes whose content is not in the zone.

OBJECTS = ("whole", "absent", "short", "other", "no checksum")
SOURCES = ("same", "rewritten", "touched", "link", "gone")


@given(
    st.lists(st.tuples(st.sampled_from(OBJECTS), st.sampled_from(SOURCES)), min_size=4, max_size=10),
    st.sampled_from(["put", "put_sync"]),
    st.booleans(),
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_is_removed_unless_verified(
    landing: Landing,
    session: iRODSSession,
    tmp_path: Path,
    drawn: list[tuple[str, str]],
    operation: str,
    moves: bool,
) -> None:
    number = len(list(tmp_path.iterdir()))
    command = CommandLine(landing.command.environment, landing.command.jobs)
    own = Landing(command, tmp_path / f"root{number}", f"{landing.target}/{number}")
    own.root.mkdir()
    done, aside = tmp_path / f"done{number}", tmp_path / f"aside{number}"
    done.mkdir()
    aside.mkdir()
    names = [f"file{index}" for index in range(len(drawn))]
    own.write(*names)
    own("--operation", operation, "--job-name", f"job{number}")
    for name, (stored_as, source) in zip(names, drawn, strict=True):
        spoil_object(session, f"{own.target}/{name}", stored_as)
        spoil_file(own.root / name, aside / name, source)
    settle()
    before = own.files()
    how = f"move:{done}" if moves else "delete"
    arguments = ["start", "--operation", operation, "--after-ingest", how, "--job-name", f"job{number}"]
    ran = CliRunner().invoke(cli, [*arguments, "--allow-empty", str(own.root), own.target], env=command.environment)
    assert ran.exit_code in (0, 3), (ran.output, ran.exception)
    after, in_zone = own.files(), stored(session, own.target)
    for name, content in before.items():
        if name in after:
            assert after[name] == content
        else:
            assert in_zone[name] == content
            assert not moves or (done / name).read_bytes() == content
    for name, (stored_as, source) in zip(names, drawn, strict=True):
        if (source == "same" and stored_as in ("whole", "no checksum")) or (
            source == "rewritten" and operation == "put_sync"
        ):
            assert name not in after, (name, stored_as, source)
    assert {name: content for name, content in own.files(aside).items() if content != name.encode()} == {}
    assert ("stays, for" in ran.output) == (ran.exit_code == 3)


def spoil_object(session: iRODSSession, path: str, how: str) -> None:
    if how == "absent":
        session.data_objects.unlink(path, force=True)
    elif how != "whole":
        size = session.data_objects.get(path).size
        with session.data_objects.open(path, "r") as file:
            content = file.read()
        with session.data_objects.open(path, "w") as file:
            file.write({"short": content[:-1], "other": b"x" * size, "no checksum": content}[how])


def spoil_file(path: Path, aside: Path, how: str) -> None:
    if how == "gone":
        path.unlink()
    elif how == "touched":
        path.chmod(0o600)
    elif how == "rewritten":
        path.write_text("rewritten, and longer")
    elif how == "link":
        path.rename(aside)
        path.symlink_to(aside)


# Killed at any step.

KILLS = (
    "any after seal 1",
    "any before take_away 2",
    "any before copy 2",
    "any after copy 2",
    "any after take_away 3",
    "0 before rmdir 1",
    "0 after rmdir 1",
)


@pytest.mark.parametrize(
    ("accident", "then"),
    [*((accident, "again") for accident in KILLS), *((accident, "delete") for accident in KILLS[::2])],
)
def test_a_run_that_is_killed_loses_nothing_and_the_next_finishes_it(
    landing: Landing, session: iRODSSession, tmp_path: Path, accident: str, then: str
) -> None:
    """Also where the next one deletes what is gone."""
    done = tmp_path / "done"
    done.mkdir()
    names = [f"run/sub{number % 2}/file{number}" for number in range(8)]
    landing.write(*names, "run/DONE")
    options = [*PUT, "--ready-file", "DONE", "--slice-size", "3", "--after-ingest", f"move:{done}"]
    command = [sys.executable, "-m", "tests.e2e.crash.accident", "start", *options, str(landing.root), landing.target]
    environment = landing.command.environment | {"ACCIDENT": accident}
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    settle()  # a hard link is a change of the file that it is made of
    everything = contents(*names, "run/DONE")
    assert landing.files() | landing.files(done) == everything
    if then == "delete":
        delete = ("--operation", "put_sync", "--delete-mode", "no_trash", "--max-delete", "99", "--allow-empty")
        landing.run(*delete)
        assert stored(session, landing.target) == everything
    landing(*options)
    assert landing.files() == {}
    assert {name: data for name, data in landing.files(done).items() if ".mpingest-part" not in name} == everything
    assert stored(session, landing.target) == everything
    assert os.listdir(landing.root) == []


# Pass after pass.


@contextmanager
def passes(landing: Landing, *options: str | Path, ranks: int) -> Iterator[subprocess.Popen[str]]:
    """A world that goes on until it is stopped, in order."""
    start = [sys.executable, "-m", "mpingest", "start", *map(os.fspath, options), str(landing.root), landing.target]
    command = [mpiexec(), "-n", str(ranks), *start]
    with subprocess.Popen(command, env=landing.command.environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                landing.command("stop", landing.command.job().name)
            process.communicate(timeout=60)
    assert process.returncode == 75


def processor_seconds(root: Path) -> dict[str, float]:
    """Of each rank, by process."""
    spent = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            fields = (path / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if os.fsencode(root) in words and words[1:3] == [b"-m", b"mpingest"]:
            spent[path.name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent


def test_passes_that_find_nothing_ask_nothing_and_leave_nothing(
    landing: Landing, zone: EmbeddedZone, session: iRODSSession, tmp_path: Path
) -> None:
    log, handler = tmp_path / "hooks", tmp_path / "handler.py"
    handler.write_text(
        "from irods_capability_automated_ingest.core import Core\n"
        "class event_handler(Core):\n"
        "    @staticmethod\n"
        "    def pre_job(module, logger, meta):\n"
        f"        open({str(log)!r}, 'a').write('pre\\n')\n"
        "    @staticmethod\n"
        "    def post_job(module, logger, meta):\n"
        f"        open({str(log)!r}, 'a').write('post\\n')\n"
    )
    landing.write("first")
    options = (*DELETE, "--interval", "0.3", "--event-handler", handler)

    def count() -> int:
        return log.read_text().count("post") if log.exists() else 0

    with passes(landing, *options, ranks=3):
        wait_until(lambda: count() >= 2)
        zone.reset_counts()
        begin = count()
        wait_until(lambda: count() >= begin + 4)
        assert sum(zone.stats()["requests"].values()) == 0
        assert len(list((landing.command.job() / "runs").iterdir())) <= 4
        landing.write("second")
        wait_until(lambda: landing.files() == {})
    assert stored(session, landing.target) == contents("first", "second")
    assert re.fullmatch(r"(pre\npost\n)+(pre\n)?", log.read_text())
    assert count() >= 6


def test_between_passes_a_world_waits_asleep(landing: Landing) -> None:
    landing.write("file")

    def state() -> Any:
        return json.loads(landing.command("status", "--json", landing.command.job().name).stdout)["state"]

    with passes(landing, *PUT, "--interval", "600", ranks=3):
        wait_until(lambda: landing.command.jobs.exists() and state() == "waiting")
        before, began = processor_seconds(landing.root), time.monotonic()
        assert len(before) == 3
        time.sleep(4)
        after, seconds = processor_seconds(landing.root), time.monotonic() - began
        busiest = max(after[process] - before[process] for process in before)
        assert busiest / seconds < 0.01 + 2 / os.sysconf("SC_CLK_TCK") / seconds
        again = landing.command("start", *PUT, landing.root, landing.target)
        assert (again.returncode, "is being run by" in again.stderr) == (1, True), "the job is held meanwhile"
    assert state() in ("stopped", "done")
