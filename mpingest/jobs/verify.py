"""The life cycle of a verification: whether file system, record and catalog agree about a job.

Rank 0 finds and locks the job; what a run has left is taken in; every rank compares; rank 0 adds up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpingest.errors import ExitCode, MpingestError
from mpingest.farm.collective import merge_on_first, on_first
from mpingest.farm.transport import run_farm
from mpingest.farm.worker import COORDINATOR
from mpingest.farm.world import abort_on_error, open_world_if_launched
from mpingest.ingest.session import checked_session
from mpingest.jobs.directory import JobDirectory, own_trouble
from mpingest.jobs.findings import Totals
from mpingest.jobs.helm import first_limits, open_helm
from mpingest.jobs.inspector import OpenVerification, open_inspector
from mpingest.jobs.merging import merge_segments, notes_on
from mpingest.jobs.opening import check_checkpoint, last_summary, note_another_way
from mpingest.jobs.pipeline import Pipeline
from mpingest.jobs.preflight import checked_target
from mpingest.jobs.root import checked_root
from mpingest.jobs.signals import stops_as_errors
from mpingest.jobs.spec import JobSpec, RunOptions
from mpingest.jobs.tools import handler_of
from mpingest.jobs.units import Subtree
from mpingest.manifest.states import Change
from mpingest.scan.entries import entry_row

if TYPE_CHECKING:
    from mpi4py import MPI


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for, before anything of it is checked.

    options: how to look;  given: names of those that the user gives, the others are as in the last run
    checksum: compare checksums, too;  repair: mark what differs for the next run
    names: of each kind of difference, how many are named
    """

    job_name: str
    jobs_directory: str
    options: RunOptions
    given: Collection[str]
    checksum: bool
    repair: bool
    names: int


@dataclass(frozen=True, slots=True)
class Found:
    """The job. options: as they hold for this verification."""

    spec: JobSpec
    job: JobDirectory
    options: RunOptions
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found. totals: whole on rank 0 only.

    run:     number of the last run;  way: what decides about each entry
    listed:  path of the file that names all differences
    stalled: ranks that made no progress, and on what: what was seen until then is reported
    """

    spec: JobSpec
    run: int
    way: str
    checksum: bool
    repair: bool
    totals: Totals
    listed: str
    seconds: float
    notes: list[str]
    stalled: Sequence[tuple[int, str]]

    @property
    def exit_code(self) -> ExitCode:
        """Of the command."""
        if self.stalled:
            return ExitCode.STOPPED_EARLY
        return ExitCode.SOME_FAILED if self.totals.total else ExitCode.DONE


def verify(request: Request) -> Verification:
    """Compare the three sides of a job in this MPI world, or alone. Collective.

    Raises MpingestError, the same on all ranks.
    """
    began = time.monotonic()
    comm = open_world_if_launched()
    with stops_as_errors(), ExitStack() as stack:
        found = on_first(comm, lambda: _find(stack, request))
        leftovers = merge_segments(comm, found.job, found.spec)
        opened = on_first(comm, lambda: _open(found, request))
        with abort_on_error(comm):
            totals, stalled = _inspect(comm, opened, request.names)
            merge_on_first(comm, totals)
        marked = merge_segments(comm, found.job, found.spec)
        notes = [*found.notes, *notes_on(leftovers), *notes_on(marked)]
        seconds = time.monotonic() - began
        return on_first(comm, lambda: _conclude(opened, totals, seconds, notes, stalled))


def _find(stack: ExitStack, request: Request) -> Found:
    job = JobDirectory.existing(request.jobs_directory, request.job_name)
    spec = job.spec()
    checked_root(os.fsdecode(spec.root), allow_empty=request.options.allow_empty)
    before = last_summary(job)
    options = _as_before(request, before.get("options"))
    handler_of(options)
    session = checked_session(options.user)
    try:
        checked_target(spec.target, session.zone)
    finally:
        session.cleanup()
    lock = stack.enter_context(job.locked())
    check_checkpoint(job)
    notes = [lock.note] if lock.note else []
    return Found(spec, job, options, notes + note_another_way(before, options))


def _as_before(request: Request, kept: dict[str, object] | None) -> RunOptions:
    if kept is not None:
        return request.options.as_before(kept, request.given)
    if {"operation", "event_handler"} & set(request.given):
        return request.options
    raise MpingestError(
        f"job {request.job_name}: no run of it has come to its end and left word of its options: "
        "give --operation or --event-handler as to mpingest start, and its excludes"
    )


def _open(found: Found, request: Request) -> OpenVerification:
    spec, job = found.spec, found.job
    if not os.path.exists(job.checkpoint):
        raise MpingestError(f"job {spec.name}: no run of it has recorded anything: mpingest start first")
    with own_trouble():
        directory = job.new_verification()
    root_row = entry_row(os.stat(spec.root))
    return OpenVerification(spec, job, directory, found.options, request.checksum, request.repair, root_row)


def _inspect(comm: MPI.Comm | None, opened: OpenVerification, names: int) -> tuple[Totals, Sequence[tuple[int, str]]]:
    """What this rank has counted, and who stalled."""
    options, totals = opened.options, Totals(names)
    rank, workers = (comm.rank, comm.size - 1) if comm is not None else (COORDINATOR, 1)
    limits = first_limits(options, workers)
    with ExitStack() as stack:
        pipeline = tools = helm = None
        if rank != COORDINATOR or comm is None:
            inspector, tools = stack.enter_context(open_inspector(rank, opened, totals))
            pipeline = stack.enter_context(Pipeline(inspector, tools, limits.rates.part(workers)))
        if rank == COORDINATOR:
            helm = stack.enter_context(open_helm(opened.spec.name, opened.directory, options, limits, tools))
        result = run_farm(
            comm,
            [Subtree(b"", Change.UNCHANGED, opened.root_row).to_unit()],
            pipeline,
            stall_timeout=options.stall_timeout,
            limits=limits,
            steer=helm.steer if helm else None,
        )
    return totals, result.stalled


def _conclude(
    opened: OpenVerification, totals: Totals, seconds: float, notes: list[str], stalled: Sequence[tuple[int, str]]
) -> Verification:
    with own_trouble():
        differences = opened.directory.join_failures("differences.jsonl")
    options = opened.options
    if handler_of(options).has("collection_for"):
        notes.append("collection_for(): what else is in the collections was not looked at")
    run = opened.directory.number
    return Verification(
        opened.spec,
        run,
        options.way,
        opened.checksum,
        opened.repair,
        totals,
        differences,
        seconds,
        notes,
        stalled,
    )
