"""``mpingest doctor``: what is there is said, what is missing is named with a remedy."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import CommandLine


@pytest.mark.parametrize("ranks", [None, 2])
def test_all_is_well(mpingest: CommandLine, ranks: int | None) -> None:
    done = mpingest("doctor", ranks=ranks)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[1]: line for line in done.stdout.splitlines() if not line.startswith(" ")}
    assert list(lines) == ["python", "mpi", "scan", "hdf5", "zone", "jobs", "slurm"]
    assert f"a world of {ranks or 1}" in lines["mpi"]
    assert "rods on zone tempZone" in lines["zone"]
    assert str(mpingest.jobs) in lines["jobs"]


def test_what_is_wrong_is_named(mpingest: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    mpingest.environment |= {
        "IRODS_ENVIRONMENT_FILE": str(tmp_path / "nowhere.json"),
        "MPINGEST_NATIVE": "0",
        "PATH": os.path.dirname(sys.executable),
    }
    done = mpingest("doctor", "--jobs-dir", "/proc/jobs")
    assert done.returncode == 1
    assert f"failed  zone    no iRODS environment at {tmp_path}/nowhere.json: run iinit" in done.stdout
    assert "failed  jobs    /proc/jobs: " in done.stdout
    assert "note    scan    directories are read in Python, which is slower (MPINGEST_NATIVE=0)" in done.stdout
    assert "note    slurm   no srun and no sbatch on PATH" in done.stdout
