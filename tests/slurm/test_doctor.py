"""``mpingest doctor`` on a real Slurm: which srun starts a world, and which starts many."""

from __future__ import annotations

import sys

from tests.conftest import CommandLine
from tests.slurm.cluster import Cluster

DOCTOR = (sys.executable, "-m", "mpingest", "doctor")


def test_the_srun_that_fits_is_named(on_cluster: CommandLine, cluster: Cluster) -> None:
    done = on_cluster("doctor")
    assert done.returncode == 0, done.stdout
    assert "srun and sbatch are here; start runs with srun --mpi=pmi2\n" in done.stdout
    said = cluster.run("srun", "--mpi=pmi2", "--ntasks=3", *DOCTOR, environment=on_cluster.environment)
    assert "a world of 3 on 1 host" in said
    assert ", in job " in said
    assert said.count("python") == 1, "one rank speaks for all"


def test_the_srun_that_does_not_fit_is_found_out(on_cluster: CommandLine) -> None:
    on_cluster.prefix = ("srun", "--mpi=none", "--ntasks=3")
    done = on_cluster("doctor")
    assert done.returncode == 1
    assert done.stdout.count("failed  mpi      the launcher started 3 processes (SLURM_STEP_NUM_TASKS)") == 1
    assert "use srun --mpi=pmi2 (MPICH, Intel MPI)" in done.stdout
    assert done.stdout.count("python") == 1, "one of them speaks"
