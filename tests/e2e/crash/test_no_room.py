"""A job directory that is full, or takes nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone

from .conftest import RANKS, Job

Remount = Callable[[str], None]


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no tmpfs to be had, run as root: {done.stderr.strip()}")


@pytest.fixture
def remount(tmp_path: Path) -> Iterator[Remount]:
    """The directory of jobs is a file system of its own, of which the options can be changed."""
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    mount("-t", "tmpfs", "-o", "size=64m,mode=0700", "jobs", str(jobs))
    yield lambda options: mount("-o", f"remount,{options}", str(jobs))
    subprocess.run(["umount", "--lazy", jobs], check=True)


@pytest.fixture
def job(remount: Remount, zone: EmbeddedZone, tmp_path: Path, target: str) -> Job:
    """A job that has run once, in that directory; its tree has changed since."""
    job = Job(zone, tmp_path, target)
    job.grow_old()
    return job


def used(job: Job) -> int:
    """Kilobytes of the file system that are taken."""
    return shutil.disk_usage(job.directory / "jobs").used // 1024


@pytest.mark.parametrize("kilobytes", [4, 30, 100])
def test_a_full_disk_stops_the_run_and_the_next_finishes_it(
    job: Job, remount: Remount, session: iRODSSession, expected: list[tuple[Any, ...]], kilobytes: int
) -> None:
    remount(f"size={used(job) + kilobytes}k")
    full = job.run()
    assert full.returncode == 75, full.stderr
    assert "job directory: No space left on device; make room, then run the same line again\n" in full.stderr
    assert "Traceback" not in full.stderr
    remount("size=64m")
    again = job.run()
    assert again.returncode == 0, again.stderr
    job.assert_like(expected, session)


@pytest.mark.parametrize("ranks", [1, RANKS])
def test_a_job_directory_that_takes_nothing(job: Job, remount: Remount, ranks: int) -> None:
    before = job.checkpoint.read_bytes()
    remount("ro")
    done = job.run(ranks=ranks)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert job.checkpoint.read_bytes() == before
