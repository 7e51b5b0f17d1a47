"""``mpingest submit``, ``list`` and ``status``: jobs that are handed over, listed, stopped and queued again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from irods.session import iRODSSession

from tests.conftest import CommandLine, Gate
from tests.e2e.checking import assert_put
from tests.slurm.cluster import Cluster, Ended, until
from tests.slurm.conftest import PUT, RANKS, status, submitted


def test_from_queue_to_end(
    on_cluster: CommandLine, cluster: Cluster, session: iRODSSession, tree: Path, target: str, gate: Gate
) -> None:
    first = submitted(on_cluster, *RANKS, "--begin", "now+1hour", tree, target, "--", *PUT, *gate.options)
    assert status(on_cluster)["state"] == "queued"
    assert f"batch job    {first} PENDING (BeginTime)" in on_cluster("status", "lab").stdout

    cluster.run("scontrol", "update", f"jobid={first}", "starttime=now")
    until(lambda: gate.is_reached, "the run")
    held = status(on_cluster)
    assert (held["state"], held["run"], held["holder"]["batch_job"]) == ("running", 1, first)
    assert held["holder"]["lives"]
    again = on_cluster("submit", *RANKS, tree, target, "--", *PUT)
    second = again.stdout.partition(",")[0].rpartition(" ")[2]
    assert f"note: batch job {first} RUNNING is of the same job" in again.stderr
    third = submitted(on_cluster, *RANKS, "--after", "lab", tree, target, "--", *PUT)
    assert cluster.wait(second) == Ended("FAILED", 1)
    log = (on_cluster.job() / f"batch/{second}.log").read_text()
    assert log.count("the job is being run by process") == 1
    assert f"batch job {first}: wait for it, or stop it first" in log
    assert [job["id"] for job in status(on_cluster)["batch_jobs"]] == [first, second, third]

    gate.open()
    assert cluster.wait(first) == Ended("COMPLETED", 0)
    assert cluster.wait(third) == Ended("COMPLETED", 0)
    assert_put(session, tree, target)
    (listed,) = json.loads(on_cluster("list", "--json").stdout)
    assert (listed["state"], listed["run"], listed["holder"]) == ("done", 2, None)
    assert listed["summary"]["total"]["requests"] == 0
    assert os.fsencode(listed["job"]["root"]) == os.fsencode(tree)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--partition", "nowhere"), 1, "sbatch: invalid partition specified: nowhere"),
        (("--after", "other"), 1, "no job 'other'"),
        (("--time", "soon"), 1, "sbatch: "),
        (("--time", "1\n#SBATCH"), 2, "is nothing that sbatch takes there"),
        (("--sbatch", "--exclusive"), 2, "give NAME or NAME=VALUE, without dashes before"),
    ],
)
def test_what_is_refused_is_said_in_one_line(
    on_cluster: CommandLine, tree: Path, target: str, options: tuple[str, ...], code: int, said: str
) -> None:
    done = on_cluster("submit", *options, tree, target)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert code == 2 or done.stderr.count("\n") == 1


def test_options_of_start_are_checked_first(on_cluster: CommandLine, cluster: Cluster, tree: Path, target: str) -> None:
    assert on_cluster("submit", tree, target, "--", "--operation", "putt").returncode == 2
    assert on_cluster("submit", tree, "relative").returncode == 1
    assert on_cluster("submit", tree / "nowhere", target).returncode == 1
    assert cluster.run("squeue", "--noheader") == ""
    assert not on_cluster.jobs.exists()
