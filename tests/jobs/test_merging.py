"""Merges by the ranks of an MPI world, and ``mpingest manifest merge``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpingest.jobs.directory import JobDirectory
from mpingest.jobs.merging import merge_segments
from mpingest.jobs.signals import Stopped
from mpingest.jobs.spec import JobSpec
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import DirectoryState, Outcome
from mpingest.manifest.verify import verify
from tests.conftest import mpiexec
from tests.manifest.trees import ATTRIBUTES, DIRECTORY, batch, dump, flip, record, row, segment

SPEC = JobSpec("job", b"/data/\xff", "/zone/home/me")
TREE = {b"d%d/e" % i: batch({b"f%02d" % j: row(j) for j in range(90)}) for i in range(12)}


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    """A job with a checkpoint and the segments of a second run, which was cut off."""
    job = JobDirectory.of(str(tmp_path / "jobs"), SPEC)
    before = segment(Path(job.new_run().manifest), TREE)
    merge(None, [before], Path(job.checkpoint), ATTRIBUTES)
    before.unlink()
    folder = Path(job.new_run().manifest)
    for rank in range(1, 12):
        writer = SegmentWriter(folder, rank, replace(ATTRIBUTES, run=2))
        for number in range(2):
            path = b"d%d/e" % ((7 * rank + number) % 12)
            record(writer, path, batch({b"f%02d" % j: row(1000 + rank) for j in range(rank, 60)}))
            writer.record_directory(path, DirectoryState.PARTIAL)
            if rank == 5:
                record(writer, b"", batch({b"d3": row(mode=DIRECTORY)}), Outcome.REMOVED)
            writer.seal()
    return job


@pytest.fixture
def expected(job: JobDirectory, tmp_path: Path) -> list[tuple]:
    """What the checkpoint is to hold."""
    merge(Path(job.checkpoint), job.segments(), tmp_path / "expected.h5", ATTRIBUTES)
    return dump(tmp_path / "expected.h5")


def run(job: JobDirectory, *, ranks: int, accident: str = "") -> subprocess.CompletedProcess[str]:
    """``mpingest manifest merge job``, with small limits."""
    command = [mpiexec(), "-n", str(ranks), sys.executable, "-m", "tests.jobs.merging", "manifest", "merge", "job"]
    environment = os.environ | {"MPINGEST_JOBS_DIR": str(Path(job.path).parent)}
    if accident:
        environment["ACCIDENT"] = accident
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def assert_merged(job: JobDirectory, expected: list[tuple]) -> None:
    verify(Path(job.checkpoint))
    assert dump(Path(job.checkpoint)) == expected
    assert job.segments() == []
    assert sorted(os.listdir(job.path)) == ["checkpoint.h5", "job.json", "runs"]


@pytest.mark.parametrize("ranks", [1, 4])
def test_a_world_merges_as_one_rank_does(job: JobDirectory, expected: list[tuple], ranks: int) -> None:
    done = run(job, ranks=ranks)
    assert done.returncode == 0, done.stderr
    entries = f"{len(expected):,} entries in 12 directories"
    assert done.stdout == f"22 segments taken in; the checkpoint has {entries}\n"
    assert_merged(job, expected)
    again = run(job, ranks=ranks)
    assert again.stdout == f"nothing to take in; the checkpoint has {entries}\n"


@pytest.mark.parametrize(
    "accident",
    [
        "3 _merge_group 1 kill",
        "1 _make_part 2 kill",
        "0 _join 1 kill",
        "0 publish 1 kill",
        "0 _remove 1 kill",
        "0 unlink 12 kill",
    ],
)
def test_a_killed_merge_is_done_again(job: JobDirectory, expected: list[tuple], accident: str) -> None:
    before = dump(Path(job.checkpoint))
    killed = run(job, ranks=4, accident=accident)
    assert killed.returncode != 0
    assert job.segments()
    assert dump(Path(job.checkpoint)) == (expected if accident.split()[1] in ("_remove", "unlink") else before)
    with job.locked() as lock:
        assert "died" in lock.note
        merge_segments(None, job, SPEC)
    assert_merged(job, expected)


@pytest.mark.parametrize("accident", ["2 _make_part 1 full", "0 _join 1 full"])
def test_a_rank_without_room_is_heard_of_by_all(job: JobDirectory, expected: list[tuple], accident: str) -> None:
    before, segments = dump(Path(job.checkpoint)), job.segments()
    full = run(job, ranks=4, accident=accident)
    assert full.returncode == 75
    assert full.stderr == "mpingest: job directory: File too large; make room, then run the same line again\n"
    assert dump(Path(job.checkpoint)) == before
    assert job.segments() == segments
    assert not list(Path(job.path).glob("*.passes"))
    merge_segments(None, job, SPEC)
    assert_merged(job, expected)


def test_a_merge_that_is_given_up_leaves_all_as_it_was(job: JobDirectory, expected: list[tuple]) -> None:
    before, segments = dump(Path(job.checkpoint)), job.segments()

    def check() -> None:
        raise Stopped("no time left")

    with pytest.raises(Stopped):
        merge_segments(None, job, SPEC, check)
    assert dump(Path(job.checkpoint)) == before
    assert job.segments() == segments
    assert not list(Path(job.path).glob("*.passes"))
    merge_segments(None, job, SPEC)
    assert_merged(job, expected)


def text(path: Path) -> None:
    path.write_text("not HDF5")


def flipped(path: Path) -> None:
    flip(path, "entries", 0)


@pytest.mark.parametrize("damage", [text, flipped])
def test_damage_that_another_rank_finds(job: JobDirectory, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """At once, by rank 3, or not before its entries are read, by rank 1."""
    bad = job.segments()[7]
    others = [path for path in job.segments() if path != bad]
    merge(Path(job.checkpoint), others, tmp_path / "expected.h5", ATTRIBUTES)
    damage(bad)
    done = run(job, ranks=4)
    assert done.returncode == 3
    assert done.stdout.startswith("21 segments taken in; ")
    assert done.stderr.count("\n") == 1
    assert f"note: {bad} is damaged or not a manifest: " in done.stderr
    assert "set aside as *.damaged; what it held is looked at again" in done.stderr
    assert not bad.exists()
    assert bad.with_name(bad.name + ".damaged").exists()
    assert_merged(job, dump(tmp_path / "expected.h5"))


def newer(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 3
        file.attrs["program"] = np.bytes_("9.1")


def test_a_newer_format_is_refused_by_all(job: JobDirectory) -> None:
    newer(job.segments()[2])
    done = run(job, ranks=4)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "has format version 3, this mpingest knows up to 2: it was written by mpingest 9.1" in done.stderr
    assert len(job.segments()) == 22


def test_a_damaged_checkpoint_is_refused_by_all(job: JobDirectory) -> None:
    text(Path(job.checkpoint))
    done = run(job, ranks=4)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "checkpoint.h5 is damaged" in done.stderr
    assert "move it away" in done.stderr
    assert len(job.segments()) == 22


def test_which_jobs_there_are(job: JobDirectory) -> None:
    shutil.copytree(job.path, Path(job.path).with_name("another"))
    Path(job.path).with_name("no-job").mkdir()
    command = [sys.executable, "-m", "mpingest", "manifest", "merge", "--jobs-dir", Path(job.path).parent, "jobb"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == f"mpingest: no job 'jobb' in {Path(job.path).parent}; there are another, job\n"


def test_a_job_that_is_being_run_is_left_alone(job: JobDirectory) -> None:
    with job.locked():
        done = run(job, ranks=2)
    assert done.returncode == 1
    assert f"the job is being run by process {os.getpid()} on " in done.stderr
    assert len(job.segments()) == 22
