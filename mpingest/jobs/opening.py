"""How a run begins: rank 0 looks whether all is right, locks the job, and takes in what an earlier run has left."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mpingest.farm.collective import on_first
from mpingest.farm.world import open_world_if_launched
from mpingest.handler.calls import User
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.retry import Interrupted
from mpingest.ingest.session import checked_session, own_session, session_for
from mpingest.jobs.arrivals import now_ns
from mpingest.jobs.directory import JobDirectory, RunDirectory
from mpingest.jobs.hooks import call_job_hook
from mpingest.jobs.merging import damaged_checkpoint, merge_segments, notes_on
from mpingest.jobs.preflight import (
    check_after_ingest,
    check_delete_mode,
    check_delete_unknown,
    check_may_relocate,
    check_never_released,
    check_no_twin_runs,
    check_writable,
    checked_hierarchies,
    checked_jobs_directory,
    checked_target,
)
from mpingest.jobs.remains import settle_remains
from mpingest.jobs.root import checked_root
from mpingest.jobs.spec import JobSpec, RunOptions
from mpingest.jobs.stopping import Stops
from mpingest.jobs.summary import Summary
from mpingest.jobs.tools import OpenRun, handler_of, retry_policy, root_meta
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.table import DamagedTable
from mpingest.scan.entries import entry_row

if TYPE_CHECKING:
    from mpi4py import MPI


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for, before anything of it is checked."""

    root: str
    target: str
    job_name: str | None
    jobs_directory: str
    options: RunOptions


@dataclass(slots=True)
class World:
    """The ranks, from the first run that they do to the last.

    held: what rank 0 holds meanwhile: the lock of the job, once it has it, and with it ``job``
    checked: on rank 0, what was asked of the zone before the first run; those after it find nothing out that way
    idle: on rank 0, the last run, if it found nothing
    """

    comm: MPI.Comm | None
    stops: Stops
    held: ExitStack
    job: JobDirectory | None = None
    checked: _Checked | None = None
    idle: RunDirectory | None = None

    def hold(self, job: JobDirectory) -> list[str]:
        """Lock the job, if that is not done; what to know of that. Raises MpingestError."""
        if self.job is not None:
            return []
        lock = self.held.enter_context(job.locked())
        self.held.enter_context(self.stops.of_job(job, lock.release))
        self.job = job
        return [lock.note] if lock.note else []

    def tidy_up_after(self, summary: Summary) -> bool:
        """Of runs that found nothing, one after the other, keep only the last; whether this one has found nothing."""
        assert self.job is not None, "it has been run"
        if self.idle is not None and summary.found_nothing:
            shutil.rmtree(self.idle.path, ignore_errors=True)
        self.idle = self.job.run(summary.run) if summary.found_nothing else None
        return self.idle is not None


@dataclass(frozen=True, slots=True)
class _Checked:
    """What a run was found to be. hierarchies: of the zone's resources."""

    spec: JobSpec
    job: JobDirectory
    hierarchies: dict[str, str]


@contextmanager
def opened_world(options: RunOptions) -> Iterator[World]:
    """The ranks, which heed from now on whatever is to stop them. Collective."""
    comm = open_world_if_launched()
    with Stops(comm, options.time_limits) as stops, ExitStack() as held:
        yield World(comm, stops, held)


def open_run(world: World, request: Request) -> OpenRun:
    """Checks what is asked for, locks the job, and takes in what a run that was cut off has left. Collective."""
    comm = world.comm
    checked, notes = on_first(comm, lambda: _checked_job(world, request))
    world.stops.pass_on(checked.job)
    leftovers = merge_segments(comm, checked.job, checked.spec, world.stops.check_time)
    opened = on_first(comm, lambda: _new_run(world, checked, notes, request.options))
    if leftovers:
        opened.notes.append(f"run {opened.run.number - 1} was cut off: what it had recorded is taken in first")
        opened.notes.extend(notes_on(leftovers))
    return opened


