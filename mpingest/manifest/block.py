"""A block: consecutive rows of a sorted table, in memory, as columns.

Tables are ordered by directory, then by name, both bytewise. A directory stands in that order by its *key*, its path
with ``/`` replaced by NUL: no file name holds a NUL, so everything at and below a directory is one contiguous range.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpingest.manifest.states import DirectoryState
from mpingest.scan.entries import EntryBatch

DIRECTORY_DTYPE = np.dtype(
    [
        ("rows", "<u4"),  # entries of this directory in the block
        ("state", "u1"),  # DirectoryState
        ("cleared", "u1"),  # 1: whatever older tables hold at and below this directory is void
    ]
)
"""One directory of a block."""

RESULT_DTYPE = np.dtype(
    [
        ("outcome", "u1"),  # Outcome
        ("change", "u1"),  # Change
        ("code", "<i4"),  # iRODS status: an error if < 0, else the number of the replica
    ]
)
"""What became of one entry."""

_NO_ENTRIES = EntryBatch.build([], [])
_NO_RESULTS = np.empty(0, RESULT_DTYPE)

Position = tuple[bytes, bytes]
"""(directory key, name): a place in the order of a table. The directory itself stands at name b""."""


def directory_key(path: bytes) -> bytes:
    """The sort key of a directory, from its path relative to the root."""
    return path.replace(b"/", b"\0")


def directory_path(key: bytes) -> bytes:
    """The inverse of ``directory_key``."""
    return key.replace(b"\0", b"/")


def keys_above(key: bytes) -> list[bytes]:
    """The directories that a directory lies in, the root first (all as keys)."""
    return [b"", *(key[:end] for end, byte in enumerate(key) if byte == 0)] if key else []


def is_below(key: bytes, top: bytes) -> bool:
    """Whether a directory is ``top`` or anywhere beneath it (both as keys)."""
    return not top or key == top or key.startswith(top + b"\0")


@dataclass(frozen=True, slots=True)
class Block:
    """``d`` directories and their ``n`` entries.

    keys:        directory keys, ascending, length d
    directories: ``DIRECTORY_DTYPE``, shape (d,); its ``rows`` sum to n
    entries:     names and ``lstat``, length n, directory after directory
    results:     ``RESULT_DTYPE``, shape (n,)
    """

    keys: list[bytes]
    directories: npt.NDArray[np.void]
    entries: EntryBatch
    results: npt.NDArray[np.void]

    @classmethod
    def of_directory(
        cls,
        path: bytes,
        state: DirectoryState = DirectoryState.UNKNOWN,
        *,
        cleared: bool = False,
        entries: EntryBatch = _NO_ENTRIES,
        results: npt.NDArray[np.void] = _NO_RESULTS,
    ) -> Block:
        """One directory, with entries or without."""
        return cls([directory_key(path)], np.array([(len(entries), state, cleared)], DIRECTORY_DTYPE), entries, results)

    @classmethod
    def join(cls, blocks: Sequence[Block]) -> Block:
        """Blocks that follow each other in the order of a table, as one.

        A directory may go on from one to the next; its first piece says its state.
        """
        keys = [key for block in blocks for key in block.keys]
        directories = concatenate_directories(blocks)
        first = np.fromiter((a != b for a, b in itertools.pairwise([None, *keys])), np.bool_, len(keys))
        starts = np.flatnonzero(first)
        joined = directories[starts]
        if keys:
            joined["rows"] = np.add.reduceat(directories["rows"], starts)
        return cls(
            [keys[i] for i in starts.tolist()],
            joined,
            EntryBatch.concatenate([block.entries for block in blocks]),
            concatenate_results(blocks),
        )

    def bounds(self) -> npt.NDArray[np.int64]:
        """Where the entries of each directory begin and end, shape (d + 1,)."""
        bounds = np.zeros(len(self.keys) + 1, np.int64)
        np.cumsum(self.directories["rows"], out=bounds[1:])
        return bounds

    def part(self, directories: tuple[int, int], rows: tuple[int, int]) -> Block:
        """Directories and entries by half-open ranges; the entries must lie in those directories."""
        chosen = self.directories[slice(*directories)].copy()
        chosen["rows"] = np.diff(self.bounds()[directories[0] : directories[1] + 1].clip(*rows))
        return Block(
            self.keys[slice(*directories)],
            chosen,
            self.entries.slice(*rows),
            self.results[slice(*rows)],
        )

    def between(self, first: bytes, stop: bytes | None) -> Block:
        """The directories with ``first <= key < stop`` and their entries; None: to the end."""
        begin = bisect_left(self.keys, first)
        end = len(self.keys) if stop is None else bisect_left(self.keys, stop)
        bounds = self.bounds()
        return self.part((begin, end), (int(bounds[begin]), int(bounds[end])))

    def select(self, where: npt.NDArray[np.bool_]) -> Block:
        """The entries chosen by a boolean mask, shape (n,), and all directories."""
        directories = self.directories.copy()
        directories["rows"] = np.diff(np.concatenate(([0], np.cumsum(where)))[self.bounds()])
        return Block(self.keys, directories, self.entries.select(where), self.results[where])

    def paths(self) -> list[bytes]:
        """Path of each entry, relative to the root."""
        names = self.entries.names()
        paths = []
        for key, (start, stop) in zip(self.keys, itertools.pairwise(self.bounds().tolist()), strict=True):
            prefix = directory_path(key) + b"/" if key else b""
            paths += [prefix + name for name in names[start:stop]]
        return paths

    def split(self, directory: int, row: int) -> tuple[Block, Block]:
        """Up to and from ``row``, where ``directory`` is the first one that no entry before ``row`` and no empty
        directory of the first part belongs to; a directory cut in two stands in both parts.
        """
        resumes = directory > 0 and row < self.bounds()[directory]
        head = self.part((0, directory), (0, row))
        tail = self.part((directory - resumes, len(self.keys)), (row, len(self.entries)))
        return head, tail

    def split_after(self, position: Position) -> tuple[Block, Block]:
        """All that stands at or before ``position``, and the rest. Needs sorted entries."""
        key, name = position
        directory = bisect_right(self.keys, key)
        bounds = self.bounds()
        row = int(bounds[directory])
        if directory and self.keys[directory - 1] == key:
            start = int(bounds[directory - 1])
            row = start + bisect_right(range(start, row), name, key=self.entries.name)
        return self.split(directory, row)

    def position(self, row: int) -> Position:
        """Where entry ``row`` stands."""
        directory = int(np.searchsorted(self.bounds(), row, "right")) - 1
        return self.keys[directory], self.entries.name(row)

    def last(self) -> Position:
        """Where the block ends. Needs at least one directory."""
        name = self.entries.name(len(self.entries) - 1) if self.directories["rows"][-1] else b""
        return self.keys[-1], name

    def sort_keys(self) -> npt.NDArray[np.bytes_]:
        """The entries' (directory, name) as fixed-width byte strings that sort alike, shape (n,)."""
        ordinals = np.repeat(np.arange(len(self.keys)), self.directories["rows"])
        return position_keys(ordinals, self.entries)


def concatenate_directories(blocks: Sequence[Block]) -> npt.NDArray[np.void]:
    """The directories of all blocks, ``DIRECTORY_DTYPE``."""
    return np.frombuffer(b"".join([block.directories.data for block in blocks]), DIRECTORY_DTYPE)


def concatenate_results(blocks: Sequence[Block]) -> npt.NDArray[np.void]:
    """The results of all blocks, ``RESULT_DTYPE``."""
    return np.frombuffer(b"".join([block.results.data for block in blocks]), RESULT_DTYPE)


def position_keys(ordinals: npt.NDArray[np.int64], entries: EntryBatch) -> npt.NDArray[np.bytes_]:
    """(directory ordinal, name) of each entry as fixed-width byte strings that sort alike, shape (n,)."""
    if not len(entries):
        return np.empty(0, "S1")
    sizes = np.diff(entries.offsets)
    width = int(sizes.max())
    keys = np.zeros((len(entries), 4 + width), np.uint8)
    keys[:, :4] = ordinals.astype(">u4").view(np.uint8).reshape(-1, 4)
    keys[:, 4:][np.arange(width) < sizes[:, None]] = np.frombuffer(entries.blob, np.uint8)
    return keys.view(f"S{4 + width}").ravel()
