"""A worker of ``mpingest plan``: visits directories as a run does, but sends nothing and records nothing.

A visit asks an ingestor for collections and tells a recorder what it finds. Here ``Forecaster`` and ``Foresight`` take
their places, and ``Planner`` keeps back the slices that would go on to be ingested. All of them count.
"""

from __future__ import annotations

import logging
import math
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import structlog

from mpingest.farm.units import Unit, UnitKind
from mpingest.handler.calls import Handler, HandlerFailure
from mpingest.handler.operations import DeleteMode, Operation
from mpingest.ingest import costs
from mpingest.ingest.actions import ACTIONS, Hook, Situation
from mpingest.ingest.batches import Batcher
from mpingest.ingest.bundles import no_bundles
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.entry import REFUSALS, EntryIngestor, IngestOptions, Result, as_gone, failed
from mpingest.ingest.kinds import reason_to_skip
from mpingest.ingest.names import MAX_PATH, Naming, text
from mpingest.ingest.retry import Breaker, Interrupted, RetryPolicy
from mpingest.ingest.session import session_for
from mpingest.ingest.subject import Entry, Subjects
from mpingest.ingest.unknown import is_unknown
from mpingest.ingest.users import Users
from mpingest.jobs import tally
from mpingest.jobs.arrivals import Arrivals
from mpingest.jobs.ending import Ending
from mpingest.jobs.forecast import Forecast, Total
from mpingest.jobs.profile import Profile
from mpingest.jobs.spec import JobSpec, RunOptions
from mpingest.jobs.tools import Tools, handler_of, job_facts
from mpingest.jobs.units import Slice, Subtree, Unseen, is_slice
from mpingest.jobs.visit import Visitor
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.scan.entries import TYPE_BITS, EntryBatch
from mpingest.scan.links import LinkRule
from mpingest.scan.pool import StatPool

UNASKED = ("as_user", "timeout")
"""Methods of a handler that make no difference to what is done."""
_NOTHING = -1


class NeedsZone(Exception):
    """A handler method wants something of the zone."""


class NoZone:
    """The session that handler methods get while there is none."""

    def __getattr__(self, name: str) -> NoReturn:
        raise NeedsZone(f"session.{name} needs a zone")


def needs_zone(error: BaseException | None) -> bool:
    """Whether the error is all about a session that there isn't."""
    return error is not None and (isinstance(error, NeedsZone) or needs_zone(error.__cause__))


@dataclass
class Ledger:
    """A forecast that several threads write."""

    forecast: Forecast
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _shut: bool = False

    @contextmanager
    def open(self) -> Iterator[Forecast]:
        """The forecast, for this thread alone. Raises Interrupted once it is shut."""
        with self._lock:
            self.check()
            yield self.forecast

    def check(self) -> None:
        """Raises Interrupted once it is shut."""
        if self._shut:
            raise Interrupted

    def shut(self) -> None:
        """Take in nothing more."""
        with self._lock:
            self._shut = True


