"""External merge: a checkpoint and segments into the next checkpoint, in bounded memory.

The latest record of (directory, name) wins. Age is a total order of the inputs that no clock takes part in: the
checkpoint, then the segments by (run, rank, segment). One rank's later word thus supersedes its earlier one; two ranks
never record the same entry in one run, since a unit has one owner at a time, and if they did the higher rank would win,
whoever merges. Age is never stored: a group of inputs that follow each other in age can be merged first, keeping its
removals, and stands for the group. So the result depends neither on the order of the list nor on the grouping.

Merging again what was merged before changes nothing, which is what an interrupted merge relies on: the checkpoint is
replaced as a whole, and the segments stay until then.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpingest.manifest.block import Block, Position
from mpingest.manifest.combine import Combiner, settle
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
        for window in _windows([_Cursor(table) for table in tables]):
            writer.append(finish(combiner.window(window)))
    return writer.entries, writer.directories


class _Cursor:
    """What is left of a table."""

    def __init__(self, table: TableReader) -> None:
        self._blocks = (table.block(index) for index in range(len(table.blocks)))
        self._block = _NOTHING
        self._advance()

    def _advance(self) -> None:
        while not self._block.keys:
            block = next(self._blocks, None)
            if block is None:
                return
            self._block = block

    def __bool__(self) -> bool:
        return bool(self._block.keys)

    def ahead(self, rows: int) -> Position:
        """The farthest position that is at most ``rows`` entries away and in memory."""
        if rows < len(self._block.entries):
            return self._block.position(rows - 1)
        return self._block.last()

    def take(self, limit: Position) -> Block:
        """Removes and returns what stands at or before ``limit``, which is not beyond what is in memory."""
        if not self or self._block.keys[0] > limit[0]:
            return _NOTHING
        taken, self._block = self._block.split_after(limit)
        self._advance()
        return taken


def _windows(cursors: Sequence[_Cursor]) -> Iterator[list[Block]]:
    """Cuts the tables at the same positions, into pieces of at most ``WINDOW_ROWS`` entries together."""
    share = max(1, WINDOW_ROWS // max(1, len(cursors)))
    while any(cursors):
        limit = min(cursor.ahead(share) for cursor in cursors if cursor)
        yield [cursor.take(limit) for cursor in cursors]
