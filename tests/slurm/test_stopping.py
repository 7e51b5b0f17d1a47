"""Runs that are stopped on a cluster, by a time limit, scancel or mpingest stop, and go on until all is done."""

from __future__ import annotations

import json
import random
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from irods.session import iRODSSession

from tests.conftest import FULL, CommandLine, Gate, only_full
from tests.e2e.checking import assert_put, assert_registered, objects_below
from tests.slurm.cluster import Cluster, Ended, until
from tests.slurm.conftest import PUT, RANKS, Desk, status, submitted

FEEDING_SECONDS = 180 if FULL else 6

_PACE = """
import os, time

class event_handler:
    @staticmethod
    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        with open({log!r}, "a") as log:
            log.write(os.path.relpath(meta["path"], {root!r}) + "\\n")
        tries = int(os.environ.get("SLURM_RESTART_COUNT", "0")) + 1
        with open({log!r}) as log:
            is_slow = tries < {tries} and len(log.readlines()) > {share} * tries
        if is_slow:
            time.sleep({seconds})
"""


@dataclass
class Pace:
    """An event handler with which a job takes several tries: each ingests a share, then becomes slow; not the last."""

    root: Path
    log: Path
    handler: Path

    def write(self, *, tries: int, share: int, seconds: float) -> None:
        values = {"log": str(self.log), "root": str(self.root), "tries": tries, "share": share, "seconds": seconds}
        self.handler.write_text(_PACE.format(**values))

    def begun(self) -> list[str]:
        """Files whose ingest has begun, as often as it has."""
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def pace(plain_tree: Path, tmp_path: Path) -> Pace:
    for number in range(20, 100):
        (plain_tree / f"dir{number % 4}/file{number}").write_bytes(b"x" * number)
    return Pace(plain_tree, tmp_path / "begun", tmp_path / "pace.py")


def statuses(on_cluster: CommandLine) -> list[dict[str, Any]]:
    """What ``mpingest list`` says."""
    found: list[dict[str, Any]] = json.loads(on_cluster("list", "--json").stdout)
    return found


def summaries(on_cluster: CommandLine) -> list[dict[str, Any]]:
    """What the runs of the only job have reported, as far as they have."""
    return [json.loads(path.read_text()) for path in sorted(on_cluster.jobs.glob("*/runs/*/summary.json"))]


@pytest.mark.parametrize(
    ("options", "stop_before", "seconds", "patience"),
    [
        pytest.param(("--time=1", "--signal=USR1@1"), "52.5", 2, 120, id="it knows the time limit"),
        pytest.param(("--time=3", "--signal=USR1@110"), "0", 8, 600, id="Slurm signals", marks=only_full),
    ],
)
def test_a_job_that_its_time_limit_cuts_off_is_done_in_three_tries(
    desk: Desk,
    session: iRODSSession,
    pace: Pace,
    target: str,
    options: tuple[str, ...],
    stop_before: str,
    seconds: float,
    patience: float,
) -> None:
    pace.write(tries=3, share=30, seconds=seconds)
    script = desk.edited("requeue-until-done.sbatch", ROOT=pace.root, TARGET=target)
    environment = {"EVENT_HANDLER": str(pace.handler), "STOP_BEFORE": stop_before, "SESSIONS": "2"}
    batch_job = desk.sbatch(
        script, *options, **{f"MPINGEST_START_{name}": value for name, value in environment.items()}
    )
    until(lambda: desk.cluster.state(batch_job) == "PENDING" and pace.begun(), "the job to be queued again", patience)
    (queued,) = statuses(desk.on_cluster)
    assert (queued["state"], queued["summary"]["exit_code"]) == ("queued", 75)
    assert desk.cluster.wait(batch_job, patience) == Ended("COMPLETED", 0)

    runs = summaries(desk.on_cluster)
    assert [run["exit_code"] for run in runs] == [75, 75, 0]
    assert assert_registered(session, pace.root, target) == 100
    assert sorted(pace.begun()) == sorted(objects_below(session, target))
    assert sum(run["total"]["outcome_done"] for run in runs) == 100
    (done,) = statuses(desk.on_cluster)
    assert (done["state"], done["holder"]) == ("done", None)


def test_what_is_cancelled_stops_in_order_and_the_next_does_the_rest(
    on_cluster: CommandLine, cluster: Cluster, session: iRODSSession, pace: Pace, target: str
) -> None:
    arguments = (pace.root, target, "--", *PUT, "--sessions", "2", "--event-handler", pace.handler)
    pace.write(tries=2, share=10, seconds=1)
    for cancel, ended in (["scancel"], "CANCELLED"), (["scancel", "--signal=USR1"], "FAILED"):
        batch_job = submitted(on_cluster, *RANKS, *arguments)
        before = len(pace.begun())
        until(lambda before=before: len(pace.begun()) > max(before, 10), "the run")
        cluster.run(*cancel, batch_job)
        assert cluster.wait(batch_job).state == ended
        stopped = status(on_cluster)
        assert (stopped["state"], stopped["holder"], stopped["summary"]["exit_code"]) == ("stopped", None, 75)
        assert "tasks 0-2: Exited with exit code 75" in (on_cluster.job() / f"batch/{batch_job}.log").read_text()

    pace.write(tries=1, share=0, seconds=0)
    assert cluster.wait(submitted(on_cluster, *RANKS, *arguments)) == Ended("COMPLETED", 0)
    assert assert_put(session, pace.root, target) == 100
    assert sorted(pace.begun()) == sorted(objects_below(session, target))


