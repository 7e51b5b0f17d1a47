"""What is seen of a run from outside: --progress, watch, list and status, whatever becomes of it."""

from __future__ import annotations

import json
import os
import re
import shlex
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

from mpingest.jobs.directory import JobDirectory
from mpingest.jobs.spec import JobSpec
from tests.conftest import CommandLine, Gate, mpiexec
from tests.e2e.worlds import kill_below

MakeTree = Callable[[dict[str, bytes]], Path]

FILES = {f"dir{number % 4}/file{number}": b"x" * number for number in range(40)}


def until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.05)


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "mpingest", *map(os.fspath, arguments)]


@contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A command in a session of its own, killed in the end with all that it has started; it heeds SIGINT."""
    heeding = ["env", "--default-signal=INT", *command]  # in the background of a shell, that is ignored
    with subprocess.Popen(
        heeding, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            kill_below(process.pid)


def status(mpingest: CommandLine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mpingest("status", "--json", "lab").stdout)
    return found


def start(root: Path, target: str, *options: str | Path) -> list[str]:
    return command("start", "--job-name", "lab", *options, root, target)


def test_watch_follows_a_run_to_its_end(mpingest: CommandLine, make_tree: MakeTree, gate: Gate, target: str) -> None:
    root = make_tree(FILES)
    world = [mpiexec(), "-n", "3", *start(root, target, *gate.options)]
    with running(world, mpingest.environment) as run:
        until(lambda: gate.is_reached, "the first file")
        until(lambda: (status(mpingest)["progress"] or {}).get("to_do", 0) > 0, "the scan")
        watches = [
            command("watch", "--interval", "0.1", "lab"),
            command("watch", "--interval", "0.1", "--json", "lab"),
        ]
        with running(watches[0], mpingest.environment) as people, running(watches[1], mpingest.environment) as programs:
            assert people.stdout
            assert programs.stdout
            said = people.stdout.readline()
            assert re.match(r"job lab, run 1: after 0:00:\d\d: (scanning and )?ingesting", said)
            assert re.search(r"; scanned \d+ files in \d( of \d)? directories; done 0 of [1-9]\d* files, 0 B of ", said)
            first = json.loads(programs.stdout.readline())
            assert (first["state"], first["run"], first["progress"]["phase"]) == ("running", 1, "ingesting")
            assert first["progress"]["ranks"] == 2
            assert 1 <= first["progress"]["busy"] <= 2
            assert "lab  running" in mpingest("list").stdout
            assert re.search(r"\n  now          \w.*; [12] of 2 ranks busy\n", mpingest("status", "lab").stdout)
            gate.open()
            *_, last = [json.loads(line) for line in programs.stdout]
            rest = people.stdout.read()
        run.wait()
    assert (run.returncode, people.wait(), programs.wait()) == (0, 0, 0)
    assert last == status(mpingest)
    assert last["state"] == "done"
    assert last["progress"]["phase"] == "ended"
    assert last["progress"]["finished"] == last["progress"]["to_do"] == 40
    assert rest.splitlines()[-7:] == mpingest("status", "lab").stdout.splitlines()


def test_watch_tells_what_a_job_has_come_to(
    mpingest: CommandLine, make_tree: MakeTree, tmp_path: Path, target: str
) -> None:
    assert mpingest("watch", "lab").returncode == 1
    assert mpingest.last.stderr == f"mpingest: no job 'lab' in {mpingest.jobs}; there is no job at all\n"
    root = make_tree(FILES)
    mpingest.start(root, target, "--job-name", "lab")
    done = mpingest("watch", "lab")
    assert (done.returncode, done.stdout) == (0, mpingest("status", "lab").stdout)
    (root / "new").write_bytes(b"")
    script = tmp_path / "handler.py"
    script.write_text(
        "class event_handler:\n"
        "    @staticmethod\n"
        "    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):\n"
        "        raise ValueError('no')\n"
    )
    assert mpingest("start", "--job-name", "lab", "--event-handler", script, root, target).returncode == 3
    done = mpingest("watch", "lab")
    assert done.returncode == 3
    assert done.stdout.startswith("job lab: failed, some entries")


def test_watch_before_the_first_run(mpingest: CommandLine) -> None:
    JobDirectory.of(str(mpingest.jobs), JobSpec("lab", b"/data", "/zone/home/lab"))
    done = mpingest("watch", "lab")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "job lab: new, no run has begun")


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_killed_run_is_told_from_one_that_goes_on(
    mpingest: CommandLine, make_tree: MakeTree, gate: Gate, target: str, ranks: int
) -> None:
    root = make_tree(FILES)
    launcher = [mpiexec(), "-n", str(ranks)] if ranks > 1 else []
    with running([*launcher, *start(root, target, *gate.options)], mpingest.environment) as run:
        until(lambda: gate.is_reached, "the first file")
        with running(command("watch", "--interval", "0.1", "lab"), mpingest.environment) as watch:
            assert watch.stdout
            assert watch.stdout.readline().startswith("job lab")
            kill_below(run.pid)
            said = watch.stdout.read()
            assert watch.wait(30) == 75
    assert "\njob lab: dead, its run was killed" in f"\n{said}"
    assert "lab  dead" in mpingest("list").stdout
    assert mpingest("watch", "lab").returncode == 75
    gate.open()
    assert mpingest("start", "--job-name", "lab", root, target, ranks=ranks).returncode == 0
    assert mpingest("watch", "lab").returncode == 0
    assert "lab  done" in mpingest("list").stdout


def test_a_run_that_is_stopped_is_watched_to_that_end(
    mpingest: CommandLine, make_tree: MakeTree, gate: Gate, target: str
) -> None:
    script = Path(gate.options[1])
    script.write_text(script.read_text() + "        time.sleep(0.2)\n")  # it is not to end before it is stopped
    world = [mpiexec(), "-n", "3", *start(make_tree(FILES), target, "--sessions", "1", *gate.options)]
    with running(world, mpingest.environment) as run:
        until(lambda: gate.is_reached, "the first file")
        with running(command("watch", "--interval", "0.1", "lab"), mpingest.environment) as watch:
            assert watch.stdout
            watch.stdout.readline()
            assert mpingest("stop", "lab").returncode == 0
            until(lambda: (mpingest.job() / "stop").exists() or run.poll() is not None, "the request")
            time.sleep(2)  # rank 0 looks for it once a second
            gate.open()
            said = watch.stdout.read()
            assert watch.wait(30) == 75
        assert run.wait(30) == 75
    assert "\njob lab: stopped early by mpingest stop" in f"\n{said}"


def test_watch_waits_between_passes(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    passes = start(make_tree(FILES), target, "--interval", "3600")
    with running(passes, mpingest.environment) as run:
        until(lambda: mpingest("status", "lab").stdout.startswith("job lab: waiting"), "the end of the first pass")
        with running(command("watch", "--interval", "0.1", "lab"), mpingest.environment) as watch:
            assert watch.stdout
            assert watch.stdout.readline() == "job lab: waiting between two passes\n"
            run.send_signal(signal.SIGTERM)
            assert run.wait(30) == 75
            assert watch.stdout.readline() == "job lab: done\n"
            assert watch.wait(30) == 0


def test_an_interrupt_ends_only_the_watching(
    mpingest: CommandLine, make_tree: MakeTree, gate: Gate, target: str
) -> None:
    with running(start(make_tree(FILES), target, *gate.options), mpingest.environment) as run:
        until(lambda: gate.is_reached, "the first file")
        with running(command("watch", "--interval", "60", "lab"), mpingest.environment) as watch:
            assert watch.stdout
            assert watch.stderr
            watch.stdout.readline()
            watch.send_signal(signal.SIGINT)
            assert watch.wait(30) == 130
            assert watch.stderr.read() == ""
        assert status(mpingest)["state"] == "running"
        gate.open()
        assert run.wait(60) == 0


def test_watching_ends_with_its_reader(mpingest: CommandLine, make_tree: MakeTree, gate: Gate, target: str) -> None:
    with running(start(make_tree(FILES), target, *gate.options), mpingest.environment):
        until(lambda: gate.is_reached, "the first file")
        with running(command("watch", "--interval", "0.1", "--json", "lab"), mpingest.environment) as watch:
            assert watch.stdout
            assert watch.stderr
            watch.stdout.readline()
            watch.stdout.close()
            assert watch.wait(30) == 0
            assert watch.stderr.read() == ""


@contextmanager
def terminal(columns: int, command: str, environment: dict[str, str]) -> Iterator[Callable[[], list[str]]]:
    """A terminal in which a command runs; gives what is seen in it."""
    tmux = shutil.which("tmux") or pytest.skip("no tmux: install tmux")
    socket = f"mpingest-{os.getpid()}"

    def call(*arguments: str) -> str:
        done = subprocess.run(
            [tmux, "-L", socket, *arguments], capture_output=True, text=True, env=environment, check=False
        )
        return done.stdout

    call("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", "30", f"{command}; echo code $?; sleep 300")
    try:
        yield lambda: [line.rstrip() for line in call("capture-pane", "-p").splitlines()]
    finally:
        call("kill-server")


@pytest.mark.parametrize(("columns", "ranks"), [(80, 3), (200, 1)])
def test_progress_on_a_terminal(
    mpingest: CommandLine, make_tree: MakeTree, gate: Gate, target: str, columns: int, ranks: int
) -> None:
    """The figures are drawn in place; what a handler prints meanwhile stands above them, the summary below."""
    launcher = [mpiexec(), "-n", str(ranks)] if ranks > 1 else []
    if ranks == 1:
        script = Path(gate.options[1])
        script.write_text(script.read_text() + "        print('from the handler', flush=True)\n")
    world = [*launcher, *start(make_tree(FILES), target, "--progress", "--sessions", "1", *gate.options)]
    with terminal(columns, shlex.join(world), mpingest.environment) as screen:
        until(lambda: any(re.fullmatch(r"  done     ━*  0 of [1-9]\d* files", line) for line in screen()), "the scan")
        seen = [line for line in screen() if line]
        assert len(seen) == 8
        assert re.fullmatch(r"job lab, run 1: (scanning and ingesting|ingesting, the scan is over) +0:00:\d\d", seen[0])
        assert len(seen[0]) == min(columns, 120)
        assert re.fullmatch(r"  scanned  [━╸╺]+  [1-9]\d* files in \d( of \d)? directories", seen[1])
        assert re.fullmatch(r"  ranks    \d busy, \d idle", seen[6])
        gate.open()
        until(lambda: "code 0" in screen(), "the end")
        seen = screen()
    headings = [number for number, line in enumerate(seen) if line.startswith("job lab, run 1: ended")]
    assert len(headings) == 1, "what was drawn before is drawn over"
    (at,) = headings
    assert re.fullmatch(r"  done     ━+  40 of 40 files", seen[at + 2])
    summary = [line for line in seen[at + 8 :] if line]
    assert summary[0].startswith("job lab, run 1: ")
    assert "  outcome      40 done" in summary
    if ranks == 1:
        assert "from the handler" in seen[:at]
        assert "from the handler" not in seen[at:]


def test_progress_without_a_terminal_is_silent_for_a_short_run(
    mpingest: CommandLine, make_tree: MakeTree, target: str
) -> None:
    mpingest.start(make_tree(FILES), target, "--progress", ranks=2)
    assert mpingest.last.stderr == ""
    assert mpingest.last.stdout.startswith("job ")


def test_what_is_deleted_shows_beside_what_was_scanned(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    root = make_tree(FILES)
    mpingest.start(root, target)
    for number in range(12):
        (root / f"dir{number % 4}/file{number}").unlink()
    mpingest.start(root, target, "--delete-mode", "unregister", ranks=3)
    progress = json.loads((mpingest.last_run() / "progress.json").read_text())
    assert (progress["entries"], progress["to_do"], progress["finished"]) == (28, 12, 12)
    assert progress["outcome_removed"] == 12
