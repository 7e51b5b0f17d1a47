"""Comparing a directory with its checkpoint rows by array operations."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from mpingest.manifest.block import RESULT_DTYPE
from mpingest.manifest.checkpoint import DirectoryRows
from mpingest.manifest.states import HAD_OBJECT, Change, Outcome
from mpingest.scan.entries import ENTRY_DTYPE, TYPE_BITS, EntryBatch, is_directory
from mpingest.scan.names import NameSlice, bounds, select_names, split_names

_SECOND = 1_000_000_000
TICK_NS = 50_000_000
"""Two changes within 50 ms may carry the same timestamp."""
COARSE_TICK_NS = 3 * _SECOND
"""The same where timestamps carry no fraction of a second."""
_NO_ENTRIES = EntryBatch.build([], [])

Names = EntryBatch | NameSlice
"""Whatever has names."""

_LAST_HASH = np.uint64(2**64 - 1)

HUGE = 1 << 16
"""Rows of a directory from which on memory counts for more than time."""


_WITH_OBJECT = (Outcome.DONE, Outcome.UNSETTLED, Outcome.GONE)


def compare(
    known: npt.NDArray[np.void], outcome: npt.NDArray[np.uint8], found: npt.NDArray[np.void]
) -> npt.NDArray[np.uint8]:
    """What became of entries since the run that recorded them: the one rule of "changed".

    known:   ``ENTRY_DTYPE``, shape (n,), as recorded
    outcome: Outcome, shape (n,), as recorded
    found:   ``ENTRY_DTYPE``, shape (n,), as they are now
    returns: Change, shape (n,): RETRY after a failure, NEW if it had been gone (a directory: or released), MODIFIED if
             unsettled or of another type, size, mtime or inode, METADATA if only ctime, mode or owner differ, else
             UNCHANGED

    Size, times and inode of a directory follow its entries, which are compared on their own: of a directory only
    type, mode and owner count.
    """
    if known.tobytes() == found.tobytes() and not outcome[outcome > Outcome.SKIPPED].size:
        return np.zeros(len(found), np.uint8)

    differs = {name: known[name] != found[name] for name in ENTRY_DTYPE.names or ()}
    type_differs = (known["mode"] ^ found["mode"]) & TYPE_BITS != 0
    is_file = ~is_directory(found)
    signature = differs["size"] | differs["mtime_ns"] | differs["inode"] | (outcome == Outcome.UNSETTLED)
    content = type_differs | is_file & signature
    metadata = differs["mode"] | differs["uid"] | differs["gid"] | is_file & differs["ctime_ns"]
    change = np.select(
        [
            outcome == Outcome.FAILED,
            (outcome == Outcome.GONE) | ((outcome == Outcome.RELEASED) & ~is_file),
            content,
            metadata,
        ],
        [Change.RETRY, Change.NEW, Change.MODIFIED, Change.METADATA],
        Change.UNCHANGED,
    )
    return change.astype(np.uint8)


def owns_object(results: npt.NDArray[np.void] | np.void) -> npt.NDArray[np.bool_]:
    """Whether there may be an object that lives and goes with its entry: ``RESULT_DTYPE``, bool, of the same shape.

    Of what failed, where it had been brought in before. What was released has left its object behind for good.
    """
    outcome = results["outcome"]
    failed_later: npt.NDArray[np.bool_] = (outcome == Outcome.FAILED) & np.isin(results["change"], HAD_OBJECT)
    return np.isin(outcome, _WITH_OBJECT) | failed_later


def settled(rows: npt.NDArray[np.void], now_ns: int) -> npt.NDArray[np.bool_]:
    """Whether a later change of an entry is sure to show in its timestamps, shape (n,).

    rows:   ``ENTRY_DTYPE``, shape (n,)
    now_ns: when they were stat'ed, nanoseconds since the epoch

    A change within the tick of the recorded one is invisible (racy timestamps, as in git and borg): an entry is
    unsettled if its mtime lies within a tick of ``now_ns``, or its ctime does or is later. A directory is always
    settled, since ``compare`` looks at none of its times.
    """
    mtime, ctime = rows["mtime_ns"], rows["ctime_ns"]
    coarse = (mtime % _SECOND == 0) & (ctime % _SECOND == 0)
    tick = np.where(coarse, COARSE_TICK_NS, TICK_NS)
    quiet: npt.NDArray[np.bool_] = (np.abs(now_ns - mtime) > tick) & (ctime < now_ns - tick)
    return quiet | is_directory(rows)


@dataclass(frozen=True, slots=True)
class Comparison:
    """``n`` entries beside what is recorded of them.

    change:  Change, shape (n,)
    rows:    ``ENTRY_DTYPE``, shape (n,), as recorded; zero where nothing is
    results: ``RESULT_DTYPE``, shape (n,), likewise
    """

    change: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.void]
    results: npt.NDArray[np.void]

    def select(self, where: npt.NDArray[np.bool_]) -> Comparison:
        """Those chosen by a boolean mask, shape (n,)."""
        if where.all():
            return self
        return Comparison(self.change[where], self.rows[where], self.results[where])


@dataclass(frozen=True, slots=True)
class Known:
    """What is recorded of ``n`` names.

    found:   whether anything is, bool, shape (n,)
    rows:    ``ENTRY_DTYPE``, shape (n,); zero where nothing is
    results: ``RESULT_DTYPE``, shape (n,), likewise
    """

    found: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.void]
    results: npt.NDArray[np.void]

    @classmethod
    def nothing(cls, count: int) -> Known:
        """Of so many names."""
        return cls(np.zeros(count, np.bool_), np.zeros(count, ENTRY_DTYPE), np.zeros(count, RESULT_DTYPE))

    def select(self, where: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Known:
        """Those chosen by a boolean mask or by indices."""
        return Known(self.found[where], self.rows[where], self.results[where])

    def compared_with(self, rows: npt.NDArray[np.void]) -> Comparison:
        """The names as they are now. rows: ``ENTRY_DTYPE``, shape (n,)."""
        if self.found.all():
            return Comparison(compare(self.rows, self.results["outcome"], rows), self.rows, self.results)
        change = np.full(len(rows), Change.NEW, np.uint8)
        found = self.found
        change[found] = compare(self.rows[found], self.results["outcome"][found], rows[found])
        return Comparison(change, self.rows, self.results)


class DirectoryDiff:
    """Compares one directory, slice by slice in any order, with its rows (None: nothing is known of it).

    Memory beside the rows: at most 25 bytes a row and some 10 MB.
    """

    def __init__(self, rows: DirectoryRows | None) -> None:
        self._entries = rows.entries if rows else _NO_ENTRIES
        self._results = rows.results if rows else np.empty(0, RESULT_DTYPE)
        self._index = NameIndex(self._entries) if len(self._entries) <= HUGE else HashIndex(self._entries)
        self._seen = np.zeros(len(self._entries), np.bool_)

    def classify(self, batch: EntryBatch) -> Comparison:
        """How each entry compares. The entries count as seen."""
        return self.known(batch).compared_with(batch.rows)

    def known(self, names: Names) -> Known:
        """What is recorded of names that are there, whatever else is found out about them. They count as seen."""
        if not len(self._entries):
            return Known.nothing(len(names))
        row = self._index.locate(names)
        found = row >= 0
        if found.all():
            self._seen[row] = True
            return Known(found, self._entries.rows.take(row), self._results.take(row))
        row = row[found]
        self._seen[row] = True
        known = Known.nothing(len(names))
        known.found[:] = found
        known.rows[found] = self._entries.rows.take(row)
        known.results[found] = self._results.take(row)
        return known

    def vanished(self) -> tuple[EntryBatch, npt.NDArray[np.void]]:
        """The rows that were not seen, but for released ones, as recorded, and their ``RESULT_DTYPE``, shape (n,).

        Means anything only after every slice of a scan without error.
        """
        return self._unseen(released=False)

    def released(self) -> tuple[EntryBatch, npt.NDArray[np.void]]:
        """Likewise those that are released: it is right that they are not there."""
        return self._unseen(released=True)

    def _unseen(self, *, released: bool) -> tuple[EntryBatch, npt.NDArray[np.void]]:
        if self._seen.all():
            return _NO_ENTRIES, np.empty(0, RESULT_DTYPE)
        chosen = ~self._seen & ((self._results["outcome"] == Outcome.RELEASED) == released)
        return self._entries.select(chosen), self._results[chosen]


class NameIndex:
    """Where each name of a directory stands: a dictionary, fastest but some 200 bytes a name."""

    def __init__(self, entries: EntryBatch) -> None:
        self._row = dict(zip(entries.names(), range(len(entries)), strict=True))

    def locate(self, batch: Names) -> npt.NDArray[np.intp]:
        """The row of each name, -1 if it has none, shape (len(batch),)."""
        row_of = self._row.get
        return np.fromiter([row_of(name, -1) for name in batch.names()], np.intp, len(batch))


class HashIndex:
    """The same for directories of millions: at most 24 bytes a name.

    Names are found by their 64-bit hash and then compared themselves, so that a collision costs time only. Hashes are
    sorted; where to begin among them is told by the upper bits, of which there are about as many values as names.
    """

    def __init__(self, entries: EntryBatch, name_hash: Callable[[bytes], int] = hash) -> None:
        self._entries = entries
        self._hash = name_hash
        # Names become objects a few at a time.
        slices = (entries.slice(start, start + HUGE) for start in range(0, len(entries), HUGE))
        hashes = self._hashes_of(chain.from_iterable(part.names() for part in slices), len(entries))
        self._order = np.argsort(hashes)
        self._hashes = np.append(hashes[self._order], _LAST_HASH)
        bits = max(1, len(entries).bit_length())
        self._shift = np.uint64(64 - bits)
        self._starts = bounds(np.bincount(hashes >> self._shift, minlength=1 << bits).astype(np.uint32))

    def locate(self, batch: Names) -> npt.NDArray[np.intp]:
        """The row of each name, -1 if it has none, shape (len(batch),)."""
        located = np.full(len(batch), -1, np.intp)
        hashes = self._hashes_of(batch.names(), len(batch))
        at = self._first_not_less(hashes)
        wanted = np.arange(len(batch))
        while len(wanted):  # once and an end, unless hashes collide
            wanted = wanted[at[wanted] < len(self._order)]
            wanted = wanted[self._hashes[at[wanted]] == hashes[wanted]]
            rows = self._order[at[wanted]]
            same = self._have_names(rows, batch, wanted)
            located[wanted[same]] = rows[same]
            wanted = wanted[~same]
            at[wanted] += 1
        return located

    def _first_not_less(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
        """Where each hash would stand among those that are known, shape (n,)."""
        at: npt.NDArray[np.intp] = self._starts[hashes >> self._shift].astype(np.intp)
        behind = np.flatnonzero(self._hashes[at] < hashes)
        while len(behind):  # a few times: a start is that of about one hash
            at[behind] += 1
            behind = behind[self._hashes[at[behind]] < hashes[behind]]
        return at

    def _have_names(
        self, rows: npt.NDArray[np.intp], batch: Names, wanted: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.bool_]:
        """Where the names of our rows are those that are wanted of the batch, shape (len(rows),)."""
        ours = select_names(self._entries.blob, self._entries.offsets, rows)
        theirs = select_names(batch.blob, batch.offsets, wanted)
        if ours[0] == theirs[0] and np.array_equal(ours[1], theirs[1]):
            return np.ones(len(rows), np.bool_)
        return np.fromiter(map(operator.eq, split_names(*ours), split_names(*theirs)), np.bool_, len(rows))

    def _hashes_of(self, names: Iterable[bytes], count: int) -> npt.NDArray[np.uint64]:
        """Hash of each name, shape (count,)."""
        return np.fromiter(map(self._hash, names), np.int64, count).view(np.uint64)
