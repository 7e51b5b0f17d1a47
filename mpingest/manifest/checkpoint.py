"""The checkpoint: the merged, sorted state of a job, read one directory at a time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from mpingest.manifest.block import Block, directory_key, directory_path
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.manifest.table import LIMITS, TableReader
from mpingest.scan.entries import EntryBatch

CACHED_BLOCKS = 16
"""Some 1 MB each."""


@dataclass(frozen=True, slots=True)
class DirectoryRows:
    """What is known of one directory.

    path:    relative to the root, which is b""
    state:   as the last run left it
    entries: names, ascending, and ``lstat`` before the transfer, length n
    results: ``RESULT_DTYPE``, shape (n,): outcome, change, code
    """

    path: bytes
    state: DirectoryState
    entries: EntryBatch
    results: npt.NDArray[np.void]

    @property
    def outcome(self) -> npt.NDArray[np.uint8]:
        """What became of each entry, shape (n,)."""
        return self.results["outcome"]

    def moved_to(self, path: bytes) -> DirectoryRows:
        """The same under another path, what has vanished as it was before that."""
        results = self.results.copy()
        gone = results["outcome"] == Outcome.GONE
        unsettled = results["change"] == Change.MODIFIED
        results["outcome"][gone] = np.where(unsettled, Outcome.UNSETTLED, Outcome.DONE)[gone]
        results["change"][gone] = Change.UNCHANGED
        return DirectoryRows(path, self.state, self.entries, results)


@dataclass(frozen=True, slots=True)
class Summary:
    """Totals of a table."""

    entries: int
    directories: int
    outcomes: dict[Outcome, int]


class Checkpoint:
    """A checkpoint (or a segment) opened for reading; a context manager.

    Holds the first directory of each block of 8,192 rows and a few decoded blocks: memory does not grow with what is
    read. Raises DamagedTable, also while reading, MpingestError for a newer format, OSError.
    """

    def __init__(self, table: TableReader) -> None:
        self._table = table
        self._block = lru_cache(CACHED_BLOCKS)(self._decode)
        self.path = table.path
        self.attributes = table.attributes
        self.program, self.version = table.program, table.version

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens the checkpoint at ``path``."""
        return cls(TableReader(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block.cache_clear()
        self._table.close()

    def summary(self) -> Summary:
        """Totals, read from the index alone."""
        counts = self._table.blocks["outcomes"].sum(axis=0, dtype=np.int64).tolist()
        return Summary(self._table.entries, self._table.directories, dict(zip(Outcome, counts, strict=True)))

    def directory(self, path: bytes) -> DirectoryRows | None:
        """All that is known of one directory, None if nothing."""
        pieces = list(self.pieces(path))
        if len(pieces) <= 1:
            return pieces[0] if pieces else None
        entries = EntryBatch.concatenate([piece.entries for piece in pieces])
        return DirectoryRows(path, pieces[0].state, entries, np.concatenate([piece.results for piece in pieces]))

    def subtree(self, path: bytes) -> Iterator[DirectoryRows]:
        """The directories at and below ``path``, in order.

        A directory that does not fit into a block comes as several consecutive pieces.
        """
        key = directory_key(path)
        return self._pieces(key, key + b"\1" if key else None)

    def pieces(self, path: bytes) -> Iterator[DirectoryRows]:
        """One directory as consecutive pieces, of which each fits into a block; none if nothing is known of it."""
        key = directory_key(path)
        return self._pieces(key, key + b"\0")

    def entry(self, path: bytes) -> tuple[np.void, np.void] | None:
        """What is recorded of one entry: its ``ENTRY_DTYPE`` and ``RESULT_DTYPE``; None if nothing is."""
        directory, _, name = path.rpartition(b"/")
        for piece in self.pieces(directory):
            names = piece.entries
            if len(names) and names.name(len(names) - 1) >= name:
                row = bisect_left(range(len(names)), name, key=names.name)
                return (names.rows[row], piece.results[row]) if names.name(row) == name else None
        return None

    def blocks(self, path: bytes = b"") -> Iterator[Block]:
        """All at and below a directory, block by block."""
        key = directory_key(path)
        stop = key + b"\1" if key else None
        for index in self._table.blocks_between(key, stop):
            yield self._table.block(index).between(key, stop)

    def __iter__(self) -> Iterator[DirectoryRows]:
        """All directories, in pieces as ``subtree`` gives them."""
        return self.subtree(b"")

    def places(self, outcome: Outcome) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.void]]]:
        """Where the entries with that outcome stand (for ``at``), shape (n,), and their ``ENTRY_DTYPE``, by block.

        Reads just the blocks that have any.
        """
        for index in np.flatnonzero(self._table.blocks["outcomes"][:, outcome]).tolist():
            block = self._table.block(index)
            rows = np.flatnonzero(block.results["outcome"] == outcome)
            yield index * LIMITS.rows + rows, block.entries.rows[rows]

    def holding(self, outcome: Outcome) -> Iterator[DirectoryRows]:
        """The directories, in pieces, of the blocks that have entries with that outcome; no others are read."""
        for index in np.flatnonzero(self._table.blocks["outcomes"][:, outcome]).tolist():
            yield from self._rows_of(index, b"", None)

    def at(self, place: int) -> DirectoryRows:
        """The entry at a place, as the only one of its directory."""
        index, row = divmod(place, LIMITS.rows)
        block, bounds = self._block(index)
        directory = bisect_right(bounds, row) - 1
        return DirectoryRows(
            directory_path(block.keys[directory]),
            DirectoryState(block.directories["state"][directory]),
            block.entries.slice(row, row + 1),
            block.results[row : row + 1],
        )

    def _pieces(self, first: bytes, stop: bytes | None) -> Iterator[DirectoryRows]:
        """The directories with ``first <= key < stop``."""
        for index in self._table.blocks_between(first, stop):
            yield from self._rows_of(index, first, stop)

    def _rows_of(self, index: int, first: bytes, stop: bytes | None) -> Iterator[DirectoryRows]:
        """Those of one block."""
        block, bounds = self._block(index)
        begin = bisect_left(block.keys, first)
        end = len(block.keys) if stop is None else bisect_left(block.keys, stop)
        for i in range(begin, end):
            yield DirectoryRows(
                directory_path(block.keys[i]),
                DirectoryState(block.directories["state"][i]),
                block.entries.slice(bounds[i], bounds[i + 1]),
                block.results[bounds[i] : bounds[i + 1]],
            )

    def _decode(self, index: int) -> tuple[Block, list[int]]:
        block = self._table.block(index)
        return block, block.bounds().tolist()
