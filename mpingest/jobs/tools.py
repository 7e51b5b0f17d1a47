"""What a rank works with in a run, opened together and closed together."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpingest.handler.calls import Handler
from mpingest.handler.load import load_handler
from mpingest.handler.meta import JobFacts, entry_meta
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.entry import EntryIngestor
from mpingest.ingest.names import Naming
from mpingest.ingest.retry import RetryPolicy
from mpingest.ingest.session import own_session, session_for
from mpingest.ingest.subject import Subjects
from mpingest.ingest.users import Users
from mpingest.jobs import tally
from mpingest.jobs.directory import JobDirectory, RunDirectory
from mpingest.jobs.log import open_log
from mpingest.jobs.recorder import Recorder
from mpingest.jobs.spec import JobSpec, RunOptions
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.table import JobAttributes
from mpingest.scan.entries import entry_row


@dataclass(frozen=True, slots=True)
class OpenRun:
    """What every rank has to know of the run."""

    spec: JobSpec
    job: JobDirectory
    run: RunDirectory
    notes: list[str]


class Ending(threading.Event):
    """Set when the run ends. is_awaited: whether requests wait to be tried again, unless it ends before."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = 0
        self._lock = threading.Lock()

    @property
    def is_awaited(self) -> bool:  # noqa: D102
        return self._waiting > 0

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep at most that long; whether the run ends."""
        self._add(1)
        try:
            return super().wait(timeout)
        finally:
            self._add(-1)

    def _add(self, number: int) -> None:
        with self._lock:
            self._waiting += number


@dataclass(frozen=True, slots=True)
class Tools:
    """checkpoint: None where there is none yet. ending: set when the run ends, whatever is still waiting."""

    ingestor: EntryIngestor
    checkpoint: Checkpoint | None
    recorder: Recorder
    ending: Ending

    def counts(self) -> tally.Counts:
        """The tally so far, shape (tally.SIZE,)."""
        counts = self.recorder.counts
        counts[tally.REQUESTS] = self.ingestor.catalog.counts.requests
        counts[tally.CATALOG_CHANGES] = self.ingestor.catalog.counts.changes
        return counts


@contextmanager
def open_tools(rank: int, opened: OpenRun, options: RunOptions) -> Iterator[Tools]:
    """The tools of one rank. Raises MpingestError where they can't be had."""
    spec, run = opened.spec, opened.run
    attributes = JobAttributes(spec.name, spec.root, spec.target, run.number, socket.gethostname())
    logger = open_log(run.log, rank, spec.name, run.number)
    with ExitStack() as stack:
        checkpoint = None
        if os.path.exists(opened.job.checkpoint):
            checkpoint = stack.enter_context(Checkpoint.open(Path(opened.job.checkpoint)))
        session = own_session()
        stack.callback(session.cleanup)
        resource = options.resource or getattr(session, "default_resource", None)
        ending = Ending()
        retry = RetryPolicy(options.zone_timeout, ending)
        handler = handler_of(options)
        naming = Naming(spec.root, spec.target, handler.character_map)
        users = Users(Catalog(session), session_for)
        stack.callback(users.close)
        subjects = Subjects(job_facts(spec, options), handler, naming, users, logger)
        ingestor = EntryIngestor(subjects, retry, resource)
        failures = open(os.path.join(run.rank_failures, f"rank{rank:05d}.jsonl"), "a", encoding="utf-8")  # noqa: SIM115
        recorder = Recorder(SegmentWriter(Path(run.manifest), rank, attributes), failures)
        stack.callback(recorder.close)
        logger.info("rank started", sessions=options.sessions)
        tools = Tools(ingestor, checkpoint, recorder, ending)
        yield tools
        logger.info("rank ended", **tally.as_mapping(tools.counts()))


def handler_of(options: RunOptions) -> Handler:
    """The handler of a run. Raises MpingestError where its script can't be used."""
    if options.handler is None:
        return Handler(options.operation, options.delete_mode)
    return load_handler(options.handler, options.operation, options.delete_mode)


def job_facts(spec: JobSpec, options: RunOptions) -> JobFacts:
    """What handlers are told of the run."""
    script = os.path.abspath(options.handler) if options.handler else None
    return JobFacts(spec.root, spec.target, spec.name, options.initial_ingest, options.ignore_cache, script)


def root_meta(spec: JobSpec, options: RunOptions) -> dict[str, Any]:
    """``meta`` of the root directory."""
    return entry_meta(job_facts(spec, options), spec.root, spec.target, entry_row(os.stat(spec.root)))
