"""Where a job stands: what follows from its lock, the batch system and its last run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mpingest.jobs import directory
from mpingest.jobs.batch import BatchJob
from mpingest.jobs.directory import STALE_SECONDS, Holder, JobDirectory
from mpingest.jobs.spec import JobSpec
from mpingest.jobs.status import State, state_of
from tests.conftest import CommandLine

ALIVE = Holder("node7", 12, "2026-11-24T10:00:00+00:00", "1", after_run=2, lives=True)
SILENT = replace(ALIVE, lives=False)
DONE, FAILED, STOPPED = ({"exit_code": code} for code in (0, 3, 75))


def batch(*states: str) -> list[BatchJob]:
    return [BatchJob(str(number), state) for number, state in enumerate(states, 1)]


@pytest.mark.parametrize(
    ("holder", "batch_jobs", "run", "summary", "state"),
    [
        (None, [], 0, {}, State.NEW),
        (None, batch("PENDING"), 0, {}, State.QUEUED),
        (None, batch("RUNNING"), 0, {}, State.QUEUED),
        (None, batch("FAILED"), 0, {}, State.NEW),
        (ALIVE, [], 3, {}, State.RUNNING),
        (ALIVE, batch("RUNNING", "PENDING"), 3, {}, State.RUNNING),
        (ALIVE, batch("COMPLETING"), 3, {}, State.RUNNING),
        (ALIVE, [], 2, DONE, State.RUNNING),  # it takes in what run 2 has left, and will begin run 3
        (ALIVE, [], 3, DONE, State.WAITING),
        (ALIVE, batch("FAILED"), 3, {}, State.DEAD),  # Slurm knows before the minute is over
        (ALIVE, batch("PENDING"), 3, {}, State.QUEUED),  # requeued after its node died
        (ALIVE, batch("TIMEOUT", "PENDING"), 3, {}, State.QUEUED),
        (SILENT, [], 3, {}, State.DEAD),
        (SILENT, batch("RUNNING"), 3, {}, State.DEAD),
        (SILENT, batch("SUSPENDED"), 3, {}, State.RUNNING),
        (None, batch("COMPLETED"), 3, DONE, State.DONE),
        (None, [], 3, FAILED, State.FAILED),
        (None, [], 3, STOPPED, State.STOPPED),
        (None, [], 3, {}, State.STOPPED),
    ],
)
def test_states(
    holder: Holder | None, batch_jobs: list[BatchJob], run: int, summary: dict[str, Any], state: State
) -> None:
    assert state_of(holder, batch_jobs, run, summary) is state


MakeTree = Callable[[dict[str, bytes]], Path]


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    """A job that has not been run."""
    return JobDirectory.of(str(tmp_path / "jobs"), JobSpec("lab", b"/data/\xff\n", "/zone/home/lab"))


def status(mpingest: CommandLine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mpingest("status", "--json", "lab").stdout)
    return found


def test_a_lock_tells_who_holds_it_until_nobody_touches_it(
    mpingest: CommandLine, job: JobDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "HEARTBEAT_SECONDS", 3600.0)
    assert status(mpingest)["state"] == "new"
    with job.locked() as lock:
        found = status(mpingest)
        assert found["state"] == "running"
        assert (found["holder"]["pid"], found["holder"]["lives"]) == (os.getpid(), True)
        holder = json.loads(Path(lock.path).read_text()) | {"host": "elsewhere"}
        Path(lock.path).write_text(json.dumps(holder))
        assert status(mpingest)["state"] == "running"
        long_ago = os.stat(lock.path).st_mtime - 2 * STALE_SECONDS
        os.utime(lock.path, (long_ago, long_ago))
        assert status(mpingest)["state"] == "dead"
        Path(lock.path).write_text("")
        assert "held by      someone (what the lock says cannot be read)" in mpingest("status", "lab").stdout
    assert sorted(os.listdir(job.path)) == ["job.json", "runs"]


def test_list_and_status_after_a_run(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    assert mpingest("list").stderr == f"mpingest: no job in {mpingest.jobs}\n"
    root = make_tree({"a": b"a", "b": b"bb"})
    mpingest.start(root, target, "--job-name", "lab")
    heading, row = mpingest("list").stdout.splitlines()
    assert heading.split() == ["JOB", "STATE", "BATCH", "RUN", "SCANNED", "DONE", "FAILED", "ROOT", "TARGET"]
    assert row.split() == ["lab", "done", "1", "2", "2", "0", str(root), target]
    said = mpingest("status", "lab").stdout.splitlines()
    assert said[0] == "job lab: done"
    assert "  scanned      2 files (3 B) in 1 directories" in said
    assert json.loads(mpingest("list", "--json").stdout) == [status(mpingest)]


def test_a_damaged_job_is_told_of_beside_the_others(mpingest: CommandLine, job: JobDirectory) -> None:
    damaged = mpingest.jobs / "broken"
    damaged.mkdir()
    (damaged / "job.json").write_text("{")
    done = mpingest("list")
    assert done.returncode == 1
    assert done.stderr == f"mpingest: {damaged}/job.json: is damaged; remove it, and it is made anew\n"
    assert done.stdout.splitlines()[1].split() == ["lab", "new", r"'/data/\udcff\n'", "/zone/home/lab"]
    assert mpingest("status", "other").returncode == 1
