"""What goes wrong on a cluster: ranks that are killed, two runs of a job at once, worlds that a launcher made wrong."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from irods.session import iRODSSession

from tests.conftest import CommandLine, Gate, only_full
from tests.e2e.checking import assert_put
from tests.slurm.cluster import Cluster, Ended, until
from tests.slurm.conftest import PUT, RANKS, status, submitted


@pytest.mark.parametrize("rank", [pytest.param(0, id="coordinator", marks=only_full), pytest.param(2, id="worker")])
def test_a_rank_that_is_killed_ends_the_run_and_the_next_one_does_the_rest(
    on_cluster: CommandLine,
    cluster: Cluster,
    session: iRODSSession,
    tree: Path,
    target: str,
    gate: Gate,
    rank: int,
) -> None:
    first = submitted(on_cluster, *RANKS, tree, target, "--", *PUT, *gate.options)
    until(lambda: gate.is_reached, "the run")
    assert status(on_cluster)["state"] == "running"
    os.kill(cluster.ranks(first)[rank], signal.SIGKILL)
    ended = cluster.wait(first)
    assert (ended.state, ended.code != 0) == ("FAILED", True)
    (listed,) = json.loads(on_cluster("list", "--json").stdout)
    assert (listed["state"], listed["run"], listed["holder"]["lives"]) == ("dead", 1, False)
    assert on_cluster("status", "lab").stdout.startswith("job lab: dead, ")

    gate.open()
    again = submitted(on_cluster, *RANKS, tree, target, "--", *PUT)
    assert cluster.wait(again) == Ended("COMPLETED", 0)
    assert_put(session, tree, target)
    (listed,) = json.loads(on_cluster("list", "--json").stdout)
    assert (listed["state"], listed["run"], listed["holder"]) == ("done", 2, None)


def test_of_two_runs_that_begin_at_once_one_is_refused(
    on_cluster: CommandLine, cluster: Cluster, session: iRODSSession, tree: Path, target: str, gate: Gate
) -> None:
    both = [submitted(on_cluster, *RANKS, tree, target, "--", *PUT, *gate.options) for _ in range(2)]
    (refused,) = until(lambda: [each for each in both if cluster.state(each) == "FAILED"], "one to be refused")
    assert cluster.wait(refused) == Ended("FAILED", 1)
    (going,) = set(both) - {refused}
    said = (on_cluster.job() / f"batch/{refused}.log").read_text()
    assert said.count("the job is being run by ") + said.count("the job has just been started by another run") == 1
    assert status(on_cluster)["holder"]["batch_job"] == going
    gate.open()
    assert cluster.wait(going) == Ended("COMPLETED", 0)
    assert assert_put(session, tree, target) == on_cluster.summary()["total"]["outcome_done"]


@pytest.mark.parametrize("command", ["start", "plan", "scan", "verify"])
def test_worlds_of_one_rank_each_are_refused(
    on_cluster: CommandLine, tree: Path, target: str, tmp_path: Path, command: str
) -> None:
    arguments = {"verify": ["lab"], "scan": ["--output", tmp_path / "manifest.h5", tree]}.get(command, [tree, target])
    on_cluster.prefix = ("srun", "--mpi=none", "--ntasks=3")
    done = on_cluster(command, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    said = [line for line in done.stderr.splitlines() if not line.startswith("srun: ")]
    assert said == [
        "mpingest: the launcher started 3 processes (SLURM_STEP_NUM_TASKS), but each is an MPI world of its own: "
        "use srun --mpi=pmi2 (MPICH, Intel MPI), srun --mpi=pmix (Open MPI), or mpiexec"
    ]
    assert not on_cluster.jobs.exists()
    assert not (tmp_path / "manifest.h5").exists()


@pytest.mark.parametrize("launcher", [("srun", "--mpi=pmi2"), ("mpiexec", "-n", "3")], ids=["srun", "mpiexec"])
def test_what_is_to_be_used_instead_makes_one_world(on_cluster: CommandLine, launcher: tuple[str, ...]) -> None:
    on_cluster.prefix = ("salloc", "--quiet", "--ntasks=3", *launcher)
    assert "a world of 3" in on_cluster("doctor", timeout=30).stdout