@dataclass(frozen=True, slots=True)
class Forecaster(EntryIngestor):
    """Takes the place of an ``EntryIngestor``: of all that would be sent it notes what it costs."""

    ledger: Ledger = field(kw_only=True)

    def operation(self, relative: bytes, row: np.void) -> Operation:
        """What is to be done about a directory, the default where that can't be told without a zone."""
        try:
            return EntryIngestor.operation(self, relative, row)
        except HandlerFailure as error:
            if not needs_zone(error):
                raise
            return self.handler.defaults.operation

    def make_collection(self, relative: bytes, row: np.void) -> bool:
        """As if it had not been there. Raises UnusableName."""
        name = self.subjects.naming.of(relative)
        looks = self.handler.has("pre_coll_create") + (not relative and self.handler.wants_new_directories)
        metadata = costs.NEW_METADATA if name.avus else 0
        with self.ledger.open() as forecast:
            forecast.collection_requests += costs.COLLECTION + costs.LOOK * looks + metadata
        return True

    def note_collection(self, relative: bytes, row: np.void) -> None:
        """Costs a look where the handler wants to know."""
        if self.handler.wants_new_directories or self.handler.wants_changed_directories:
            with self.ledger.open() as forecast:
                forecast.collection_requests += costs.LOOK

    def modify_collection(self, relative: bytes, row: np.void) -> None:
        """Takes no request."""

    def close_idle(self, seconds: float) -> None:
        """There are no connections."""

    # What a run would do about files that are there.

    def foresee(self, content: Slice) -> None:
        """Count what would be done about entries that need action."""
        operations, named = self._operations(content)
        changes = np.where(content.plan["again"], Change.RETRY, content.plan["change"])
        alike = (operations * len(Change) + changes) * len(Situation) + content.plan["situation"]
        for number in np.flatnonzero(np.bincount(alike[operations != _NOTHING])).tolist():
            chosen = alike == number
            operation, rest = divmod(number, len(Change) * len(Situation))
            change, situation = divmod(rest, len(Situation))
            way = Operation(operation), Change(change), Situation(situation)
            self._foresee(way, content.entries.rows[chosen], content.plan["known_size"][chosen], named[chosen])

    def _foresee(
        self,
        way: tuple[Operation, Change, Situation],
        rows: npt.NDArray[np.void],
        known_sizes: npt.NDArray[np.int64],
        named: npt.NDArray[np.bool_],
    ) -> None:
        """The same for entries that are alike. named: which have a name that goes into their metadata."""
        operation, change, situation = way
        action = ACTIONS[operation][situation]
        requests = 0
        if operation is not Operation.NO_OP and action.hook is not Hook.NONE:
            by_kind = False if operation.sends_content else rows["mode"] & TYPE_BITS != stat.S_IFREG
            needed = costs.entry_requests(
                action.request,
                rows,
                known_sizes,
                named | by_kind | self.handler.has("metadata"),
                checksum=self.options.checksum,
                permissions=self.handler.has("acl"),
                mtime=self.options.preserve_mtime,
            )
            requests = int(needed.sum())
        with self.ledger.open() as forecast:
            forecast.step((operation, change, action.request), Total(len(rows), int(rows["size"].sum()), requests))

    def _operations(self, content: Slice) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The number of each entry's operation, and whether its name isn't that on disk; shape (n,) both.

        _NOTHING where nothing is done. Only entries about which there may be something to say are looked at one by one.
        """
        entries = content.entries
        operations = np.full(len(entries), self.handler.defaults.operation.value)
        named = np.zeros(len(entries), np.bool_)
        if self.handler.module is None and self._are_plain(content):
            odd = np.flatnonzero(entries.rows["mode"] & TYPE_BITS != stat.S_IFREG)
        else:
            odd = np.arange(len(entries))
        for index in odd.tolist():
            self.ledger.check()
            relative = os.path.join(content.relative, entries.name(index))
            operation, named[index] = self._look_at(relative, entries.rows[index])
            operations[index] = _NOTHING if operation is None else operation.value
        return operations, named

    def _are_plain(self, content: Slice) -> bool:
        """Whether iRODS can surely hold all names as they are; False where that takes a look at each."""
        longest = int(np.diff(content.entries.offsets).max(initial=0))
        above = len(self.subjects.job.target.encode()) + len(content.relative)
        ascii_alone = self.subjects.path(content.relative).isascii() and content.entries.blob.isascii()
        return ascii_alone and above + longest + 2 <= MAX_PATH

    def _look_at(self, relative: bytes, row: np.void) -> tuple[Operation | None, bool]:
        """As ``_operations``, of one entry; None is noted with its reason."""
        try:
            operation, named, reason = self.subjects.work_on(relative, row, self._prospect)
        except REFUSALS as error:
            self._note_refusal(relative, error)
            return None, False
        if not reason:
            return operation, named
        with self.ledger.open() as forecast:
            forecast.leave(reason, int(row["size"]))
        return None, False

    def _prospect(self, entry: Entry) -> tuple[Operation, bool, str]:
        """Operation, whether the name isn't that on disk, and why the entry is left alone. Raises one of REFUSALS."""
        operation = self._operation(entry)
        special = self.options.register_special
        if reason := reason_to_skip(entry.path, entry.row, operation, register_special=special):
            return operation, False, reason
        registers = not operation.sends_content and operation is not Operation.NO_OP
        if registers and not self.handler.has("target_path"):
            text(entry.path)
        return operation, bool(entry.name.avus), ""

    # What a run would do about what is gone.

    def foresee_deletions(self, directory: bytes, batch: EntryBatch) -> None:
        """Count what would be deleted of entries that are gone."""
        looks = costs.LOOK + costs.LOOK_INSIDE if self.handler.has("pre_coll_delete") else 0
        chosen = self._are_deleted(directory, batch)
        collections = int((chosen & batch.is_directory()).sum())
        objects = batch.rows["size"][chosen & ~batch.is_directory()]
        with self.ledger.open() as forecast:
            forecast.collections_deleted += collections
            forecast.collection_deletions += (costs.DELETED_COLLECTION + looks) * collections
            forecast.objects_deleted.add(Total(len(objects), int(objects.sum()), costs.DELETED_OBJECT * len(objects)))

    def _are_deleted(self, directory: bytes, batch: EntryBatch) -> npt.NDArray[np.bool_]:
        """Which of the entries go from the catalog, shape (n,)."""
        if self.handler.module is None:
            return np.full(len(batch), self.handler.may_delete)
        return np.array([self._is_deleted(os.path.join(directory, name), row) for name, row in batch], np.bool_)

    def _note_refusal(self, relative: bytes, error: Exception) -> None:
        with self.ledger.open() as forecast:
            if needs_zone(error):
                forecast.unforeseen += 1
            else:
                forecast.fail(relative, failed(error).reason)

    def _is_deleted(self, relative: bytes, row: np.void) -> bool:
        try:
            mode = self.subjects.work_on(relative, row, lambda entry: self._delete_mode(as_gone(entry)))
        except REFUSALS as error:
            self._note_refusal(relative, error)
            return False
        return mode is not DeleteMode.DO_NOT_DELETE


