"""The life cycle of one run in an MPI world.

Rank 0 looks whether all is right and opens the run; every rank works; all merge what they recorded; rank 0 reports.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import numpy.typing as npt

from mpingest.errors import MpingestError
from mpingest.farm.collective import on_first
from mpingest.farm.share import SHARE_DTYPE
from mpingest.farm.transport import all_rows, run_farm
from mpingest.farm.units import Unit
from mpingest.farm.worker import COORDINATOR
from mpingest.farm.world import abort_on_error, open_world_if_launched
from mpingest.handler.calls import User
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.session import checked_session, own_session, session_for
from mpingest.jobs import tally
from mpingest.jobs.arrivals import now_ns
from mpingest.jobs.directory import JobDirectory, RunDirectory, own_trouble, write_json
from mpingest.jobs.helm import Helm, first_limits, open_helm
from mpingest.jobs.hooks import call_job_hook
from mpingest.jobs.log import STDERR, open_log
from mpingest.jobs.merging import damaged_checkpoint, merge_segments, notes_on
from mpingest.jobs.pipeline import PATIENCE_SECONDS, Pipeline, Visits
from mpingest.jobs.preflight import (
    check_after_ingest,
    check_delete_mode,
    check_delete_unknown,
    check_may_relocate,
    check_never_released,
    check_writable,
    checked_hierarchies,
    checked_jobs_directory,
    checked_target,
)
from mpingest.jobs.progress import Phase
from mpingest.jobs.release import Releaser, directories_with_files_done, emptied_directories
from mpingest.jobs.remains import forget_remains, settle_remains
from mpingest.jobs.removal import Remover, directories_with_gone_files, refusal, remove_collections
from mpingest.jobs.renames import Renames
from mpingest.jobs.reporter import NoReporter, reporter_of
from mpingest.jobs.root import checked_root
from mpingest.jobs.signals import Stopped
from mpingest.jobs.spec import JobSpec, RunOptions
from mpingest.jobs.stopping import Stops
from mpingest.jobs.subtrees import take_subtrees
from mpingest.jobs.summary import Summary, stop_reason
from mpingest.jobs.tools import OpenRun, Tools, handler_of, open_tools, root_meta
from mpingest.jobs.units import Subtree
from mpingest.jobs.visit import Visitor
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.states import Change, Outcome
from mpingest.manifest.table import DamagedTable
from mpingest.manifest.vanished import VanishedIndex
from mpingest.scan.entries import entry_row
from mpingest.scan.links import LinkRule

if TYPE_CHECKING:
    from mpi4py import MPI


@dataclass(frozen=True, slots=True)
class Counted:
    """What farms, one after the other, came to.

    counts: every rank's ``tally``, shape (ranks, SIZE); shares: of the units, ``SHARE_DTYPE``, shape (ranks,)
    stalled: ranks that made no progress, and what each was at; stopped: why the run is to end, "" if it is to go on
    """

    counts: tally.Counts
    shares: npt.NDArray[np.void]
    stalled: Sequence[tuple[int, str]] = ()
    stopped: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether nothing was left out."""
        return not (self.stalled or self.stopped)

    def __add__(self, later: Counted) -> Counted:
        shares = self.shares.copy()
        for name in SHARE_DTYPE.names or ():
            shares[name] += later.shares[name]
        return Counted(self.counts + later.counts, shares, later.stalled, later.stopped)


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for, before anything of it is checked."""

    root: str
    target: str
    job_name: str | None
    jobs_directory: str
    options: RunOptions


@dataclass(slots=True)
class _World:
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
def _opened_world(options: RunOptions) -> Iterator[_World]:
    comm = open_world_if_launched()
    with Stops(comm, options.time_limits) as stops, ExitStack() as held:
        yield _World(comm, stops, held)


def start(request: Request) -> Summary:
    """Run the job in this MPI world; the summary is the same on all ranks. Collective.

    Raises MpingestError, the same on all ranks, where it can't be run.
    """
    with _opened_world(request.options) as world:
        return _run(world, request)


def start_again(request: Request, interval: float, report: Callable[[Summary], None]) -> NoReturn:
    """Run the job every ``interval`` seconds, at once if a run took longer, until it is stopped. Collective.

    Raises MpingestError, the same on all ranks: Stopped, or what keeps a run from being done.
    """
    with _opened_world(request.options) as world:
        while True:
            began = time.monotonic()
            summary = _run(world, request)
            report(summary)
            summary.check_complete()
            on_first(world.comm, partial(world.tidy_up_after, summary))
            on_first(world.comm, partial(world.stops.wait, began + interval - time.monotonic()))
            if world.stops.share():
                raise world.stops.stopped()


def _run(world: _World, request: Request) -> Summary:
    options = request.options
    with _reported(world, _open_run(world, request), options) as opened:
        began = time.monotonic()
        counted = _scan_and_ingest(world, opened, options)
        refused = ""
        if counted.is_whole:  # nothing is deleted by an incomplete scan
            deleted, refused = _delete(world, opened, options)
            counted += deleted
        if counted.is_whole and options.after_ingest.takes_away:
            counted += _release(world, opened, options)
        seconds = time.monotonic() - began
        counted = replace(counted, stopped=_merge(world, opened) or counted.stopped)
        return on_first(world.comm, lambda: _close_run(opened, options, seconds, counted, refused))


def _open_run(world: _World, request: Request) -> OpenRun:
    """Checks what is asked for, locks the job, and takes in what a run that was cut off has left. Collective."""
    comm = world.comm
    checked, notes = on_first(comm, lambda: _checked_job(world, request))
    world.stops.pass_on(checked.job)
    leftovers = merge_segments(comm, checked.job, checked.spec, world.stops.check_time)
    opened = on_first(comm, lambda: _new_run(checked, notes, request.options))
    if leftovers:
        opened.notes.append(f"run {opened.run.number - 1} was cut off: what it had recorded is taken in first")
        opened.notes.extend(notes_on(leftovers))
    return opened


@contextmanager
def _reported(world: _World, opened: OpenRun, options: RunOptions) -> Iterator[OpenRun]:
    """The same, with a reporter on rank 0 as long as the block lasts."""
    comm = world.comm
    if comm is not None and comm.rank != COORDINATOR:
        yield opened
        return
    workers = comm.size - 1 if comm is not None else 1
    alone = comm is None or options.log.filename != STDERR
    with reporter_of(opened.spec.name, opened.run, workers, shown=options.progress, alone=alone) as reporter:
        yield replace(opened, reporter=reporter)


def _checked_job(world: _World, request: Request) -> tuple[_Checked, list[str]]:
    """The job, locked, and what to know of it."""
    root = checked_root(request.root, allow_empty=request.options.allow_empty)
    notes = []
    if world.checked is None:
        world.checked = _checked_with_zone(request, root)
        notes = world.hold(world.checked.job)
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
        job = JobDirectory.of(jobs_directory, spec)
        if options.delete_unknown:
            check_never_released(job)
        return _Checked(spec, job, hierarchies)
    finally:
        session.cleanup()


def _new_run(checked: _Checked, notes: list[str], options: RunOptions) -> OpenRun:
    spec, job = checked.spec, checked.job
    before = last_summary(job)
    notes += note_another_way(before, options)
    earlier, run = job.runs(), job.new_run()
    with _catalogs() as catalog_of:
        doubts = settle_remains(earlier, run, catalog_of, notes)
    root_row = entry_row(os.stat(spec.root))
    root_changed = int(root_row["mtime_ns"]) != before.get("root_mtime_ns")
    now = now_ns(spec.root, job.path)
    opened = OpenRun(spec, job, run, notes, root_row, root_changed, checked.hierarchies, doubts, now)
    call_job_hook("pre_job", opened, options)
    return opened


@contextmanager
def _catalogs() -> Iterator[Callable[[User | None], Catalog]]:
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


def _scan_and_ingest(world: _World, opened: OpenRun, options: RunOptions) -> Counted:
    comm = world.comm
    change = Change.MODIFIED if opened.root_changed else Change.UNCHANGED
    roots = [Subtree(b"", change, opened.root_row).to_unit()]
    if not options.detect_renames or not on_first(comm, lambda: os.path.exists(opened.job.checkpoint)):
        return _farm(world, opened, options, roots, _visitor)
    first = _farm(world, opened, options, roots, _visitor_of_what_is_known)
    if not first.is_whole or not on_first(comm, lambda: _plan_second_pass(opened, roots)):
        return first
    if stopped := _merge(world, opened):
        return replace(first, stopped=stopped)
    renamed: list[Subtree] = []
    both = first + _farm(world, opened, options, roots, _visitor_of_what_is_new)
    if both.is_whole and on_first(comm, lambda: _plan_forgetting(opened, renamed)):
        if stopped := _merge(world, opened):
            return replace(both, stopped=stopped)
        on_first(comm, lambda: _forget_old_names(opened, options, renamed))
    return both


def _plan_second_pass(opened: OpenRun, roots: list[Unit]) -> bool:
    """Whether there is a second pass to find renames (see ``jobs.renames``); then puts its units in place of roots."""
    roots[:] = [subtree.to_unit() for subtree in take_subtrees(opened.run.left)]
    return bool(roots)


def _plan_forgetting(opened: OpenRun, renamed: list[Subtree]) -> bool:
    """Whether there are renamed directories whose old names nothing needs any more; fills them in."""
    renamed.extend(take_subtrees(opened.run.left))
    return bool(renamed) and all(subtree.change is Change.DELETED for subtree in renamed)


def _forget_old_names(opened: OpenRun, options: RunOptions, renamed: list[Subtree]) -> bool:
    """Have nothing recorded of renamed directories under their old names."""
    with open_tools(COORDINATOR, opened, options) as tools:
        for old in renamed:
            tools.recorder.directory_entry(old.relative, old.row, Change.DELETED, Outcome.REMOVED)
    return True


def _visitor(tools: Tools, options: RunOptions) -> Visitor:
    checkpoint = None if options.ignore_cache else tools.checkpoint
    links = LinkRule(tools.ingestor.subjects.job.root, options.follow)
    return Visitor(
        links,
        tools.pool,
        tools.ingestor,
        checkpoint,
        tools.recorder,
        options,
        tools.arrivals,
        doubts=tools.doubts,
    )


def _visitor_of_what_is_known(tools: Tools, options: RunOptions) -> Visitor:
    return replace(_visitor(tools, options), postponed=tools.left)


def _visitor_of_what_is_new(tools: Tools, options: RunOptions) -> Visitor:
    assert tools.checkpoint and tools.left, "there was a first pass"
    index = VanishedIndex.of(tools.checkpoint)
    return replace(_visitor(tools, options), renames=Renames(tools.checkpoint, index, tools.ingestor, tools.left))


def _delete(world: _World, opened: OpenRun, options: RunOptions) -> tuple[Counted, str]:
    """Delete what is gone, if that is wanted; what it came to, and why it was refused."""
    comm = world.comm
    roots: list[Unit] = []
    counts = all_rows(comm, tally.new_counts())
    nothing = Counted(counts, np.zeros(len(counts), SHARE_DTYPE))
    wanted, refused = on_first(comm, lambda: handler_of(options).may_delete), ""
    if wanted:
        if stopped := _merge(world, opened):
            return replace(nothing, stopped=stopped), ""
        wanted, refused = on_first(comm, lambda: _plan_deletion(opened, options, roots))
    if not wanted:
        return nothing, refused
    with opened.reporter.phase(Phase.DELETING):
        # The units of the scan are told of, not these.
        deleted = replace(_farm(world, opened, options, roots, _remover), shares=nothing.shares)
        if deleted.is_whole:
            if stopped := _merge(world, opened):
                return replace(deleted, stopped=stopped), ""
            deleted.counts[COORDINATOR] += on_first(comm, lambda: _delete_collections(world, opened, options))
            deleted = replace(deleted, stopped=world.stops.share())
    return deleted, ""


def _remover(tools: Tools, options: RunOptions) -> Remover:
    assert tools.checkpoint is not None, "a deletion is planned by the checkpoint"
    return Remover(tools.checkpoint, tools.recorder, options)


def _plan_deletion(opened: OpenRun, options: RunOptions, roots: list[Unit]) -> tuple[bool, str]:
    """Whether anything is to be deleted, and why it is not; fills in the units."""
    if not os.path.exists(opened.job.checkpoint):
        return False, ""
    with Checkpoint.open(Path(opened.job.checkpoint)) as checkpoint:
        summary = checkpoint.summary()
        if not summary.outcomes[Outcome.GONE]:
            return False, ""
        if refused := refusal(summary, options.max_delete):
            return False, refused
        roots.extend(directories_with_gone_files(checkpoint, unknown=options.delete_unknown))
    return True, ""


def _delete_collections(world: _World, opened: OpenRun, options: RunOptions) -> tally.Counts:
    with open_tools(COORDINATOR, opened, options) as tools:
        assert tools.checkpoint is not None, "a deletion is planned by the checkpoint"
        remove_collections(
            tools.checkpoint,
            tools.ingestor,
            tools.recorder,
            unknown=options.delete_unknown,
            should_stop=world.stops.should_stop,
        )
        return tools.counts()


def _release(world: _World, opened: OpenRun, options: RunOptions) -> Counted:
    """Take away the files that have served; what it came to."""
    comm = world.comm
    roots: list[Unit] = []
    counts = all_rows(comm, tally.new_counts())
    released = Counted(counts, np.zeros(len(counts), SHARE_DTYPE))
    if stopped := _merge(world, opened):
        return replace(released, stopped=stopped)
    if on_first(comm, lambda: _plan_release(opened, roots)):
        with opened.reporter.phase(Phase.RELEASING):
            released = replace(_farm(world, opened, options, roots, Releaser.of), shares=released.shares)
    if not released.is_whole or options.ready_file is None:
        return released
    if stopped := _merge(world, opened):
        return replace(released, stopped=stopped)
    on_first(comm, lambda: _remove_emptied(opened, options))
    return released


def _plan_release(opened: OpenRun, roots: list[Unit]) -> bool:
    """Whether there are files that may have served; fills in the units of their directories."""
    if not os.path.exists(opened.job.checkpoint):
        return False
    with Checkpoint.open(Path(opened.job.checkpoint)) as checkpoint:
        roots.extend(directories_with_files_done(checkpoint))
    if roots:
        with own_trouble():
            opened.job.note_release()
    return bool(roots)


def _remove_emptied(opened: OpenRun, options: RunOptions) -> bool:
    """Remove directories that were ready, and from which all has been taken away, if any; first that is recorded."""
    with Checkpoint.open(Path(opened.job.checkpoint)) as checkpoint:
        emptied = emptied_directories(opened.spec.root, checkpoint)
    if not emptied:
        return False
    with open_tools(COORDINATOR, opened, options) as tools:
        for each in emptied:
            each.record(tools.recorder)
    for each in emptied:
        each.remove(opened.spec.root)
    opened.notes.append(f"directories that were ready, and are empty now, are removed: {len(emptied):,}")
    return True


def _farm(
    world: _World,
    opened: OpenRun,
    options: RunOptions,
    roots: list[Unit],
    make_visitor: Callable[[Tools, RunOptions], Visits],
) -> Counted:
    """The farm over the roots."""
    comm = world.comm
    counts = tally.new_counts()
    rank, workers = (comm.rank, comm.size - 1) if comm is not None else (COORDINATOR, 1)
    limits = first_limits(options, workers)
    with abort_on_error(comm), ExitStack() as stack:
        pipeline = tools = helm = None
        if rank != COORDINATOR or comm is None:
            tools = stack.enter_context(open_tools(rank, opened, options))
            pipeline = stack.enter_context(Pipeline(make_visitor(tools, options), tools, limits.rates.part(workers)))
        if rank == COORDINATOR:
            helm = stack.enter_context(open_helm(opened.spec.name, opened.run, options, limits, tools))
            stack.enter_context(opened.reporter.farm(helm.logger))
        result = run_farm(
            comm,
            roots,
            pipeline,
            on_progress=partial(_note_progress, opened.reporter, helm) if helm else None,
            should_stop=world.stops.should_stop,
            patience=PATIENCE_SECONDS,
            stall_timeout=options.stall_timeout,
            limits=limits,
            steer=helm.steer if helm else None,
        )
        if pipeline:
            counts = pipeline.counters()
    stopped = world.stops.share() if result.stopped else ""
    return Counted(all_rows(comm, counts), result.shares, result.stalled, stopped)


def _close_run(opened: OpenRun, options: RunOptions, seconds: float, counted: Counted, refused: str) -> Summary:
    if counted.is_whole:
        with _catalogs() as catalog_of:
            forget_remains(opened.run, catalog_of, opened.notes)
    else:
        _log_stop(opened, options, counted)
    with own_trouble():
        failures = opened.run.join_failures("failures.jsonl")
    summary = Summary(
        opened.spec,
        opened.run.number,
        round(seconds, 3),  # as it is kept
        counted.counts,
        counted.shares,
        failures,
        opened.notes,
        options.way,
        int(opened.root_row["mtime_ns"]),
        refused,
        counted.stalled,
        counted.stopped,
        options.kept(),
    )
    _keep_summary(opened.run, summary)
    try:
        call_job_hook("post_job", opened, options, summary=summary.to_json())
    except MpingestError as error:
        summary.notes.append(str(error))
        _keep_summary(opened.run, summary)
    return summary


def _log_stop(opened: OpenRun, options: RunOptions, counted: Counted) -> None:
    with open_log(opened.run.log, options.log, COORDINATOR, opened.spec.name, opened.run.number) as logger:
        logger.warning("stopped", reason=stop_reason(counted.stopped, counted.stalled))


def _keep_summary(run: RunDirectory, summary: Summary) -> None:
    with own_trouble():
        write_json(run.file("summary.json"), summary.to_json())


def _merge(world: _World, opened: OpenRun) -> str:
    """Take what was recorded into the checkpoint; why that is left to the next run, "" if it is done. Collective."""
    try:
        with opened.reporter.phase(Phase.MERGING):
            opened.notes.extend(notes_on(merge_segments(world.comm, opened.job, opened.spec, world.stops.check_time)))
    except Stopped:
        opened.notes.append("there was no time left to merge what was recorded: the next run does it first")
        return world.stops.share()
    return ""


def _note_progress(reporter: NoReporter, helm: Helm, counts: tally.Counts) -> None:
    reporter.note(counts, helm.to_json())
