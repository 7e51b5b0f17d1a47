"""Two tables against each other, entry by entry, in one pass over both at constant memory.

An entry is there unless its outcome is GONE or REMOVED. Two that are there are compared by the one rule of "changed"
(``diff.compare``) as if all had been well with the older one: what a run doubts is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from mpingest.manifest.block import Block, position_keys
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.diff import compare
from mpingest.manifest.states import Change, Outcome
from mpingest.scan.entries import EntryBatch


class Difference(IntEnum):
    """How an entry of one table compares with that of another."""

    SAME = 0
    ADDED = 1
    REMOVED = 2
    MODIFIED = 3
    """Of another type, or a file of another size, mtime or inode."""
    METADATA = 4
    """Only mode, owner or ctime differ."""
    OUTCOME = 5
    """The same in all that, but another outcome."""


_NOTHING = Block.join([])
_OF_CHANGE = np.zeros(len(Change), np.uint8)
_OF_CHANGE[[Change.MODIFIED, Change.METADATA]] = Difference.MODIFIED, Difference.METADATA


@dataclass(frozen=True, slots=True)
class Side:
    """What one table says of an entry. size: bytes; mtime_ns: nanoseconds since the epoch."""

    size: int
    mtime_ns: int
    outcome: Outcome

    @classmethod
    def of(cls, block: Block, row: int) -> Side:
        """The entry at that row."""
        entry = block.entries.rows[row]
        return cls(int(entry["size"]), int(entry["mtime_ns"]), Outcome(block.results["outcome"][row]))


@dataclass(frozen=True, slots=True)
class Differing:
    """An entry that differs. path: relative to the root; old, new: None where the table has no row of it."""

    path: bytes
    difference: Difference
    old: Side | None
    new: Side | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive entries that are there by one of the tables or both, ``n`` in all, each once.

    difference: Difference, shape (n,)
    old, new:   the entries of the tables
    old_row, new_row: where each stands in them, shape (n,); -1 if it doesn't
    """

    difference: npt.NDArray[np.uint8]
    old: Block
    new: Block
    old_row: npt.NDArray[np.intp]
    new_row: npt.NDArray[np.intp]

    def differing(self) -> Iterator[Differing]:
        """The entries that are not the same, in order."""
        where = np.flatnonzero(self.difference).tolist()
        if not where:
            return
        old_paths, new_paths = self.old.paths(), self.new.paths()
        for index in where:
            old, new = int(self.old_row[index]), int(self.new_row[index])
            yield Differing(
                new_paths[new] if new >= 0 else old_paths[old],
                Difference(self.difference[index]),
                Side.of(self.old, old) if old >= 0 else None,
                Side.of(self.new, new) if new >= 0 else None,
            )

    def sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of each regular file, of the new table if it is there, shape (n,)."""
        sizes = np.zeros(len(self.difference), np.int64)
        removed = self.difference == Difference.REMOVED
        for block, rows, here in ((self.old, self.old_row, removed), (self.new, self.new_row, ~removed)):
            recorded = here & (rows >= 0)
            sizes[recorded] = block.entries.file_sizes()[rows[recorded]]
        return sizes


def stretches(old: Checkpoint, new: Checkpoint) -> Iterator[Stretch]:
    """Compares two tables from end to end. Raises DamagedTable, OSError.

    Outcomes are compared where both tables are those of runs: a scan leaves all entries alone.
    """
    with_outcomes = bool(old.attributes.target and new.attributes.target)
    for old_block, new_block in _windows(old.blocks(), new.blocks()):
        yield _stretch(old_block, new_block, with_outcomes=with_outcomes)


def _windows(old: Iterator[Block], new: Iterator[Block]) -> Iterator[tuple[Block, Block]]:
    """Both tables, cut at the same positions."""
    left = right = _NOTHING
    while True:
        left = left if left.keys else next(old, _NOTHING)
        right = right if right.keys else next(new, _NOTHING)
        if not left.keys and not right.keys:
            return
        limit = min(block.last() for block in (left, right) if block.keys)
        first, left = left.split_after(limit)
        second, right = right.split_after(limit)
        yield first, second


def _pairs(old: Block, new: Block) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Each distinct entry of two blocks, in order: its row in both, -1 where it has none; shape (n,)."""
    if _same_names(old, new):
        rows = np.arange(len(new.entries))
        return rows, rows
    entries = EntryBatch.concatenate([old.entries, new.entries])
    ordinal_of = {key: ordinal for ordinal, key in enumerate(sorted({*old.keys, *new.keys}))}
    ordinals = [ordinal_of[key] for block in (old, new) for key in block.keys]
    counts = np.concatenate([old.directories["rows"], new.directories["rows"]])
    keys = position_keys(np.repeat(np.array(ordinals, np.int64), counts), entries)
    order = np.argsort(keys, kind="stable")  # linear, for these are two sorted runs; of equal ones the old comes first
    first = np.ones(len(keys), np.bool_)
    first[1:] = keys[order[1:]] != keys[order[:-1]]
    slot = np.cumsum(first) - 1
    rows = np.full((2, int(first.sum())), -1, np.intp)
    is_new = order >= len(old.entries)
    rows[is_new.astype(np.intp), slot] = order - is_new * len(old.entries)
    return rows[0], rows[1]


def _same_names(old: Block, new: Block) -> bool:
    return (
        old.entries.blob == new.entries.blob
        and np.array_equal(old.entries.offsets, new.entries.offsets)
        and old.keys == new.keys
        and np.array_equal(old.directories["rows"], new.directories["rows"])
    )


def _stretch(old: Block, new: Block, *, with_outcomes: bool) -> Stretch:
    old_row, new_row = _pairs(old, new)
    was, is_there = _there(old, old_row), _there(new, new_row)
    if not (either := was | is_there).all():
        old_row, new_row = old_row[either], new_row[either]
        was, is_there = was[either], is_there[either]
    difference = np.zeros(len(old_row), np.uint8)
    difference[~was] = Difference.ADDED
    difference[~is_there] = Difference.REMOVED
    both = np.flatnonzero(was & is_there)
    before, after = old_row[both], new_row[both]
    known, found = old.entries.rows.take(before), new.entries.rows.take(after)
    compared = _OF_CHANGE[compare(known, np.zeros(len(both), np.uint8), found)]
    if with_outcomes:
        other = old.results["outcome"][before] != new.results["outcome"][after]
        compared[other & (compared == Difference.SAME)] = Difference.OUTCOME
    difference[both] = compared
    return Stretch(difference, old, new, old_row, new_row)


def _there(block: Block, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Which entries are in the directory, by a table that has them in these rows, shape (n,)."""
    there = np.zeros(len(rows), np.bool_)
    recorded = rows >= 0
    outcome = block.results["outcome"][rows[recorded]]
    there[recorded] = ~np.isin(outcome, (Outcome.GONE, Outcome.REMOVED, Outcome.RELEASED))
    return there
