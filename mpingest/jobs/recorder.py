"""Where outcomes go: manifest segments, the failures file and the tally of one rank."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol, TextIO

import numpy as np
import numpy.typing as npt

from mpingest.handler.calls import Logger
from mpingest.ingest.entry import Result
from mpingest.ingest.retry import Interrupted
from mpingest.ingest.statuses import status_name
from mpingest.jobs import tally
from mpingest.jobs.directory import own_trouble
from mpingest.manifest.diff import owns_object
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

_NOTHING = np.zeros(1, ENTRY_DTYPE)[0]


class Records(Protocol):
    """Where a rank's threads say what they have found and done. counts: see ``tally``.

    See ``Recorder`` for what each method means.
    """

    @property
    def counts(self) -> tally.Counts: ...  # noqa: D102
    def seen(self, directory: bytes, batch: EntryBatch, changes: npt.NDArray[np.uint8]) -> None: ...  # noqa: D102
    def entries(  # noqa: D102
        self, directory: bytes, batch: EntryBatch, changes: npt.NDArray[np.uint8], results: list[Result]
    ) -> None: ...
    def directory(self, relative: bytes, state: DirectoryState) -> None: ...  # noqa: D102
    def directory_entry(  # noqa: D102
        self, relative: bytes, row: np.void, change: Change, outcome: Outcome, code: int = 0
    ) -> None: ...
    def rows(self, directory: bytes, batch: EntryBatch, results: npt.NDArray[np.void]) -> None: ...  # noqa: D102
    def young(self, batch: EntryBatch) -> None: ...  # noqa: D102
    def vanished(self, directory: bytes, batch: EntryBatch, results: npt.NDArray[np.void]) -> None: ...  # noqa: D102
    def not_taken(self, relative: bytes, reason: str) -> None: ...  # noqa: D102
    def directory_failure(self, relative: bytes, result: Result) -> None: ...  # noqa: D102
    def add(self, counter: int, amount: int = 1) -> None: ...  # noqa: D102
    def seal(self) -> None: ...  # noqa: D102
    def seal_if_due(self) -> None: ...  # noqa: D102
    def shut(self) -> None: ...  # noqa: D102


@dataclass
class Recorder:
    """Safe for several threads. counts: see ``tally``. root: of the job; logger: tells of failures, too.

    Once ``shut``, it raises Interrupted in whatever thread wants something counted or recorded, which leaves no trace.
    """

    segments: SegmentWriter
    failures: TextIO
    root: bytes
    logger: Logger
    counts: tally.Counts = field(default_factory=tally.new_counts)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _shut: bool = False

    def seen(self, directory: bytes, batch: EntryBatch, changes: npt.NDArray[np.uint8]) -> None:
        """Count entries that a scan has seen, and how they compare. changes: shape (n,)."""
        with self._open():
            tally.count_entries(self.counts, batch.rows["size"], changes)

    def entries(
        self, directory: bytes, batch: EntryBatch, changes: npt.NDArray[np.uint8], results: list[Result]
    ) -> None:
        """Record what became of entries of one directory. changes: shape (n,), results: length n."""
        outcomes = np.fromiter((result.outcome for result in results), np.uint8, len(results))
        codes = np.fromiter((result.code for result in results), np.int32, len(results))
        sources = [result.source for result in results if result.source]
        with self._open():
            tally.count_outcomes(self.counts, outcomes)
            tally.count_finished(self.counts, batch.rows["size"])
            self.counts[tally.SENT] += sum(result.sent for result in results)
            self.counts[tally.RENAMED] += len(sources)
            for index in np.flatnonzero(outcomes == Outcome.FAILED).tolist():
                self._write_failure(os.path.join(directory, batch.name(index)), results[index])
            # What could not be deleted stays recorded as gone, to be tried again.
            kept = (changes != Change.DELETED) | (outcomes == Outcome.REMOVED)
            kept &= ~np.fromiter((result.unrecorded for result in results), np.bool_, len(results))
            batch = _with_held_sizes(batch, results)
            self.segments.record(directory, batch.select(kept), changes[kept], outcomes[kept], codes[kept])
            for source in sources:
                self._record_one(source, _NOTHING, Change.DELETED, Outcome.REMOVED)

    def rows(self, directory: bytes, batch: EntryBatch, results: npt.NDArray[np.void]) -> None:
        """Record entries of which nothing is to be counted. results: ``RESULT_DTYPE``, shape (n,)."""
        with self._open():
            self.segments.record(directory, batch, results["change"], results["outcome"], results["code"])

    def young(self, batch: EntryBatch) -> None:
        """Count entries that were written too lately to be taken: what is recorded of them stays."""
        self.add(tally.YOUNG, len(batch))

    def directory(self, relative: bytes, state: DirectoryState) -> None:
        """Record what is known of a directory whose scan is over."""
        with self._open():
            self.segments.record_directory(relative, state)

    def directory_entry(self, relative: bytes, row: np.void, change: Change, outcome: Outcome, code: int = 0) -> None:
        """Record a directory as an entry of its parent; it doesn't count as an entry."""
        with self._open():
            self._record_one(relative, row, change, outcome, code)

    def vanished(self, directory: bytes, batch: EntryBatch, results: npt.NDArray[np.void]) -> None:
        """Record entries that are no longer there. results: as they were recorded, ``RESULT_DTYPE``, shape (n,).

        What is in the catalog is gone; what never got there is simply removed; what was gone or released stays so.
        """
        known = ~np.isin(results["outcome"], (Outcome.GONE, Outcome.RELEASED))
        batch, outcomes, codes = batch.select(known), results["outcome"][known], results["code"][known]
        became = np.where(owns_object(results[known]), Outcome.GONE, Outcome.REMOVED).astype(np.uint8)
        in_doubt = np.isin(outcomes, (Outcome.FAILED, Outcome.UNSETTLED))
        changes = np.where(in_doubt, Change.MODIFIED, Change.DELETED).astype(np.uint8)
        files = ~batch.is_directory()
        with self._open():
            tally.count_changes(self.counts, np.full(files.sum(), Change.DELETED, np.uint8))
            tally.count_outcomes(self.counts, became[files & (became == Outcome.GONE)])
            self.segments.record(directory, batch, changes, became, codes)

    def not_taken(self, relative: bytes, reason: str) -> None:
        """Note an entry that could not be looked at, or a directory whose reading broke off; what is recorded stays."""
        with self._open():
            tally.count_outcomes(self.counts, np.array([Outcome.FAILED], np.uint8))
            self._write_failure(relative, Result(Outcome.FAILED, reason=reason))

    def directory_failure(self, relative: bytes, result: Result) -> None:
        """Note that a directory could not be scanned, or its collection not be made."""
        with self._open():
            self.counts[tally.DIRECTORIES_FAILED] += 1
            self._write_failure(relative, result)

    def add(self, counter: int, amount: int = 1) -> None:
        """Count something else."""
        with self._open():
            self.counts[counter] += amount

    def seal(self) -> None:
        """Make durable what is recorded so far. Raises CannotRecord."""
        with self._open(), own_trouble():
            self.segments.seal()

    def seal_if_due(self) -> None:
        """Make rows durable that have waited long enough. Raises CannotRecord."""
        with self._lock, own_trouble():
            self.segments.maybe_seal()

    def shut(self) -> None:
        """Take in nothing more; ``close`` still makes durable what is there."""
        with self._lock:
            self._shut = True

    def close(self) -> None:
        """Make everything durable. Raises CannotRecord."""
        with self._lock, own_trouble():
            self.segments.seal()
            self.failures.close()

    def _record_one(self, relative: bytes, row: np.void, change: Change, outcome: Outcome, code: int = 0) -> None:
        parent, _, name = relative.rpartition(b"/")
        batch = EntryBatch.build([name], row.reshape(1))
        columns = (np.array([value], dtype) for value, dtype in ((change, "u1"), (outcome, "u1"), (code, "<i4")))
        self.segments.record(parent, batch, *columns)

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._lock:
            if self._shut:
                raise Interrupted
            yield

    def _write_failure(self, relative: bytes, result: Result) -> None:
        why: dict[str, object] = {"reason": result.reason}
        if result.code:
            why |= {"code": result.code, "error": status_name(result.code)}
        self.logger.error(
            "failed", path=os.fsdecode(os.path.join(self.root, relative) if relative else self.root), **why
        )
        with own_trouble():
            self.failures.write(json.dumps({"path": os.fsdecode(relative) or "."} | why) + "\n")
            self.failures.flush()


def _with_held_sizes(batch: EntryBatch, results: list[Result]) -> EntryBatch:
    """The same, with the sizes of those objects that hold something else than their files did."""
    held = {index: result.holds for index, result in enumerate(results) if result.holds is not None}
    if not held:
        return batch
    rows = batch.rows.copy()
    rows["size"][list(held)] = list(held.values())
    return replace(batch, rows=rows)