@dataclass(frozen=True, slots=True)
class Foresight:
    """Takes the place of a ``Recorder``: counts. delete_unknown: see ``RunOptions``."""

    ledger: Ledger
    ingestor: Forecaster
    delete_unknown: bool

    @property
    def counts(self) -> tally.Counts:
        """The forecast's."""
        return self.ledger.forecast.counts

    def seen(self, directory: bytes, batch: EntryBatch, changes: npt.NDArray[np.uint8]) -> None:
        """Files that a scan has seen, and how they compare."""
        with self.ledger.open() as forecast:
            tally.count_entries(forecast.counts, batch.rows["size"], changes)
            forecast.compared(directory, batch, changes)

    def vanished(self, directory: bytes, batch: EntryBatch, results: npt.NDArray[np.void]) -> None:
        """Entries that are no longer there, whether that is new or not."""
        known = results["outcome"] != Outcome.RELEASED
        batch, outcomes = batch.select(known), results["outcome"][known]
        news = outcomes != Outcome.GONE
        files = batch.select(news & ~batch.is_directory())
        changes = np.full(len(files), Change.DELETED, np.uint8)
        gone = (outcomes != Outcome.FAILED) & (outcomes != Outcome.SKIPPED)
        with self.ledger.open() as forecast:
            tally.count_changes(forecast.counts, changes)
            forecast.compared(directory, files, changes)
            forecast.directories_gone += int((news & batch.is_directory()).sum())
            forecast.gone += int(gone.sum())
        if self.ingestor.handler.may_delete:
            deletable = gone if self.delete_unknown else gone & ~is_unknown(batch.rows)
            self.ingestor.foresee_deletions(directory, batch.select(deletable))

    def young(self, batch: EntryBatch) -> None:
        """Entries that were written too lately to be taken."""
        with self.ledger.open() as forecast:
            forecast.counts[tally.YOUNG] += len(batch)
            forecast.leave(
                "written lately (--settle): a later run takes them", int(batch.rows["size"].sum()), len(batch)
            )

    def not_taken(self, relative: bytes, reason: str) -> None:
        """An entry that could not be looked at, or a directory whose reading broke off."""
        with self.ledger.open() as forecast:
            forecast.fail(relative, reason)

    def directory_failure(self, relative: bytes, result: Result) -> None:
        """A directory that cannot be scanned, or will be refused."""
        with self.ledger.open() as forecast:
            forecast.counts[tally.DIRECTORIES_FAILED] += 1
            forecast.fail(relative, result.reason)

    def add(self, counter: int, amount: int = 1) -> None:
        """Count something else."""
        with self.ledger.open() as forecast:
            forecast.counts[counter] += amount

    def shut(self) -> None:
        """Take in nothing more."""
        self.ledger.shut()

    # What a run makes durable.

    def entries(  # noqa: D102
        self, directory: bytes, batch: EntryBatch, changes: npt.NDArray[np.uint8], results: list[Result]
    ) -> None: ...
    def rows(self, directory: bytes, batch: EntryBatch, results: npt.NDArray[np.void]) -> None: ...  # noqa: D102
    def directory(self, relative: bytes, state: DirectoryState) -> None: ...  # noqa: D102
    def directory_entry(  # noqa: D102
        self, relative: bytes, row: np.void, change: Change, outcome: Outcome, code: int = 0
    ) -> None: ...
    def seal(self) -> None: ...  # noqa: D102
    def seal_if_due(self) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Planner:
    """Visits directories as ``visitor`` does; what it finds to ingest is counted and goes no further."""

    visitor: Visitor
    ingestor: Forecaster

    def visit(self, subtree: Subtree) -> Iterator[list[Unit]]:
        """Gives, slice by slice, the directories found, and names that others may look at."""
        return map(self._foreseen, self.visitor.visit(subtree))

    def look(self, unseen: Unseen) -> Iterator[list[Unit]]:
        """The same of names that another visit has read."""
        return map(self._foreseen, self.visitor.look(unseen))

    def _foreseen(self, units: list[Unit]) -> list[Unit]:
        """The units that are none to ingest; the others are counted."""
        left = []
        for unit in units:
            if unit.kind is UnitKind.SLICE and is_slice(unit):
                self.ingestor.foresee(Slice.from_unit(unit))
            else:
                left.append(unit)
        return left


