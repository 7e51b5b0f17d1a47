"""Worlds that launchers make, by the variables that they leave."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mpingest.errors import MpingestError
from mpingest.farm.world import abort_on_error, check_world

BATCH_SCRIPT = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
STEP_OF_4 = {**BATCH_SCRIPT, "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4"}


@pytest.mark.parametrize(
    ("size", "environ"),
    [
        (1, {}),
        (1, BATCH_SCRIPT),
        (1, {**STEP_OF_4, "SLURM_STEP_NUM_TASKS": "1"}),
        (4, STEP_OF_4),
        (4, {**STEP_OF_4, "PMI_SIZE": "4"}),
        (8, {**STEP_OF_4, "SLURM_STEP_NUM_TASKS": "2", "PMI_SIZE": "8"}),
        (1, {"PMI_SIZE": "1"}),
        (4, {"OMPI_COMM_WORLD_SIZE": "4"}),
        (1, {**STEP_OF_4, "OMPI_COMM_WORLD_SIZE": "1"}),
    ],
    ids=[
        "no launcher",
        "in a batch script, without srun",
        "srun -n 1",
        "srun",
        "srun --mpi=pmi2",
        "mpiexec whose daemons srun has started",
        "mpiexec -n 1",
        "mpirun of Open MPI",
        "mpirun -n 1 of Open MPI, whose daemons srun has started",
    ],
)
def test_worlds_as_the_launcher_meant_them(size: int, environ: Mapping[str, str]) -> None:
    check_world(size, environ)


@pytest.mark.parametrize(
    ("environ", "remedy"),
    [
        (STEP_OF_4, "srun --mpi=pmi2"),
        ({**STEP_OF_4, "PMIX_RANK": "2"}, "srun --mpi=pmi2"),
        ({**STEP_OF_4, "PMI_SIZE": "4"}, "mpiexec that belongs"),
        ({"PMI_SIZE": "4"}, "mpiexec that belongs"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "mpiexec that belongs"),
    ],
    ids=[
        "srun without PMI",
        "srun --mpi=pmix, but MPICH",
        "srun --mpi=pmi2, but Open MPI",
        "mpiexec of MPICH, but Open MPI",
        "mpirun of Open MPI, but MPICH",
    ],
)
def test_many_worlds_of_one_rank_are_refused(environ: Mapping[str, str], remedy: str) -> None:
    with pytest.raises(MpingestError, match=remedy):
        check_world(1, environ)


def test_alone_a_known_error_passes_through() -> None:
    with pytest.raises(MpingestError, match="no such directory"), abort_on_error(None):
        raise MpingestError("no such directory")
