"""External merge: a checkpoint and segments into the next checkpoint, in bounded memory.

The latest record of (directory, name) wins. Age is a total order of the inputs that no clock takes part in: the
checkpoint, then the segments by (run, rank, segment). One rank's later word thus supersedes its earlier one; two ranks
never record the same entry in one run, since a unit has one owner at a time, and if they did the higher rank would win,
whoever merges. Age is never stored: a group of inputs that follow each other in age can be merged first, keeping its
removals, and stands for the group. So the result depends neither on the order of the list nor on the grouping.

A block that lies before all that is left of the other tables is copied as it is stored. So a merge costs what has
changed, not what is there.

Merging again what was merged before changes nothing, which is what an interrupted merge relies on: the checkpoint is
replaced as a whole, and the segments stay until then.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpingest.manifest.block import Block, Position
from mpingest.manifest.combine import Combiner, is_settled, settle
from mpingest.manifest.states import Outcome
from mpingest.manifest.table import DamagedTable, JobAttributes, TableReader, TableWriter

FAN_IN = 64
"""Files open at once."""

WINDOW_ROWS = 1 << 18
"""Most entries joined at once."""

_NOTHING = Block.join([])


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge made.

    merged:  segments in the new checkpoint, oldest first; delete them in this order, so that those which remain after
             an interruption are the latest, and merging them again changes nothing
    damaged: segments set aside, by their new names
    """

    entries: int
    directories: int
    merged: list[Path] = field(default_factory=list)
    damaged: list[DamagedTable] = field(default_factory=list)


def merge(checkpoint: Path | None, segments: Sequence[Path], output: Path, attributes: JobAttributes) -> MergeResult:
    """Merges segments into a checkpoint and replaces ``output`` (which may be ``checkpoint``) atomically.

    A damaged segment is renamed to ``*.damaged``, left out and reported: its entries are taken up by the next run.
    Memory: one block (about 1 MB) for each of at most 64 open files, and one window. Raises DamagedTable where the
    checkpoint is damaged, MpingestError for a newer format, OSError.
    """
    damaged: list[DamagedTable] = []
    remaining = list(segments)
    while True:
        try:
            ordered = sorted(remaining, key=_age)
            entries, directories = _merge_all(checkpoint, ordered, output, attributes)
        except DamagedTable as error:
            if error.path not in remaining:
                raise
            remaining.remove(error.path)
            error.path.replace(error.path.with_name(error.path.name + ".damaged"))
            damaged.append(error)
        else:
            return MergeResult(entries, directories, ordered, damaged)


def _age(segment: Path) -> tuple[int, int, int]:
    table = TableReader(segment)
    table.close()
    return table.attributes.run, table.attributes.rank, table.attributes.segment


def _merge_all(
    checkpoint: Path | None, segments: Sequence[Path], output: Path, attributes: JobAttributes
) -> tuple[int, int]:
    """Merges in as many passes as ``FAN_IN`` asks for."""
    scratch = output.with_name(output.name + ".passes")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        tables = list(segments)
        level = 0
        while len(tables) >= FAN_IN:
            level += 1
            tables = _merge_groups(tables, scratch / str(level), attributes)
        inputs = tables if checkpoint is None else [checkpoint, *tables]
        return _merge_once(inputs, output, attributes, settle)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _merge_groups(tables: Sequence[Path], directory: Path, attributes: JobAttributes) -> list[Path]:
    """Merges groups of neighbours in age, each into one table."""
    directory.mkdir(parents=True)
    outputs = []
    for start in range(0, len(tables), FAN_IN):
        output = directory / f"{start}.h5"
        _merge_once(tables[start : start + FAN_IN], output, attributes, lambda block: block)
        outputs.append(output)
    return outputs


def _merge_once(
    inputs: Sequence[Path], output: Path, attributes: JobAttributes, finish: Callable[[Block], Block]
) -> tuple[int, int]:
    """Merges tables, oldest first; returns the numbers of entries and directories."""
    with contextlib.ExitStack() as stack:
        tables = []
        for path in inputs:
            tables.append(TableReader(path))
            stack.callback(tables[-1].close)
        writer = stack.enter_context(TableWriter(output, attributes))
        combiner = Combiner()
        cursors = [_Cursor(table) for table in tables]
        copied: _Cursor | None = None
        while any(cursors):
            alone = _alone(cursors) if combiner.is_clear else None
            # A directory that goes on keeps the state it began with: that of all tables, or of the one copied.
            if alone and (alone is copied or alone.first_key != writer.last_key):
                alone.copy(writer)
                copied = alone
            else:
                writer.append(finish(combiner.window(_window(cursors))))
                copied = None
    return writer.entries, writer.directories


class _Cursor:
    """What is left of a table."""

    def __init__(self, table: TableReader) -> None:
        self._table = table
        self._next = 0  # of the blocks that are not in memory
        self._block = _NOTHING

    def __bool__(self) -> bool:
        return bool(self._block.keys) or self._next < len(self._table.blocks)

    @property
    def first_key(self) -> bytes:
        """The first directory that is left."""
        return self._block.keys[0] if self._block.keys else self._table.first_keys[self._next]

    def ends_before(self, key: bytes | None) -> bool:
        """Whether the next block is worth copying as it is, and all of it lies in directories before ``key``.

        key: None stands for the end
        """
        if self._block.keys or not self._table.is_full(self._next):
            return False
        if self._table.blocks["outcomes"][self._next][Outcome.REMOVED]:
            return False
        keys, directories = self._table.block_directories(self._next)
        return (key is None or keys[-1] < key) and is_settled(directories)

    def copy(self, writer: TableWriter) -> None:
        """Moves the next block to the writer."""
        writer.copy(self._table, self._next)
        self._next += 1

    def ahead(self, rows: int) -> Position:
        """The farthest position that is at most ``rows`` entries away and in memory."""
        self._load()
        if rows < len(self._block.entries):
            return self._block.position(rows - 1)
        return self._block.last()

    def take(self, limit: Position) -> Block:
        """Removes and returns what stands at or before ``limit``, which is not beyond what is in memory."""
        if not self or self.first_key > limit[0]:
            return _NOTHING
        self._load()
        taken, self._block = self._block.split_after(limit)
        return taken

    def _load(self) -> None:
        if not self._block.keys:
            self._block = self._table.block(self._next)
            self._next += 1


def _alone(cursors: Sequence[_Cursor]) -> _Cursor | None:
    """The table whose next block comes before all that is left of the others, if there is one."""
    left = sorted((cursor for cursor in cursors if cursor), key=lambda cursor: cursor.first_key)
    return left[0] if left[0].ends_before(left[1].first_key if len(left) > 1 else None) else None


def _window(cursors: Sequence[_Cursor]) -> list[Block]:
    """What comes next, at most ``WINDOW_ROWS`` entries together: the tables cut at the same position."""
    share = max(1, WINDOW_ROWS // len(cursors))
    limit = min(cursor.ahead(share) for cursor in cursors if cursor)
    return [cursor.take(limit) for cursor in cursors]