@contextmanager
def open_planner(
    spec: JobSpec, checkpoint: Checkpoint | None, options: RunOptions, forecast: Forecast, now_ns: int
) -> Iterator[tuple[Planner, Tools]]:
    """What a rank works with. now_ns: see ``Arrivals``. Raises MpingestError where the handler can't be used."""
    ending = Ending()
    handler = _without_unasked(handler_of(options))
    naming = Naming(spec.root, spec.target, handler.character_map)
    logger = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    users = Users(Catalog(NoZone()), session_for)
    subjects = Subjects(job_facts(spec, options), handler, naming, users, logger)
    ledger = Ledger(forecast)
    how = IngestOptions(
        options.resource,
        checksum=options.checksum,
        preserve_mtime=options.preserve_mtime,
        register_special=options.register_special,
    )
    retry = RetryPolicy(Breaker(lambda: None, options.zone_timeout, ending))
    ingestor = Forecaster(subjects, retry, how, ledger=ledger)
    foresight = Foresight(ledger, ingestor, options.delete_unknown)
    with ExitStack() as stack:
        pool = stack.enter_context(StatPool(options.stat_threads))
        together = (Batcher(ingestor, makes_any=False), no_bundles(ingestor))
        tools = Tools(ingestor, *together, checkpoint, foresight, ending, math.inf, Profile(subjects), pool)
        known = None if options.ignore_cache else checkpoint
        # What is in the collections that never was a file, nobody knows without a zone.
        as_far_as_known = replace(options, delete_unknown=False)
        links, arrivals = LinkRule(spec.root, options.follow), Arrivals.of(options, now_ns)
        deletes = ingestor.handler.may_delete
        visitor = Visitor(links, pool, ingestor, known, foresight, as_far_as_known, arrivals, deletes=deletes)
        yield Planner(visitor, ingestor), tools


def _without_unasked(handler: Handler) -> Handler:
    methods = {name: method for name, method in handler.methods.items() if name not in UNASKED}
    return replace(handler, defaults=replace(handler.defaults, user=None), methods=methods)
