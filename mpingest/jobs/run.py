"""The life cycle of one run in an MPI world.

Rank 0 looks whether all is right and opens the run; every rank works; rank 0 merges what they recorded and reports.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from mpingest.errors import MpingestError
from mpingest.farm.transport import run_farm, wait_asleep
from mpingest.farm.world import abort_on_error, open_world
from mpingest.handler.calls import Handler, HandlerFailure
from mpingest.handler.load import load_handler, process_state_kept
from mpingest.handler.meta import JobFacts
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.entry import EntryIngestor
from mpingest.ingest.names import Naming
from mpingest.ingest.retry import RetryPolicy
from mpingest.ingest.session import open_session, session_for
from mpingest.ingest.statuses import RequestError
from mpingest.ingest.users import Users
from mpingest.jobs import tally
from mpingest.jobs.directory import JobDirectory, RunDirectory, write_json
from mpingest.jobs.log import open_log
from mpingest.jobs.pipeline import Pipeline
from mpingest.jobs.preflight import check_resource, checked_root, checked_target, writable_part
from mpingest.jobs.recorder import Recorder
from mpingest.jobs.spec import JobSpec, RunOptions
from mpingest.jobs.summary import Summary
from mpingest.jobs.units import Subtree
from mpingest.jobs.visit import Visitor
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change
from mpingest.manifest.table import DamagedTable, JobAttributes
from mpingest.scan.entries import ENTRY_DTYPE, stat_row

if TYPE_CHECKING:
    from mpi4py import MPI

Answer = TypeVar("Answer")
COORDINATOR = 0


@dataclass(frozen=True, slots=True)
class _OpenRun:
    """What every rank has to know of the run."""

    spec: JobSpec
    job: JobDirectory
    run: RunDirectory
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for, before anything of it is checked."""

    root: str
    target: str
    job_name: str | None
    jobs_directory: str
    options: RunOptions


def start(request: Request) -> Summary:
    """Run the job in this MPI world; the summary is the same on all ranks. Collective.

    Raises MpingestError, the same on all ranks, where it can't be run.
    """
    comm = open_world()
    with ExitStack() as stack:
        opened = _on_first(comm, lambda: _open_run(stack, request))
        began = time.monotonic()
        with abort_on_error(comm):
            counts, shares = _work(comm, opened, request.options)
        seconds = time.monotonic() - began
        return _on_first(comm, lambda: _close_run(opened, request.options, seconds, counts, shares))


def _handler(options: RunOptions) -> Handler:
    if options.handler is None:
        return Handler(options.operation)
    return load_handler(options.handler, options.operation)


def _open_run(stack: ExitStack, request: Request) -> _OpenRun:
    options = request.options
    _handler(options)
    root = checked_root(request.root, allow_empty=options.allow_empty)
    session = open_session()
    try:
        target = checked_target(request.target, session.zone)
        existing = writable_part(session, target)
        check_resource(session, options.resource)
        spec = JobSpec.named(request.job_name, root, target)
        if (parent := target.rpartition("/")[0]) not in (existing, existing.rpartition("/")[0]):
            _make_parents(session, parent)
    finally:
        session.cleanup()
    job = JobDirectory.of(request.jobs_directory, spec)
    lock = stack.enter_context(job.locked())
    notes = [lock.note] if lock.note else []
    _check_checkpoint(job)
    runs = job.runs()
    if job.segments():
        notes.append(f"run {runs[-1].number} was cut off: what it had recorded is taken in first")
        notes += _merge(job, spec, runs[-1].number)
    run = job.new_run()
    _call_job_hook("pre_job", _OpenRun(spec, job, run, notes), options)
    return _OpenRun(spec, job, run, notes)


def _facts(spec: JobSpec, options: RunOptions) -> JobFacts:
    script = os.path.abspath(options.handler) if options.handler else None
    return JobFacts(spec.root, spec.target, spec.name, options.initial_ingest, options.ignore_cache, script)


def _call_job_hook(name: str, opened: _OpenRun, options: RunOptions, summary: Summary | None = None) -> None:
    """pre_job or post_job, on rank 0. Raises MpingestError where the script's method fails."""
    handler = _handler(options)
    if not handler.has(name):
        return
    meta = _facts(opened.spec, options).meta | {"run": opened.run.number}
    if summary is not None:
        meta["summary"] = summary.to_json()
    logger = open_log(opened.run.log, COORDINATOR, opened.spec.name, opened.run.number)
    try:
        with process_state_kept():
            handler.job_hook(name, logger, meta)
    except HandlerFailure as error:
        raise MpingestError(f"event handler {options.handler}: {error}") from error


def _make_parents(session: Any, parent: str) -> None:
    try:
        Catalog(session).make_collections(parent)
    except RequestError as error:
        raise MpingestError(f"collection {parent}: cannot be made: {error}") from error


def _check_checkpoint(job: JobDirectory) -> None:
    if not os.path.exists(job.checkpoint):
        return
    try:
        with Checkpoint.open(Path(job.checkpoint)):
            pass
    except DamagedTable as error:
        raise MpingestError(f"{error}; move it away, and the run compares with the collections instead") from error


