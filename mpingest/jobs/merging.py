"""Merges shared by the ranks of an MPI world."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mpingest.errors import MpingestError
from mpingest.farm.collective import deal, on_first
from mpingest.farm.worker import COORDINATOR
from mpingest.farm.world import abort_on_error, open_world_if_launched
from mpingest.jobs.directory import JobDirectory, attributes_of, own_trouble
from mpingest.jobs.signals import stops_as_errors
from mpingest.jobs.spec import JobSpec
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.merge import MergeResult, merge
from mpingest.manifest.table import DamagedTable, JobAttributes

if TYPE_CHECKING:
    from mpi4py import MPI

Answer = TypeVar("Answer")
Check = Callable[[], None]
"""Called now and then on every rank; raises MpingestError to have a merge given up, which leaves all as it was."""


def _never() -> None:
    """Have it go on."""


class _World:
    """The ranks of a world, as a merge sees them. told: the last error that all of them know."""

    def __init__(self, comm: MPI.Comm | None, check: Check) -> None:
        self.rank, self.size = (comm.rank, comm.size) if comm is not None else (COORDINATOR, 1)
        self.told: Exception | None = None
        self.check = check
        self._comm = comm

    def deal(self, tasks: Sequence[Callable[[], Answer]]) -> list[Answer]:
        try:
            return deal(self._comm, tasks)
        except (MpingestError, OSError) as error:
            self.told = error
            raise


def merge_shared(
    comm: MPI.Comm | None,
    checkpoint: Path | None,
    segments: Sequence[Path],
    output: Path,
    attributes: JobAttributes,
    *,
    check: Check = _never,
) -> MergeResult:
    """``mpingest.manifest.merge.merge``, shared. Collective; raises the same on all ranks."""
    world = _World(comm, check)
    with abort_on_error(comm):
        try:
            return merge(checkpoint, segments, output, attributes, world)
        except (MpingestError, OSError) as problem:
            if problem is not world.told:
                raise  # a signal to this rank, while the others go on
            error = problem
    raise error


@dataclass(frozen=True, slots=True)
class Merged:
    """What came of a merge by hand.

    result:      None where there was nothing to take in
    entries:     in the checkpoint
    directories: likewise
    notes:       what else to know
    """

    result: MergeResult | None
    entries: int
    directories: int
    notes: list[str]


def merge_job(jobs_directory: str, name: str) -> Merged:
    """Take what runs of a job have left into its checkpoint, alone or in an MPI world. Collective.

    Raises MpingestError, the same on all ranks: there is no such job, it is being run, the merge cannot be done.
    """
    comm = open_world_if_launched()
    with stops_as_errors(), ExitStack() as stack:
        job, spec, notes = on_first(comm, lambda: _locked(stack, JobDirectory.existing(jobs_directory, name)))
        result = merge_segments(comm, job, spec)
        entries, directories = on_first(comm, lambda: _totals(job))
        return Merged(result, entries, directories, notes + notes_on(result))


def _locked(stack: ExitStack, job: JobDirectory) -> tuple[JobDirectory, JobSpec, list[str]]:
    lock = stack.enter_context(job.locked())
    return job, job.spec(), [lock.note] if lock.note else []


def _totals(job: JobDirectory) -> tuple[int, int]:
    """Entries and directories in the checkpoint."""
    if not os.path.exists(job.checkpoint):
        return 0, 0
    try:
        with own_trouble(), Checkpoint.open(Path(job.checkpoint)) as checkpoint:
            summary = checkpoint.summary()
            return summary.entries, summary.directories
    except DamagedTable as error:
        raise damaged_checkpoint(error) from error


def merge_segments(
    comm: MPI.Comm | None, job: JobDirectory, spec: JobSpec, check: Check = _never
) -> MergeResult | None:
    """Take all segments of a job, which is locked, into its checkpoint; None if there are none. Collective.

    Raises MpingestError, the same on all ranks, also what ``check`` raises.
    """
    with own_trouble():
        [(segments, run, exists)] = deal(comm, [partial(_look, job)])
        if not segments:
            return None
        output = Path(job.checkpoint)
        attributes = attributes_of(spec, run)
        try:
            result = merge_shared(comm, output if exists else None, segments, output, attributes, check=check)
        except DamagedTable as error:
            if error.path != output:
                raise  # what was made on the way, and is made anew the next time
            raise damaged_checkpoint(error) from error
        deal(comm, [partial(_remove, result.merged)])
    return result


def _look(job: JobDirectory) -> tuple[list[Path], int, bool]:
    """The segments, the last run, and whether there is a checkpoint."""
    return job.segments(), max((run.number for run in job.runs()), default=0), os.path.exists(job.checkpoint)


def _remove(segments: Sequence[Path]) -> None:
    for segment in segments:
        segment.unlink()


def damaged_checkpoint(error: DamagedTable) -> MpingestError:
    """The same error, and what to do."""
    advice = "move it away: the run compares with the collections then, and puts again what it can't tell the same"
    return MpingestError(f"{error}; {advice}")


def notes_on(result: MergeResult | None) -> list[str]:
    """What to know of a merge: segments that were damaged."""
    damaged = result.damaged if result else []
    return [f"{damage}: set aside as *.damaged; what it held is looked at again" for damage in damaged]
