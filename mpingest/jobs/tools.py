"""What a rank works with in a run, opened together and closed together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpingest.handler.calls import Defaults, Handler, Logger
from mpingest.handler.load import load_handler
from mpingest.handler.meta import JobFacts, entry_meta
from mpingest.ingest.batches import Batcher
from mpingest.ingest.bundles import Bundler, bundle_stem
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.entry import EntryIngestor, IngestOptions
from mpingest.ingest.names import Naming
from mpingest.ingest.retry import Breaker, RetryPolicy
from mpingest.ingest.session import own_session, session_for
from mpingest.ingest.subject import Subjects
from mpingest.ingest.traffic import Traffic
from mpingest.ingest.users import Users
from mpingest.jobs import tally
from mpingest.jobs.arrivals import Arrivals
from mpingest.jobs.directory import JobDirectory, RunDirectory, attributes_of
from mpingest.jobs.ending import Ending
from mpingest.jobs.log import LogOptions, open_log
from mpingest.jobs.profile import Profile
from mpingest.jobs.recorder import Recorder, Records
from mpingest.jobs.remains import BundleNotes
from mpingest.jobs.reporter import NoReporter
from mpingest.jobs.spec import JobSpec, RunOptions
from mpingest.jobs.subtrees import SubtreeFile
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.segment import SegmentWriter
from mpingest.scan.entries import entry_row
from mpingest.scan.pool import StatPool


@dataclass(frozen=True, slots=True)
class OpenRun:
    """What every rank has to know of the run.

    root_row: lstat of the root; root_changed: since the last run ended; hierarchies: see ``IngestOptions``
    doubts: see ``Visitor``; now_ns: when it began, see ``Arrivals``
    reporter: tells how far the run is, on rank 0
    """

    spec: JobSpec
    job: JobDirectory
    run: RunDirectory
    notes: list[str]
    root_row: np.void
    root_changed: bool
    hierarchies: dict[str, str]
    doubts: dict[bytes, int]
    now_ns: int
    reporter: NoReporter = field(default_factory=NoReporter)


@dataclass(frozen=True, slots=True)
class Tools:
    """checkpoint: None where there is none yet. ending: set when the run ends, whatever is still waiting.

    idle_seconds: after which a connection that nobody uses is closed. left: what is for a later pass, if there is one.
    replaced, doubts, arrivals: see ``Visitor``.
    """

    ingestor: EntryIngestor
    batcher: Batcher
    bundler: Bundler
    checkpoint: Checkpoint | None
    recorder: Records
    ending: Ending
    idle_seconds: float
    profile: Profile
    pool: StatPool
    left: SubtreeFile | None = None
    replaced: SubtreeFile | None = None
    doubts: Mapping[bytes, int] = field(default_factory=dict)
    arrivals: Arrivals = field(default_factory=Arrivals)

    @property
    def traffic(self) -> Traffic:
        """What goes to the zone and comes back."""
        return self.ingestor.catalog.traffic

    def tidy_up(self) -> None:
        """What a rank does now and then while it waits. Raises CannotRecord."""
        self.recorder.seal_if_due()
        self.ingestor.close_idle(self.idle_seconds)

    def counts(self) -> tally.Counts:
        """The tally so far, shape (tally.SIZE,)."""
        counts = self.recorder.counts
        sent = self.traffic.counts
        counts[tally.REQUESTS], counts[tally.CATALOG_CHANGES] = sent.requests, sent.changes
        counts[tally.OVERLOADS] = sent.overloads
        counts[tally.DONE : tally.TOOK], counts[tally.TOOK : tally.SQUARES] = sent.done, sent.took
        counts[tally.SQUARES] = sent.squares / tally.SQUARED**2
        return counts


@contextmanager
def open_tools(rank: int, opened: OpenRun, options: RunOptions, ending: Ending | None = None) -> Iterator[Tools]:
    """The tools of one rank. Raises MpingestError where they can't be had.

    ending: see ``Tools``; None for one that whoever uses them sets
    """
    spec, run = opened.spec, opened.run
    attributes = attributes_of(spec, run.number)
    with ExitStack() as stack:
        logger = stack.enter_context(open_log(run.log, options.log, rank, spec.name, run.number))
        checkpoint = None
        if os.path.exists(opened.job.checkpoint):
            checkpoint = stack.enter_context(Checkpoint.open(Path(opened.job.checkpoint)))
        subjects = stack.enter_context(open_subjects(spec, options, logger))
        resource = options.resource or getattr(subjects.users.own.session, "default_resource", None)
        ending = ending or Ending()
        profile = Profile(subjects)
        if options.profile:
            os.makedirs(run.profile, mode=0o700, exist_ok=True)
            profile_log = open_log(run.profile, options.profile, rank, spec.name, run.number)
            profile = Profile(subjects, stack.enter_context(profile_log))
        how = IngestOptions(
            resource,
            opened.hierarchies,
            options.checksum,
            options.preserve_mtime,
            options.register_special,
            options.after_ingest.takes_away,
        )
        ingestor = EntryIngestor(subjects, retry_policy(subjects.users.own, spec.target, options, ending), how)
        failures = open(os.path.join(run.rank_failures, f"rank{rank:05d}.jsonl"), "a", encoding="utf-8")  # noqa: SIM115
        recorder = Recorder(SegmentWriter(Path(run.manifest), rank, attributes), failures, spec.root, logger)
        stack.callback(recorder.close)
        logger.info("rank started")
        notes = BundleNotes(run, rank)
        stack.callback(notes.close)
        bundler = Bundler(ingestor, options.bundle, notes, bundle_stem(spec.name, run.number, rank))
        pool = stack.enter_context(StatPool(options.stat_threads))
        left, replaced = (
            stack.enter_context(closing(SubtreeFile(directory, rank))) for directory in (run.left, run.replaced)
        )
        tools = Tools(
            ingestor,
            Batcher(ingestor),
            bundler,
            checkpoint,
            recorder,
            ending,
            options.idle_seconds,
            profile,
            pool,
            left,
            replaced,
            opened.doubts,
            Arrivals.of(options, opened.now_ns),
        )
        yield tools
        logger.info("rank ended", **tally.as_mapping(tools.counts()))


@contextmanager
def open_subjects(spec: JobSpec, options: RunOptions, logger: Logger) -> Iterator[Subjects]:
    """The entries of a job, for one rank, with its sessions. Raises MpingestError where they can't be had."""
    with ExitStack() as stack:
        session = own_session()
        stack.callback(session.cleanup)
        handler = handler_of(options)
        naming = Naming(spec.root, spec.target, handler.character_map)
        users = Users(Catalog(session, Traffic(slots=1)), session_for)
        stack.callback(users.close)
        yield Subjects(job_facts(spec, options), handler, naming, users, logger)


