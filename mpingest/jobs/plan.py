"""The life cycle of a plan: what a run of a job would do, by a scan and what the job knows, and without a trace.

Rank 0 finds the job; every rank visits; rank 0 adds up.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mpingest.errors import ExitCode, MpingestError
from mpingest.farm.collective import merge_on_first, on_first
from mpingest.farm.limits import Limits, Rates
from mpingest.farm.transport import run_farm, wait_asleep
from mpingest.farm.worker import COORDINATOR
from mpingest.farm.world import abort_on_error, open_world_if_launched, ranks_of_host
from mpingest.jobs import tally
from mpingest.jobs.directory import JobDirectory, attributes_of
from mpingest.jobs.forecast import Forecast
from mpingest.jobs.opening import check_checkpoint, last_summary, note_another_way
from mpingest.jobs.pipeline import Pipeline
from mpingest.jobs.planner import NoZone, needs_zone, open_planner
from mpingest.jobs.preflight import (
    check_delete_mode,
    check_delete_unknown,
    check_never_released,
    checked_jobs_directory,
    checked_target,
)
from mpingest.jobs.removal import refusal
from mpingest.jobs.root import checked_root
from mpingest.jobs.signals import stops_as_errors
from mpingest.jobs.spec import JobSpec, RunOptions
from mpingest.jobs.tools import handler_of, root_meta
from mpingest.jobs.units import Subtree
from mpingest.manifest.checkpoint import Checkpoint, Summary
from mpingest.manifest.merge import merge
from mpingest.manifest.states import Change, Outcome
from mpingest.scan.entries import entry_row

if TYPE_CHECKING:
    from mpi4py import MPI

_TRIES = 3
"""How often segments are merged that another run takes away meanwhile."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for, before anything of it is checked.

    target: None for that of the job which has the root;  names: how many of each change
    """

    root: str
    target: str | None
    job_name: str | None
    jobs_directory: str
    options: RunOptions
    names: int


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of the job.

    job:       None before its first run;  run: number of the last one, 0 for none
    leftovers: whether segments are left of a run that was cut off, or goes on;  now_ns: see ``Arrivals``
    """

    spec: JobSpec
    job: JobDirectory | None
    run: int
    leftovers: bool
    notes: list[str]
    root_row: np.void
    now_ns: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would do; the forecast is whole on rank 0 only.

    run:     number of the last run, 0 if there was none
    way:     what decides about each entry
    listings: of collections that are not on record, made if they are there all the same: that many at most
    refusal: why what is gone would not be deleted, though it should be; empty if nothing would be refused
    stalled: ranks that made no progress, and on what: the forecast is of what was seen until then
    """

    spec: JobSpec
    run: int
    way: str
    forecast: Forecast
    listings: int
    seconds: float
    refusal: str
    notes: list[str]
    stalled: Sequence[tuple[int, str]]

    @property
    def exit_code(self) -> ExitCode:
        """Of the command."""
        if self.stalled:
            return ExitCode.STOPPED_EARLY
        return ExitCode.SOME_FAILED if self.forecast.failing else ExitCode.DONE


def plan(request: Request) -> Plan:
    """What a run would do, found out in this MPI world or alone. Collective.

    Raises MpingestError, the same on all ranks.
    """
    began = time.monotonic()
    comm = open_world_if_launched()
    with stops_as_errors():
        found = on_first(comm, lambda: _find(request))
        with abort_on_error(comm), _checkpoint(comm, found) as (checkpoint, notes):
            forecast, stalled = _foresee(comm, found, checkpoint, request)
            merge_on_first(comm, forecast)
        seconds = time.monotonic() - began
        return on_first(comm, lambda: _conclude(request, found, forecast, notes, stalled, seconds=seconds))


def _find(request: Request) -> Found:
    options = request.options
    handler = handler_of(options)
    root = checked_root(request.root, allow_empty=options.allow_empty)
    jobs_directory = checked_jobs_directory(request.jobs_directory, root)
    if options.delete_unknown:
        check_delete_unknown(handler)
    spec, job = _job(request, root, jobs_directory)
    notes = []
    if not spec.target:
        notes.append("there is no job of this root: as in a first run, into whatever target")
        if options.handler:
            raise MpingestError("no job has this root: name TARGET, for the event handler is told of it")
    _check_delete_mode(spec, options)
    root_row = entry_row(os.stat(root))
    if job is None:
        return Found(spec, None, 0, False, notes, root_row, time.time_ns())
    if options.delete_unknown:
        check_never_released(job)
    check_checkpoint(job)
    runs, leftovers = job.runs(), bool(job.segments())
    notes += _notes(job, options, runs[-1].number if runs else 0, leftovers)
    return Found(spec, job, runs[-1].number if runs else 0, leftovers, notes, root_row, time.time_ns())


def _job(request: Request, root: bytes, jobs_directory: str) -> tuple[JobSpec, JobDirectory | None]:
    """The job that a run would have, and its directory if it has one."""
    if request.target is not None:
        spec = JobSpec.named(request.job_name, root, checked_target(request.target))
        job = JobDirectory(os.path.join(jobs_directory, spec.name))
        if not job.is_there:
            return spec, None
        job.check_is(spec)
        return spec, job
    if request.job_name is not None:
        job = JobDirectory.existing(jobs_directory, request.job_name)
        spec = job.spec()
        job.check_is(JobSpec(spec.name, root, spec.target))
        return spec, job
    jobs = [(spec, job) for job in JobDirectory.all(jobs_directory) if (spec := job.spec()).root == root]
    if len(jobs) > 1:
        names = ", ".join(f"{spec.name} ({spec.target})" for spec, _ in jobs)
        raise MpingestError(f"root {request.root}: is that of several jobs, name TARGET or --job-name: {names}")
    return jobs[0] if jobs else (JobSpec("", root, ""), None)


def _check_delete_mode(spec: JobSpec, options: RunOptions) -> None:
    try:
        check_delete_mode(handler_of(options), NoZone(), root_meta(spec, options))
    except MpingestError as error:
        if not needs_zone(error):
            raise


def _notes(job: JobDirectory, options: RunOptions, run: int, leftovers: bool) -> list[str]:
    notes = note_another_way(last_summary(job), options)
    if (holder := job.held(without_trace=True)) and holder.lives:
        taken = ": what it has recorded so far is taken in" if leftovers else ""
        return [*notes, f"run {run} is in progress, by {holder}{taken}; what it does meanwhile may count or not"]
    if leftovers:
        where = f"in a copy below {tempfile.gettempdir()} on each host"
        notes.append(f"run {run} was cut off: what it had recorded is taken in, {where}")
    return notes


@contextmanager
def _checkpoint(comm: MPI.Comm | None, found: Found) -> Iterator[tuple[Checkpoint | None, list[str]]]:
    """The state that a run would begin with, None for none; and notes about damage."""
    notes: list[str] = []
    with ExitStack() as stack:
        if found.leftovers:
            with _merged_copy(comm, found, notes) as path:
                checkpoint = _opened(stack, path)
        else:
            checkpoint = _opened(stack, found.job.checkpoint if found.job else "")
        yield checkpoint, notes


def _opened(stack: ExitStack, path: str) -> Checkpoint | None:
    return stack.enter_context(Checkpoint.open(Path(path))) if os.path.exists(path) else None


@contextmanager
def _merged_copy(comm: MPI.Comm | None, found: Found, notes: list[str]) -> Iterator[str]:
    """A checkpoint with all segments in it, gone once all ranks of this host have left the block; "" if there is none.

    Each host makes its own, since temporary directories are mostly seen by one host alone.
    """
    host = ranks_of_host(comm)
    is_first = host is None or host.rank == COORDINATOR
    with ExitStack() as stack:
        directory = stack.enter_context(_temporary_directory()) if is_first else ""
        path, damage = on_first(host, lambda: _merge_into(directory, found))
        notes += damage
        yield path
        if host is not None:
            wait_asleep(host.Ibarrier())


def _temporary_directory() -> tempfile.TemporaryDirectory[str]:
    """Below TMPDIR, mode 0700. Raises MpingestError."""
    try:
        return tempfile.TemporaryDirectory(prefix="mpingest-plan.", ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_room(error) from error


def _merge_into(directory: str, found: Found) -> tuple[str, list[str]]:
    """Path of a checkpoint with all segments in it, "" where nothing is recorded; notes about damaged ones.

    Segments are merged by links to them, for a merge sets aside what is damaged.
    """
    assert found.job is not None, "segments are those of a job"
    for _ in range(_TRIES):
        segments = {Path(directory, f"{number}.h5"): path for number, path in enumerate(found.job.segments())}
        checkpoint = Path(found.job.checkpoint)
        previous = checkpoint if checkpoint.exists() else None
        if not segments:
            return str(previous or ""), []
        output = Path(directory, "checkpoint.h5")
        try:
            for link, segment in segments.items():
                link.unlink(missing_ok=True)
                link.symlink_to(segment)
            result = merge(previous, list(segments), output, attributes_of(found.spec, found.run))
        except OSError as error:
            if all(segment.exists() for segment in segments.values()):
                raise _no_room(error) from error
            continue
        if all(segment.exists() for segment in segments.values()):
            damaged = [segments[error.path] for error in result.damaged]
            return str(output), [f"{path} is damaged: a run looks again at what it held" for path in damaged]
    raise MpingestError("a run of the job is merging what it has recorded: try again in a minute")


def _no_room(error: OSError) -> MpingestError:
    return MpingestError(f"temporary directory {tempfile.gettempdir()}: {error.strerror}; set TMPDIR to one with room")


def _foresee(
    comm: MPI.Comm | None, found: Found, checkpoint: Checkpoint | None, request: Request
) -> tuple[Forecast, Sequence[tuple[int, str]]]:
    """What this rank has counted, and who stalled."""
    options, forecast = request.options, Forecast(request.names)
    limits = Limits(rates=Rates(stats=options.max_stat_rate))
    with ExitStack() as stack:
        pipeline = None
        if comm is None or comm.rank != COORDINATOR:
            planner, tools = stack.enter_context(open_planner(found.spec, checkpoint, options, forecast, found.now_ns))
            pipeline = stack.enter_context(Pipeline(planner, tools, limits.rates.part(comm.size - 1 if comm else 1)))
            stack.callback(tools.recorder.shut)  # nobody waits for threads that have nothing to save
        result = run_farm(
            comm,
            [Subtree(b"", Change.UNCHANGED, found.root_row).to_unit()],
            pipeline,
            stall_timeout=options.stall_timeout,
            limits=limits,
        )
    return forecast, result.stalled


def _refusal(forecast: Forecast, options: RunOptions) -> str:
    """Why a run would not delete what is gone."""
    if not forecast.objects_deleted.files and not forecast.collections_deleted:
        return ""
    counts = forecast.counts
    directories = int(counts[tally.DIRECTORIES] + counts[tally.DIRECTORIES_FAILED]) - 1  # the root is no entry
    recorded = int(counts[tally.ENTRIES]) + directories + forecast.gone
    return refusal(Summary(recorded, directories, {Outcome.GONE: forecast.gone}), options.max_delete)


def _caveats(forecast: Forecast, options: RunOptions) -> Iterator[str]:
    """What is not foreseen, or only so far."""
    handler = handler_of(options)
    if options.ignore_cache:
        yield "--ignore-cache: all counts as new, nothing as gone; a run sends only what differs from the collections"
    if forecast.unforeseen:
        yield f"the event handler asks the zone about {forecast.unforeseen:,} files: they are in no figure of requests"
    if hooks := sorted(name for name in handler.methods if name.startswith(("pre_", "post_"))):
        yield f"{', '.join(f'{name}()' for name in hooks)}: not called, and what they send is not counted"
    if declared := [f"{name}()" for name in ("metadata", "acl") if handler.has(name)]:
        yield f"{', '.join(declared)}: not called, and counted as if there were some for every file"
    if handler.has("collection_for"):
        yield "collection_for(): the requests that make its collections are not counted"
    if options.delete_unknown:
        yield "--delete-unknown: what is in the collections and never was a file is not counted"
    if forecast.counts[tally.DIRECTORIES_FAILED]:
        yield "what is below directories that cannot be read, or fail, is in no figure"


def _conclude(
    request: Request,
    found: Found,
    forecast: Forecast,
    notes: list[str],
    stalled: Sequence[tuple[int, str]],
    *,
    seconds: float,
) -> Plan:
    options = request.options
    refused = _refusal(forecast, options)
    if refused:
        forecast.forget_deletions()
    notes = [*found.notes, *notes, *_caveats(forecast, options)]
    listings = 0 if options.initial_ingest or handler_of(options).has("collection_for") else forecast.collections
    return Plan(found.spec, found.run, options.way, forecast, listings, seconds, refused, notes, stalled)
