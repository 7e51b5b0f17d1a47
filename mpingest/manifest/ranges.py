"""Merging one range of the order: what several tables hold in it, into one writer.

A block that lies before all that is left of the other tables is copied as it is stored. So a merge costs what has
changed, not what is there.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from mpingest.manifest.block import Block, Position, keys_above
from mpingest.manifest.combine import Combiner, is_settled
from mpingest.manifest.states import Outcome
from mpingest.manifest.table import TableReader, TableWriter

WINDOW_ROWS = 1 << 18
"""Most entries joined at once."""

_NOTHING = Block.join([])


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The directories with ``first <= key < stop``; stop None: to the end."""

    first: bytes = b""
    stop: bytes | None = None


EVERYTHING = KeyRange()


def split_evenly(tables: Sequence[TableReader], count: int) -> list[KeyRange]:
    """At most ``count`` ranges that follow each other, hold everything, and each at least its share of it.

    No directory is cut in two, so that a large one makes a large range. Reads nothing but the tables' indices.
    """
    share = sum(size for table in tables for _, size in _blocks(table)) / count
    cuts = [b""]
    since = 0
    for key, size in heapq.merge(*map(_blocks, tables), key=itemgetter(0)):
        if since >= share and key > cuts[-1]:
            cuts.append(key)
            since = 0
        since += size
    return [KeyRange(first, stop) for first, stop in zip(cuts, [*cuts[1:], None], strict=True)]


def _blocks(table: TableReader) -> Iterator[tuple[bytes, int]]:
    """Where each block begins, and how much it holds: entries and directories."""
    sizes = table.blocks["rows"].astype(np.int64) + table.blocks["directories"]
    return zip(table.first_keys, sizes.tolist(), strict=True)


def merge_range(
    tables: Sequence[TableReader],
    reach: KeyRange,
    writer: TableWriter,
    finish: Callable[[Block], Block],
    check: Callable[[], None],
) -> None:
    """Appends to the writer, in order, what tables, oldest first, hold in a range.

    finish: what is still to be done to a block that was joined; check: called now and then, may raise
    """
    combiner = Combiner()
    combiner.window([_directories(table, keys_above(reach.first)) for table in tables])
    cursors = [_Cursor(table, reach) for table in tables]
    while any(cursors):
        check()
        alone = _alone(cursors, reach.stop) if combiner.is_clear and not writer.is_short else None
        if alone and alone.goes_on(writer.last_directory):
            alone.copy(writer)
        else:
            writer.append(finish(combiner.window(_window(cursors))))


def _directories(table: TableReader, keys: Sequence[bytes]) -> Block:
    """What a table says of directories, without their entries: they may be cleared, with all beneath them."""
    found = [_directory(table, key) for key in keys]
    return Block.join([each for each in found if each])


def _directory(table: TableReader, key: bytes) -> Block | None:
    for index in table.blocks_between(key, key + b"\0")[:2]:  # it begins in one of these, if anywhere
        keys, directories = table.block_directories(index)
        place = bisect_left(keys, key)
        if keys[place : place + 1] == [key]:
            directory = directories[place : place + 1].copy()
            directory["rows"] = 0
            return Block([key], directory, _NOTHING.entries, _NOTHING.results)
    return None


class _Cursor:
    """What is left of a table in a range."""

    def __init__(self, table: TableReader, reach: KeyRange) -> None:
        self._table = table
        self._reach = reach
        indices = table.blocks_between(reach.first, reach.stop)
        self._next, self._stop = indices.start, indices.stop  # of the blocks that are not in memory
        self._block = _NOTHING
        if indices and table.first_keys[self._next] < reach.first:
            self._load()  # perhaps none of it lies in the range

    def __bool__(self) -> bool:
        return bool(self._block.keys) or self._next < self._stop

    @property
    def first_key(self) -> bytes:
        """The first directory that is left."""
        return self._block.keys[0] if self._block.keys else self._table.first_keys[self._next]

    def ends_before(self, key: bytes | None) -> bool:
        """Whether the next block is worth copying as it is, and all of it lies in directories before ``key``.

        key: None stands for the end
        """
        if self._block.keys or not self._table.is_half_full(self._next):
            return False
        if self._table.blocks["outcomes"][self._next][Outcome.REMOVED]:
            return False
        keys, directories = self._table.block_directories(self._next)
        return (key is None or keys[-1] < key) and is_settled(directories)

    def goes_on(self, last: tuple[bytes, int] | None) -> bool:
        """Whether the next block, as it is, may follow directory ``last`` of that state: if it holds more of that
        directory, it must be of one mind about it.
        """
        keys, directories = self._table.block_directories(self._next)
        return last is None or keys[0] != last[0] or int(directories["state"][0]) == last[1]

    def copy(self, writer: TableWriter) -> None:
        """Moves the next block to the writer."""
        writer.copy(self._table, self._next)
        self._next += 1

    def ahead(self, rows: int) -> Position:
        """The farthest position that is at most ``rows`` entries away and in memory."""
        if not self._block.keys:
            self._load()
        if rows < len(self._block.entries):
            return self._block.position(rows - 1)
        return self._block.last()

    def take(self, limit: Position) -> Block:
        """Removes and returns what stands at or before ``limit``, which is not beyond what is in memory."""
        if not self or self.first_key > limit[0]:
            return _NOTHING
        if not self._block.keys:
            self._load()
        taken, self._block = self._block.split_after(limit)
        return taken

    def _load(self) -> None:
        self._block = self._table.block(self._next).between(self._reach.first, self._reach.stop)
        self._next += 1


def _alone(cursors: Sequence[_Cursor], stop: bytes | None) -> _Cursor | None:
    """The table whose next block comes before all that is left of the others and before ``stop``, if there is one."""
    left = sorted((cursor for cursor in cursors if cursor), key=lambda cursor: cursor.first_key)
    return left[0] if left[0].ends_before(left[1].first_key if len(left) > 1 else stop) else None


def _window(cursors: Sequence[_Cursor]) -> list[Block]:
    """What comes next, at most ``WINDOW_ROWS`` entries together: the tables cut at the same position."""
    share = max(1, WINDOW_ROWS // len(cursors))
    limit = min(cursor.ahead(share) for cursor in cursors if cursor)
    return [cursor.take(limit) for cursor in cursors]
