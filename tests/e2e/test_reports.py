"""``mpingest report`` and ``mpingest failures`` about runs that were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import CommandLine

MakeTree = Callable[[dict[str, bytes]], Path]


def test_what_a_run_has_done_and_what_failed_is_told_again(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree({f"dir/file{number}": b"x" for number in range(10)})
    zone.inject("fail", Api.DATA_OBJ_PUT_AN, status=-818000, times=4)
    try:
        mpingest.start(root, target, "--operation", "put_sync", "--bundle", "never", ranks=3)
    finally:
        zone.clear_faults()
    said, job = mpingest.last.stdout, mpingest.job().name
    summary = mpingest.summary()
    grouped = json.loads(mpingest("failures", "--json", "--names", "2", job).stdout)
    (group,) = grouped["groups"]
    assert (grouped["run"], grouped["total"], group["error"]) == (1, 4, "CAT_NO_ACCESS_PERMISSION")
    assert {example["path"] for example in group["examples"]} < {failure["path"] for failure in mpingest.failures()}
    assert mpingest("failures", job).stdout.startswith(f"job {job}, run 1: 4 failures\n")
    assert mpingest("report", job).stdout == said

    mpingest.start(root, target, "--operation", "put_sync", "--bundle", "never")
    assert mpingest("report", job).stdout == mpingest("report", "--run", "2", job).stdout != said
    assert mpingest("report", "--run", "1", job).stdout == said
    assert json.loads(mpingest("report", "--run", "1", "--json", job).stdout) == summary
    assert mpingest("failures", job).stdout == f"job {job}, run 2: 0 failures\n"


def test_a_summary_that_is_not_there_or_damaged_is_told_in_a_line(
    mpingest: CommandLine, make_tree: MakeTree, target: str
) -> None:
    mpingest.start(make_tree({"file": b"x"}), target)
    job, summary = mpingest.job().name, mpingest.last_run() / "summary.json"
    for content in (b'{"job": ', b"[]", b'{"ranks": 7}', b"\xff", b"{}"):
        summary.write_bytes(content)
        ran = mpingest("report", job)
        assert (ran.returncode, len(ran.stderr.splitlines()), "is damaged" in ran.stderr) == (1, 1, True)
    summary.unlink()
    ran = mpingest("report", job)
    assert (ran.returncode, "has no summary" in ran.stderr) == (1, True)


def unread(mpingest: CommandLine, *arguments: str | Path) -> tuple[int, str]:
    """A command whose stdout nobody reads: its exit code, and what it says on stderr."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "mpingest", *map(os.fspath, arguments)]
    with open(writer, "wb") as stdout:
        done = subprocess.run(
            command, env=mpingest.environment, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
        )
    return done.returncode, done.stderr


def test_a_run_does_not_end_for_want_of_readers(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, target: str, tmp_path: Path
) -> None:
    """Neither for what a handler prints. Its exit code is that of the run."""
    root = make_tree({f"dir/file{number}": b"x" for number in range(10)})
    handler = tmp_path / "handler.py"
    handler.write_text(
        "from mpingest.handler.core import Core\n"
        "from mpingest.handler.operations import Operation\n\n"
        "class event_handler(Core):\n"
        "    @staticmethod\n"
        "    def operation(session, meta, **options):\n"
        "        print('x' * 10_000)\n"
        "        return Operation.PUT_SYNC\n"
    )
    assert unread(mpingest, "start", "--event-handler", handler, root, target) == (0, "")
    assert mpingest.summary()["total"]["outcome_done"] == 10
    zone.inject("fail", Api.DATA_OBJ_PUT_AN, status=-818000)
    make_tree({"dir/file7": b"another"})
    assert unread(mpingest, "start", "--event-handler", handler, root, target)[0] == 3
    assert mpingest.summary()["total"]["outcome_failed"] == 1


def test_no_command_complains_of_readers_that_have_seen_enough(
    mpingest: CommandLine, make_tree: MakeTree, target: str
) -> None:
    root = make_tree({"file": b"x"})
    mpingest.start(root, target)
    job = mpingest.job().name
    for words in (["status", job], ["failures", job], ["list"], ["plan", root, target], ["manifest", "show", job]):
        assert unread(mpingest, *words) == (0, ""), words


def test_output_without_room_ends_commands_but_no_run(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    root = make_tree({"file": b"x"})
    no_room = "mpingest: stdout: cannot be written: No space left on device\n"
    listing, statistics = (("scan", "--format", format, root) for format in ("csv", "table"))
    for code, words in ((0, ("start", root, target)), (1, ("list", "--json")), (1, listing), (1, statistics)):
        with open("/dev/full", "wb") as stdout:
            command = [sys.executable, "-m", "mpingest", *map(os.fspath, words)]
            done = subprocess.run(
                command, env=mpingest.environment, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
            )
        assert (done.returncode, done.stderr) == (code, no_room), words
    assert mpingest.summary()["total"]["outcome_done"] == 1
