"""What all ranks of a run do, one after the other: scan and ingest, delete what is gone, take away what has served."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mpingest.farm.collective import on_first
from mpingest.farm.share import SHARE_DTYPE
from mpingest.farm.transport import all_rows, run_farm
from mpingest.farm.units import Unit
from mpingest.farm.worker import COORDINATOR
from mpingest.farm.world import abort_on_error
from mpingest.ingest.retry import Interrupted
from mpingest.jobs import tally
from mpingest.jobs.directory import own_trouble
from mpingest.jobs.helm import Helm, first_limits, open_helm
from mpingest.jobs.merging import merge_segments, notes_on
from mpingest.jobs.opening import World
from mpingest.jobs.pipeline import PATIENCE_SECONDS, Pipeline, Visits
from mpingest.jobs.progress import Phase
from mpingest.jobs.release import Releaser, directories_with_files_done, emptied_directories
from mpingest.jobs.removal import Remover, directories_with_gone_files, refusal, remove_collections
from mpingest.jobs.renames import Renames
from mpingest.jobs.reporter import NoReporter
from mpingest.jobs.signals import Stopped
from mpingest.jobs.spec import RunOptions
from mpingest.jobs.subtrees import take_subtrees
from mpingest.jobs.tools import OpenRun, Tools, handler_of, open_tools
from mpingest.jobs.units import Subtree
from mpingest.jobs.visit import Visitor
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.states import Change, Outcome
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


def scan_and_ingest(world: World, opened: OpenRun, options: RunOptions) -> Counted:
    """Compare the tree with what is recorded, and act on what is new or has changed. Collective."""
    comm = world.comm
    change = Change.MODIFIED if opened.root_changed else Change.UNCHANGED
    roots = [Subtree(b"", change, opened.root_row).to_unit()]
    if not options.detect_renames or not on_first(comm, lambda: os.path.exists(opened.job.checkpoint)):
        return _farm(world, opened, options, roots, _visitor)
    first = _farm(world, opened, options, roots, _visitor_of_what_is_known)
    if not first.is_whole or not on_first(comm, lambda: _plan_second_pass(opened, roots)):
        return first
    if stopped := merge_records(world, opened):
        return replace(first, stopped=stopped)
    renamed: list[Subtree] = []
    both = first + _farm(world, opened, options, roots, _visitor_of_what_is_new)
    if both.is_whole and on_first(comm, lambda: _plan_forgetting(opened, renamed)):
        if stopped := merge_records(world, opened):
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
        deletes=tools.ingestor.handler.may_delete,
        replaced=tools.replaced,
        doubts=tools.doubts,
    )


def _visitor_of_what_is_known(tools: Tools, options: RunOptions) -> Visitor:
    return replace(_visitor(tools, options), postponed=tools.left)


def _visitor_of_what_is_new(tools: Tools, options: RunOptions) -> Visitor:
    assert tools.checkpoint and tools.left, "there was a first pass"
    index = VanishedIndex.of(tools.checkpoint)
    return replace(_visitor(tools, options), renames=Renames(tools.checkpoint, index, tools.ingestor, tools.left))


def ingest_replaced(world: World, opened: OpenRun, options: RunOptions) -> Counted:
    """Bring in what has the name of something else that was to be deleted first: a directory of a file, or the reverse.

    Collective.
    """
    comm = world.comm
    roots: list[Unit] = []
    if not on_first(comm, lambda: _plan_replaced(opened, roots)):
        return _nothing(comm)
    if stopped := merge_records(world, opened):
        return replace(_nothing(comm), stopped=stopped)
    return _farm(world, opened, options, roots, _visitor_of_what_is_replaced)


def _plan_replaced(opened: OpenRun, roots: list[Unit]) -> bool:
    """Whether there is anything; fills in the units of the directories where it is."""
    for subtree in {each.relative: each for each in take_subtrees(opened.run.replaced)}.values():
        with suppress(FileNotFoundError):  # the next run will tell
            row = entry_row(os.stat(os.path.join(opened.spec.root, subtree.relative)))
            roots.append(replace(subtree, row=row).to_unit())
    return bool(roots)


def _visitor_of_what_is_replaced(tools: Tools, options: RunOptions) -> Visitor:
    return replace(_visitor(tools, options), deletes=False, after_deletion=True)


def delete(world: World, opened: OpenRun, options: RunOptions) -> tuple[Counted, str]:
    """Delete what is gone, if that is wanted; what it came to, and why it was refused."""
    comm = world.comm
    roots: list[Unit] = []
    nothing = _nothing(comm)
    wanted, refused = on_first(comm, lambda: handler_of(options).may_delete), ""
    if wanted:
        if stopped := merge_records(world, opened):
            return replace(nothing, stopped=stopped), ""
        wanted, refused = on_first(comm, lambda: _plan_deletion(opened, options, roots))
    if not wanted:
        return nothing, refused
    with opened.reporter.phase(Phase.DELETING):
        # The units of the scan are told of, not these.
        deleted = replace(_farm(world, opened, options, roots, _remover), shares=nothing.shares)
        if deleted.is_whole:
            if stopped := merge_records(world, opened):
                return replace(deleted, stopped=stopped), ""
            deleted.counts[COORDINATOR] += on_first(comm, lambda: _delete_collections(world, opened, options))
            deleted = replace(deleted, stopped=world.stops.share())
    return deleted, ""


def _nothing(comm: MPI.Comm | None) -> Counted:
    """What no farm at all comes to. Collective."""
    counts = all_rows(comm, tally.new_counts())
    return Counted(counts, np.zeros(len(counts), SHARE_DTYPE))


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


def _delete_collections(world: World, opened: OpenRun, options: RunOptions) -> tally.Counts:
    with open_tools(COORDINATOR, opened, options, world.stops.ending) as tools:
        assert tools.checkpoint is not None, "a deletion is planned by the checkpoint"
        with suppress(Interrupted):
            remove_collections(
                tools.checkpoint,
                tools.ingestor,
                tools.recorder,
                unknown=options.delete_unknown,
                ending=tools.ending,
            )
        return tools.counts()


def release(world: World, opened: OpenRun, options: RunOptions) -> Counted:
    """Take away the files that have served; what it came to."""
    comm = world.comm
    roots: list[Unit] = []
    released = _nothing(comm)
    if stopped := merge_records(world, opened):
        return replace(released, stopped=stopped)
    if on_first(comm, lambda: _plan_release(opened, roots)):
        with opened.reporter.phase(Phase.RELEASING):
            released = replace(_farm(world, opened, options, roots, Releaser.of), shares=released.shares)
    if not released.is_whole or options.ready_file is None:
        return released
    if stopped := merge_records(world, opened):
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
    world: World,
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


def merge_records(world: World, opened: OpenRun) -> str:
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