def test_stop_now_ends_the_run_and_what_is_queued(
    on_cluster: CommandLine, cluster: Cluster, pace: Pace, target: str
) -> None:
    pace.write(tries=2, share=10, seconds=1)
    options = (*PUT, "--sessions", "2", "--event-handler", pace.handler)
    running = submitted(on_cluster, *RANKS, "--requeue", pace.root, target, "--", *options)
    until(lambda: len(pace.begun()) > 10, "the run")
    queued = submitted(on_cluster, *RANKS, "--after", "lab", pace.root, target, "--", *options)
    done = on_cluster("stop", "--now", "lab")
    assert done.returncode == 0, done.stderr
    assert "asked to stop: process " in done.stdout
    assert f"cancelled: batch job {running} RUNNING" in done.stdout
    assert f"cancelled: batch job {queued} PENDING" in done.stdout
    assert cluster.wait(running).state in ("CANCELLED", "FAILED")
    assert cluster.wait(queued).state == "CANCELLED"
    until(lambda: status(on_cluster)["state"] == "stopped", "the run to end")
    assert "stopped early by " in on_cluster("status", "lab").stdout
    nothing = on_cluster("stop", "--now", "lab")
    assert (nothing.returncode, nothing.stderr) == (1, "mpingest: nobody runs job lab: there is nothing to stop\n")
    waiting = submitted(on_cluster, *RANKS, "--begin", "now+1hour", pace.root, target, "--", *options)
    refused = on_cluster("stop", "lab")
    assert refused.returncode == 1
    assert f"batch job {waiting} PENDING (BeginTime) is to run it: --now cancels it" in refused.stderr
    assert on_cluster("stop", "--now", "lab").stdout.startswith(f"cancelled: batch job {waiting} PENDING")
    assert cluster.wait(waiting).state == "CANCELLED"


@only_full
def test_requeue_gives_up_after_so_many_tries(
    desk: Desk, session: iRODSSession, plain_tree: Path, target: str, gate: Gate
) -> None:
    script = desk.edited("requeue-until-done.sbatch", ROOT=plain_tree, TARGET=target, MAX_TRIES="2")
    slow = {"MPINGEST_START_EVENT_HANDLER": gate.options[1], "MPINGEST_START_STALL_TIMEOUT": "1"}
    given_up = desk.sbatch(script, **slow)
    assert desk.cluster.wait(given_up, 120) == Ended("FAILED", 75)
    assert desk.on_cluster.summary()["run"] == 2
    gate.open()
    assert desk.cluster.wait(desk.sbatch(script, **slow)) == Ended("COMPLETED", 0)
    assert assert_registered(session, plain_tree, target) == 20


class Instrument(threading.Thread):
    """Writes runs of files into a landing zone, piece by piece, some of them twice, for some seconds.

    When a run is over, it says so by a file DONE.
    """

    def __init__(self, root: Path, seconds: float) -> None:
        super().__init__(name="instrument", daemon=True)
        self.root = root
        self.seconds = seconds
        self._dice = random.Random(1)

    def run(self) -> None:
        end = time.monotonic() + self.seconds
        for number, _ in enumerate(iter(lambda: time.monotonic() < end, False)):
            path = self.root / f"run{number // 50}/file{number}"
            path.parent.mkdir(exist_ok=True)
            for _ in range(self._dice.randrange(1, 4)):
                with open(path, "ab") as file:
                    file.write(self._dice.randbytes(self._dice.randrange(4000)))
                time.sleep(0.02)
            if number % 10 == 9:
                with open(path.with_name(f"file{number - 5}"), "ab") as file:
                    file.write(b"and more")
            if number % 50 == 49:
                path.with_name("DONE").touch()
        path.with_name("DONE").touch()


def test_a_landing_zone_that_is_written_to(desk: Desk, session: iRODSSession, tmp_path: Path, target: str) -> None:
    root, done = tmp_path / "landing", tmp_path / "done"
    root.mkdir()
    done.mkdir()
    values = {"INTERVAL": "1", "SETTLE": "1", "READY_FILE": "DONE", "AFTER_INGEST": f"move:{done}"}
    batch_job = desk.sbatch(desk.edited("landing-zone.sbatch", ROOT=root, TARGET=target, **values))
    until(lambda: summaries(desk.on_cluster), "a pass")
    instrument = Instrument(root, FEEDING_SECONDS)
    instrument.start()
    until(lambda: objects_below(session, target), "the first files")
    instrument.join()

    until(lambda: not any(root.iterdir()), "the last to be moved away")
    until(lambda: statuses(desk.on_cluster)[0]["state"] == "waiting", "the next pass to be waited for")
    desk.cluster.run("scancel", batch_job)
    assert desk.cluster.wait(batch_job).state == "CANCELLED"
    (ended,) = statuses(desk.on_cluster)
    assert ended["state"] in ("done", "stopped")  # between two passes, or in one
    assert ended["holder"] is None
    assert assert_put(session, done, target) > 1
    assert all(run["total"]["outcome_failed"] == 0 for run in summaries(desk.on_cluster))