def _work(comm: MPI.Comm, opened: _OpenRun, options: RunOptions) -> tuple[tally.Counts, npt.NDArray[np.void]]:
    """The farm over the tree; every rank's tally, shape (ranks, SIZE), and share of the units, shape (ranks,)."""
    spec, run = opened.spec, opened.run
    with ExitStack() as stack:
        pipeline = None
        if comm.rank != COORDINATOR or comm.size == 1:
            pipeline = stack.enter_context(_pipeline(comm.rank, opened, options))
        roots = [Subtree(b"", Change.UNCHANGED, _root_row(spec.root)).to_unit()]
        result = run_farm(comm, roots, pipeline, on_progress=_progress(run))
        counts = pipeline.counters() if pipeline else tally.new_counts()
    gathered = np.zeros((comm.size, tally.SIZE), np.int64)
    wait_asleep(comm.Iallgather(counts, gathered))
    return gathered, result.shares


@contextmanager
def _pipeline(rank: int, opened: _OpenRun, options: RunOptions) -> Iterator[Pipeline]:
    spec, run = opened.spec, opened.run
    attributes = JobAttributes(spec.name, spec.root, spec.target, run.number, socket.gethostname())
    logger = open_log(run.log, rank, spec.name, run.number)
    with ExitStack() as stack:
        checkpoint = None
        if os.path.exists(opened.job.checkpoint) and not options.ignore_cache:
            checkpoint = stack.enter_context(Checkpoint.open(Path(opened.job.checkpoint)))
        session = open_session()
        stack.callback(session.cleanup)
        catalog = Catalog(session)
        resource = options.resource or getattr(session, "default_resource", None)
        ending = threading.Event()
        retry = RetryPolicy(options.zone_timeout, ending)
        handler = _handler(options)
        naming = Naming(spec.root, spec.target, handler.character_map)
        users = Users(catalog, session_for)
        stack.callback(users.close)
        ingestor = EntryIngestor(_facts(spec, options), handler, naming, users, retry, logger, resource)
        failures = open(os.path.join(run.rank_failures, f"rank{rank:05d}.jsonl"), "w", encoding="utf-8")  # noqa: SIM115
        recorder = Recorder(SegmentWriter(Path(run.manifest), rank, attributes), failures)
        stack.callback(recorder.close)
        visitor = Visitor(ingestor, checkpoint, recorder, options)
        logger.info("worker started", sessions=options.sessions)
        yield stack.enter_context(Pipeline(visitor, ingestor, recorder, options.sessions, ending))
        logger.info("worker ended", **tally.as_mapping(recorder.counts))


def _close_run(
    opened: _OpenRun, options: RunOptions, seconds: float, counts: tally.Counts, shares: npt.NDArray[np.void]
) -> Summary:
    notes = opened.notes + _merge(opened.job, opened.spec, opened.run.number)
    _join_failures(opened.run)
    failures = opened.run.file("failures.jsonl")
    summary = Summary(opened.spec, opened.run.number, seconds, counts, shares, failures, notes)
    write_json(opened.run.file("summary.json"), summary.to_json())
    try:
        _call_job_hook("post_job", opened, options, summary)
    except MpingestError as error:
        summary.notes.append(str(error))
        write_json(opened.run.file("summary.json"), summary.to_json())
    return summary


def _merge(job: JobDirectory, spec: JobSpec, run: int) -> list[str]:
    """Take all segments into the checkpoint; notes about damaged ones, which are set aside."""
    segments = [Path(path) for path in job.segments()]
    if not segments:
        return []
    checkpoint = Path(job.checkpoint)
    attributes = JobAttributes(spec.name, spec.root, spec.target, run, socket.gethostname())
    result = merge(checkpoint if checkpoint.exists() else None, segments, checkpoint, attributes)
    for path in result.merged:
        path.unlink()
    return [f"{damage}: set aside; what it held is looked at again" for damage in result.damaged]


def _join_failures(run: RunDirectory) -> None:
    with open(run.file("failures.jsonl"), "wb") as joined:
        for name in sorted(os.listdir(run.rank_failures)):
            with open(os.path.join(run.rank_failures, name), "rb") as part:
                shutil.copyfileobj(part, joined)
    shutil.rmtree(run.rank_failures)


def _progress(run: RunDirectory) -> Callable[[tally.Counts], None]:
    def note(counts: tally.Counts) -> None:
        if counts.shape[1]:
            write_json(run.file("progress.json"), tally.as_mapping(counts.sum(axis=0)), durable=False)

    return note


def _root_row(root: bytes) -> np.void:
    row: np.void = np.array([stat_row(os.stat(root))], ENTRY_DTYPE)[0]
    return row


def _on_first(comm: MPI.Comm, task: Callable[[], Answer]) -> Answer:
    """Have rank 0 do it and tell all. Raises its MpingestError on all."""
    answer: Answer | None = None
    error: MpingestError | None = None
    with abort_on_error(comm):
        if comm.rank == COORDINATOR:
            try:
                answer = task()
            except MpingestError as problem:
                error = problem
        wait_asleep(comm.Ibarrier())
        answer, error = comm.bcast((answer, error), COORDINATOR)
    if error is not None:
        raise error
    assert answer is not None, "rank 0 either answers or fails"
    return answer