def _checked_job(world: World, request: Request) -> tuple[_Checked, list[str]]:
    """The job, locked, and what to know of it."""
    root = checked_root(request.root, allow_empty=request.options.allow_empty)
    notes = []
    if world.checked is None:
        world.checked = _checked_with_zone(request, root)
        notes = world.hold(world.checked.job)
        check_no_twin_runs(request.jobs_directory, world.checked.spec)  # again, for two that begin at once
    check_checkpoint(world.checked.job)
    return world.checked, notes


def _checked_with_zone(request: Request, root: bytes) -> _Checked:
    options = request.options
    handler = handler_of(options)
    if options.delete_unknown:
        check_delete_unknown(handler)
    check_after_ingest(handler, options, root)
    session = checked_session(options.user)
    try:
        target = checked_target(request.target, session.zone)
        check_writable(session, target)
        hierarchies = checked_hierarchies(session, options.resource, options.operation)
        spec = JobSpec.named(request.job_name, root, target)
        jobs_directory = checked_jobs_directory(request.jobs_directory, root)
        check_delete_mode(handler, session, root_meta(spec, options))
        if options.detect_renames and options.user is None:
            check_may_relocate(handler, session, root_meta(spec, options))
        check_no_twin_runs(jobs_directory, spec)
        job = JobDirectory.of(jobs_directory, spec)
        if options.delete_unknown:
            check_never_released(job)
        return _Checked(spec, job, hierarchies)
    finally:
        session.cleanup()


def _new_run(world: World, checked: _Checked, notes: list[str], options: RunOptions) -> OpenRun:
    spec, job = checked.spec, checked.job
    before = last_summary(job)
    notes += note_another_way(before, options)
    earlier, run = job.runs(), job.new_run()
    with opened_catalogs() as catalog_of:
        retry = retry_policy(catalog_of(None), spec.target, options, world.stops.ending)
        try:
            doubts = settle_remains(earlier, run, catalog_of, retry, notes)
        except Interrupted:
            raise world.stops.stopped() from None
    root_row = entry_row(os.stat(spec.root))
    root_changed = int(root_row["mtime_ns"]) != before.get("root_mtime_ns")
    now = now_ns(spec.root, job.path)
    opened = OpenRun(spec, job, run, notes, root_row, root_changed, checked.hierarchies, doubts, now)
    call_job_hook("pre_job", opened, options)
    return opened


@contextmanager
def opened_catalogs() -> Iterator[Callable[[User | None], Catalog]]:
    """Gives catalogs by user, each with a session of its own from the first time that it is asked for."""
    with ExitStack() as stack:

        @cache
        def catalog_of(user: User | None) -> Catalog:
            session = session_for(user) if user else own_session()
            stack.callback(session.cleanup)
            return Catalog(session)

        yield catalog_of


def last_summary(job: JobDirectory) -> dict[str, Any]:
    """What the last run that came to its end reported; empty if none has."""
    summaries = [run.file("summary.json") for run in job.runs() if os.path.exists(run.file("summary.json"))]
    if not summaries:
        return {}
    with open(summaries[-1], encoding="utf-8", errors="surrogateescape") as file:
        summary: dict[str, Any] = json.load(file)
    return summary


def note_another_way(before: dict[str, Any], options: RunOptions) -> list[str]:
    """What to know if the last run decided otherwise about entries than this one will."""
    way = before.get("way", options.way)
    if way == options.way:
        return []
    return [f"it was {way} before, now it is {options.way}: what is unchanged stays; --ignore-cache looks at all anew"]


def check_checkpoint(job: JobDirectory) -> None:
    """Raises MpingestError where the job's checkpoint can't be used."""
    if not os.path.exists(job.checkpoint):
        return
    try:
        with Checkpoint.open(Path(job.checkpoint)):
            pass
    except DamagedTable as error:
        raise damaged_checkpoint(error) from error
