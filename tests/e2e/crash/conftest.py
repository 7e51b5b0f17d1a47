"""A job whose tree changes between two runs, and how it ends if nothing is in its way."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from irods.session import iRODSSession

from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.diff import TICK_NS
from mpingest.manifest.verify import verify
from mpingest.scan.entries import EntryBatch
from mpingest.zone.embedded import EmbeddedZone
from tests.e2e.checking import assert_put
from tests.e2e.worlds import begin, kill_all

RANKS = 4
FILES = {f"dir{number % 5}/sub{number % 3}/file{number}": b"x" * (number + 1) for number in range(120)}
OPTIONS = ("--operation", "put_sync", "--delete-mode", "no_trash", "--slice-size", "10")


def change(root: Path) -> None:
    """New, modified, touched, deleted files; new and deleted directories."""
    for number in range(30):
        path = root / f"new{number % 4}/below/file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"new" * number)
    for number in range(0, 40, 3):
        (root / f"dir{number % 5}/sub{number % 3}/file{number}").write_bytes(b"changed" * number)
    for number in range(1, 40, 3):
        (root / f"dir{number % 5}/sub{number % 3}/file{number}").unlink()
    (root / "dir0/sub2/file50").chmod(0o600)
    shutil.rmtree(root / "dir4/sub1")
    shutil.rmtree(root / "dir3/sub0")


@dataclass
class Job:
    """``mpingest start`` on a tree of its own, by a program that may have an accident."""

    zone: EmbeddedZone
    directory: Path
    target: str
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.environment = os.environ | {
            "IRODS_ENVIRONMENT_FILE": str(self.zone.environment_file),
            "MPINGEST_JOBS_DIR": str(self.directory / "jobs"),
        }
        for name, content in FILES.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @property
    def root(self) -> Path:
        return self.directory / "root"

    @property
    def checkpoint(self) -> Path:
        (job,) = (self.directory / "jobs").iterdir()
        return job / "checkpoint.h5"

    def begin(self, ranks: int, accident: str = "") -> subprocess.Popen[str]:
        environment = self.environment | ({"ACCIDENT": accident} if accident else {})
        return begin("tests.e2e.crash.accident", ranks, ["start", *OPTIONS, self.root, self.target], environment)

    def run(self, ranks: int = RANKS, accident: str = "") -> subprocess.CompletedProcess[str]:
        """A run to its end."""
        process = self.begin(ranks, accident)
        try:
            said, errors = process.communicate(timeout=120)
        finally:
            kill_all(process)
        return subprocess.CompletedProcess(process.args, process.returncode, said, errors)

    def grow_old(self) -> None:
        """The first run, and then changes that every later run is sure to see."""
        done = self.run(ranks=2)
        assert done.returncode == 0, done.stderr
        change(self.root)
        time.sleep(3 * TICK_NS / 1e9)

    def rows(self) -> list[tuple[Any, ...]]:
        """What the checkpoint says, but for what differs from tree to tree, which is compared with the tree."""
        verify(self.checkpoint)
        rows = []
        with Checkpoint.open(self.checkpoint) as checkpoint:
            for piece in checkpoint:
                self._compare(piece.path, piece.entries)
                stats = piece.entries.rows[["mode", "size"]].tolist()
                results = piece.results.tolist()
                for name, (mode, size), result in zip(piece.entries.names(), stats, results, strict=True):
                    is_directory = mode & 0o040000
                    rows.append((piece.path, piece.state, name, mode, 0 if is_directory else size, result))
        return rows

    def _compare(self, path: bytes, entries: EntryBatch) -> None:
        """Every file is recorded as it is."""
        for index in range(len(entries)):
            status = os.lstat(os.path.join(os.fsencode(self.root), path, entries.name(index)))
            row = entries.rows[index]
            if not entries.is_directory()[index]:
                assert (row["inode"], row["mtime_ns"]) == (status.st_ino, status.st_mtime_ns)

    def assert_like(self, expected: list[tuple[Any, ...]], session: iRODSSession) -> None:
        """The checkpoint says the same, every file is in the zone once, and nothing is left lying about."""
        assert self.rows() == expected
        assert_put(session, self.root, self.target)
        assert sorted(os.listdir(self.checkpoint.parent)) == ["checkpoint.h5", "job.json", "runs"]
        assert not list(self.checkpoint.parent.rglob("*.tmp"))
        assert not list(self.checkpoint.parent.rglob("rank*.h5"))


@pytest.fixture
def job(zone: EmbeddedZone, tmp_path: Path, target: str) -> Iterator[Job]:
    """A job that has run once; its tree has changed since."""
    job = Job(zone, tmp_path, target)
    job.grow_old()
    return job


@pytest.fixture(scope="package")
def expected(shared_zone: EmbeddedZone, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What the checkpoint says after a second run that nothing was in the way of."""
    directory = tmp_path_factory.mktemp("expected")
    job = Job(shared_zone, directory, f"/{shared_zone.zone}/home/{shared_zone.user}/{directory.name}")
    job.grow_old()
    done = job.run()
    assert done.returncode == 0, done.stderr
    return job.rows()
