"""The demo: a sample tree, an embedded zone, three runs, and a check of every file with the plain client."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from irods.session import iRODSSession

from mpingest.errors import MpingestError
from mpingest.farm.world import find_mpiexec
from mpingest.jobs.text import human_bytes
from mpingest.zone.embedded import EmbeddedZone

DIRECTORIES = 200
FILES = 2000
FLAT_FILES = 500
ODD_NAMES = (
    "with spaces",
    " leading and trailing ",
    "it's",
    'double "quotes"',
    "100%",
    "back\\slash",
    "new\nline",
    "-dash",
    "Ünïcødé-名前",
    "<&>;",
    "x" * 255,
)
CHANGED, DELETED, ADDED = 10, 2, 5
SEED = 20


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where the demo plays."""

    directory: str
    zone: EmbeddedZone
    ranks: int

    @property
    def root(self) -> str:
        return os.path.join(self.directory, "landing")

    @property
    def target(self) -> str:
        return f"/{self.zone.zone}/home/{self.zone.user}/landing"


def tell(ranks: int) -> Iterator[str]:
    """Play the demo; gives the lines to show. Raises MpingestError where a run fails or the check finds fault."""
    with tempfile.TemporaryDirectory(prefix="mpingest-demo.") as directory, EmbeddedZone() as zone:
        stage = _Stage(directory, zone, ranks)
        yield f"1. A sample tree: {FILES:,} files, {DIRECTORIES} directories, odd names, one directory of {FLAT_FILES}"
        files = make_tree(stage.root)
        yield "2. An embedded zone, and the first run:"
        yield from _run(stage)
        yield _check(stage)
        yield f"3. {CHANGED} files change, {DELETED} go, {ADDED} come; the same line again:"
        _disturb(stage.root, files)
        yield from _run(stage)
        yield _check(stage)
        yield "4. Nothing changes; the same line again:"
        yield from _run(stage)


def make_tree(root: str) -> list[str]:
    """Make the sample tree; the paths of its files. The same on every call."""
    dice = random.Random(SEED)  # noqa: S311
    directories = [root, os.path.join(root, "flat")]
    while len(directories) < DIRECTORIES:
        directories.append(os.path.join(dice.choice(directories[:50]), f"dir{len(directories):03d}"))
    for directory in directories:
        os.mkdir(directory)
    files = [os.path.join(root, name) for name in ODD_NAMES]
    files += [os.path.join(root, "flat", f"frame{number:05d}.dat") for number in range(FLAT_FILES)]
    files += [os.path.join(dice.choice(directories), f"file{number:04d}") for number in range(FILES - len(files))]
    for path in files:
        _write(path, dice.randbytes(int(dice.lognormvariate(6, 2)) % 500_000))
    return files


def _disturb(root: str, files: list[str]) -> None:
    dice = random.Random(SEED + 1)  # noqa: S311
    touched = dice.sample(files, CHANGED + DELETED)
    for path in touched[:CHANGED]:
        _write(path, dice.randbytes(1000))
    for path in touched[CHANGED:]:
        os.unlink(path)
    for number in range(ADDED):
        _write(os.path.join(root, f"new{number}"), dice.randbytes(2000))


def _write(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def _run(stage: _Stage) -> Iterator[str]:
    """One run in an MPI world of its own, and what it and the zone say of it."""
    line = ["mpiexec", "-n", str(stage.ranks), "mpingest", "start", "--operation", "put_sync", "…", stage.target]
    yield "   $ " + " ".join(line)
    stage.zone.reset_counts()
    jobs = os.path.join(stage.directory, "jobs")
    environment = os.environ | {
        "IRODS_ENVIRONMENT_FILE": str(stage.zone.environment_file),
        "MPINGEST_JOBS_DIR": jobs,
    }
    arguments = ["start", "--operation", "put_sync", "--job-name", "demo", stage.root, stage.target]
    command = [_mpiexec(), "-n", str(stage.ranks), sys.executable, "-m", "mpingest", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise MpingestError(f"the run ended with exit code {done.returncode}: {done.stderr.strip() or done.stdout}")
    yield from _table(_latest_summary(os.path.join(jobs, "demo", "runs")))
    yield f"   The zone counted {stage.zone.catalog_changes().total():,} requests that change the catalog."


def _table(summary: dict[str, Any]) -> Iterator[str]:
    total = summary["total"]
    went = total["outcome_done"] + total["outcome_unsettled"]
    yield (
        f"   {total['entries']:,} files scanned: {total['change_new']} new, {total['change_modified']} modified, "
        f"{total['change_unchanged']:,} unchanged, {total['outcome_gone']} gone"
    )
    yield f"   {'rank':>7} {'files':>7} {'bytes':>9} {'requests':>9}"
    for rank, row in enumerate(summary["ranks"]):
        done = row["outcome_done"] + row["outcome_unsettled"]
        yield f"   {rank:>7} {done:>7} {human_bytes(row['bytes_sent']):>9} {row['requests']:>9}"
    yield (
        f"   {'all':>7} {went:>7} {human_bytes(total['bytes_sent']):>9} {total['requests']:>9}"
        f"   {summary['seconds']:.1f} s, {went / summary['seconds']:,.0f} files/s"
    )


def _check(stage: _Stage) -> str:
    """Compare every file with its object, read by the plain client."""
    files = size = 0
    with iRODSSession(irods_env_file=str(stage.zone.environment_file)) as session:
        for directory, _, names in os.walk(stage.root):
            collection = stage.target + directory.removeprefix(stage.root)
            for name in names:
                with open(os.path.join(directory, name), "rb") as file:
                    content = file.read()
                with session.data_objects.open(f"{collection}/{name}", "r") as stored:
                    if stored.read() != content:
                        raise MpingestError(f"{collection}/{name} differs from its file")
                files += 1
                size += len(content)
    return f"   Read back with the plain client: {files:,} files, {human_bytes(size)}, every byte the same."


def _latest_summary(runs: str) -> dict[str, Any]:
    with open(os.path.join(runs, max(os.listdir(runs)), "summary.json"), encoding="utf-8") as file:
        summary: dict[str, Any] = json.load(file)
    return summary


def _mpiexec() -> str:
    found = find_mpiexec()
    if found is None:
        raise MpingestError("no mpiexec: load the site's MPI module or pip install 'mpingest[mpich]'")
    return found
