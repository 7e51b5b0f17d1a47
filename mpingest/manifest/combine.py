"""Joining sorted pieces of several tables, oldest first, into one: the heart of sealing and of merging.

The latest record of (directory, name) wins. A directory that was removed is *cleared*: a range tombstone, as in
RocksDB, that stands in the directory's own place and voids what older tables hold at and below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from mpingest.manifest.block import (
    DIRECTORY_DTYPE,
    Block,
    concatenate_directories,
    concatenate_results,
    is_below,
    position_keys,
)
from mpingest.manifest.states import DirectoryState, Outcome
from mpingest.scan.entries import EntryBatch


class Combiner:
    """Joins window after window of the same tables.

    A window is one piece (possibly empty) of each table, oldest table first, that together hold every record of a
    range of the order; windows follow each other in that order. Cleared directories are kept from one window to the
    next. Where a directory goes on in the next window, its state in the first holds: that one saw it in every table.
    """

    def __init__(self) -> None:
        self._cleared: list[tuple[bytes, int]] = []  # (key, age), each below the one before, ages ascending

    @property
    def is_clear(self) -> bool:
        """Whether no cleared directory reaches into what follows."""
        return not self._cleared

    def window(self, pieces: Sequence[Block]) -> Block:
        """The records that win, sorted; entries of a piece may come in any order, its directories too."""
        keys = sorted(set(chain.from_iterable(piece.keys for piece in pieces)))
        ordinal_of = {key: ordinal for ordinal, key in enumerate(keys)}
        count = sum(len(piece.keys) for piece in pieces)
        ordinals = np.fromiter((ordinal_of[key] for piece in pieces for key in piece.keys), np.int64, count)
        ages = np.repeat(np.arange(len(pieces)), [len(piece.keys) for piece in pieces])
        found = concatenate_directories(pieces)

        directories = np.zeros(len(keys), DIRECTORY_DTYPE)
        directories["cleared"][ordinals[found["cleared"] == 1]] = 1
        oldest = self._oldest_valid(keys, ordinals, ages, found["cleared"] == 1)
        valid = ages >= oldest[ordinals]
        stated = valid & (found["state"] != DirectoryState.UNKNOWN)
        directories["state"][ordinals[stated]] = found["state"][stated]  # the latest comes last, and stays

        entries = EntryBatch.concatenate([piece.entries for piece in pieces])
        results = concatenate_results(pieces)
        entry_ordinals = np.repeat(ordinals, found["rows"])
        kept = _latest(position_keys(entry_ordinals, entries))
        kept = kept[np.repeat(valid, found["rows"])[kept]]
        directories["rows"] = np.bincount(entry_ordinals[kept], minlength=len(keys))
        return Block(keys, directories, entries.select(kept), results[kept])

    def _oldest_valid(
        self,
        keys: list[bytes],
        ordinals: npt.NDArray[np.int64],
        ages: npt.NDArray[np.int64],
        clears: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        """The least age that a record of each directory must have, shape (len(keys),)."""
        oldest = np.zeros(len(keys), np.int64)
        if not self._cleared and not clears.any():
            return oldest
        oldest[ordinals[clears]] = ages[clears]  # the latest comes last, and stays
        for ordinal, key in enumerate(keys):
            while self._cleared and not is_below(key, self._cleared[-1][0]):
                self._cleared.pop()
            above = self._cleared[-1][1] if self._cleared else 0
            if oldest[ordinal] > above:
                self._cleared.append((key, int(oldest[ordinal])))
            oldest[ordinal] = max(oldest[ordinal], above)
        return oldest


def _latest(keys: npt.NDArray[np.bytes_]) -> npt.NDArray[np.intp]:
    """Indices that sort the keys, of equal ones only the last. Linear for few sorted runs (timsort)."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    last = np.ones(len(keys), np.bool_)
    last[:-1] = ordered[1:] != ordered[:-1]
    return order[last]


def is_settled(directories: npt.NDArray[np.void]) -> bool:
    """Whether ``settle`` would leave a block with these directories as it is, if no entry of it is removed."""
    says_something = (directories["rows"] > 0) | (directories["state"] != DirectoryState.UNKNOWN)
    return bool(says_something.all() and not directories["cleared"].any())


def settle(block: Block) -> Block:
    """A block of the oldest table: without what only says that older records are void."""
    ordinals = np.repeat(np.arange(len(block.keys)), block.directories["rows"])
    kept = np.flatnonzero(block.results["outcome"] != Outcome.REMOVED)
    rows = np.bincount(ordinals[kept], minlength=len(block.keys))
    known = np.flatnonzero((rows > 0) | (block.directories["state"] != DirectoryState.UNKNOWN))
    directories = block.directories[known]
    directories["rows"] = rows[known]
    directories["cleared"] = 0
    keys = [block.keys[i] for i in known.tolist()]
    if len(kept) == len(block.entries):
        return Block(keys, directories, block.entries, block.results)
    return Block(keys, directories, block.entries.select(kept), block.results[kept])