def retry_policy(catalog: Catalog, target: str, options: RunOptions, ending: Ending) -> RetryPolicy:
    """How long requests of a rank go on. Whether the zone is there is asked by a look at the target."""
    return RetryPolicy(Breaker(lambda: catalog.collection_exists(target), options.zone_timeout, ending))


def handler_of(options: RunOptions) -> Handler:
    """The handler of a run. Raises MpingestError where its script can't be used."""
    defaults = Defaults(options.operation, options.delete_mode, options.user)
    return load_handler(options.handler, defaults) if options.handler else Handler(defaults)


def job_facts(spec: JobSpec, options: RunOptions) -> JobFacts:
    """What handlers are told of the run."""
    script = os.path.abspath(options.handler) if options.handler else None
    return JobFacts(
        spec.root,
        spec.target,
        spec.name,
        options.initial_ingest,
        options.ignore_cache,
        script,
        _chosen(options),
    )


def _chosen(options: RunOptions) -> dict[str, Any]:
    """What was chosen, by the framework's keys of ``meta``."""
    logs = {"log": options.log, "profile": options.profile or LogOptions()}
    return {
        "append_json": options.append_json,
        "files_per_task": options.slice_size,
        "idle_disconnect_seconds": options.idle_seconds,
        "profile": options.profile is not None,
        "progress": options.progress,
        "exclude_file_type": list(options.excludes.types),
        "exclude_file_name": list(options.excludes.file_names),
        "exclude_directory_name": list(options.excludes.directory_names),
        "config": {name: asdict(log) for name, log in logs.items()} | {"redis": dict.fromkeys(("host", "port", "db"))},
    }


def root_meta(spec: JobSpec, options: RunOptions) -> dict[str, Any]:
    """``meta`` of the root directory."""
    return entry_meta(job_facts(spec, options), spec.root, spec.target, entry_row(os.stat(spec.root)))
