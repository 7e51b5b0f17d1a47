"""Segments of a scan: written on as long as what is recorded comes in the order of a table.

A scan that goes depth first, by name, finds directories in that order. Then all that a rank records becomes one table,
compressed while the scan goes on, and there is nothing to merge.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from mpingest.manifest.block import Block, Position
from mpingest.manifest.combine import Combiner
from mpingest.manifest.segment import SEAL_ROWS, segment_path
from mpingest.manifest.table import JobAttributes, TableWriter

ENOUGH_ROWS = 16_384
"""Entries that are sorted and written at a time, where they come in order."""


class OrderedSegments:
    """Writes tables ``rankNNNNN-NNNNNN.h5`` in ``directory``; a context manager, which completes the last one.

    Unlike those of ``SegmentWriter`` they are not durable before the end. Memory: ``SEAL_ROWS`` entries. For one
    thread. Raises OSError.
    """

    def __init__(self, directory: Path, rank: int, attributes: JobAttributes) -> None:
        self.paths: list[Path] = []
        self._directory = directory
        self._attributes = replace(attributes, rank=rank)
        self._pending: list[Block] = []
        self._rows = 0
        self._stack = ExitStack()
        self._table: TableWriter | None = None
        self._last: Position = (b"", b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self._pending:
                self._write(Combiner().window(self._pending))
            self._stack.close()
        else:
            self._stack.__exit__(kind, error, trace)

    def add(self, block: Block, *, at_boundary: bool) -> None:
        """Records directories with their entries, in any order.

        at_boundary: whether the last directory is complete; what of it came before is better not written apart
        """
        self._pending.append(block)
        self._rows += len(block.entries) + len(block.keys)
        if self._rows >= SEAL_ROWS or (self._rows >= ENOUGH_ROWS and at_boundary):
            self._settle()

    def _settle(self) -> None:
        block = Combiner().window(self._pending)
        if self._rows >= SEAL_ROWS or self._follows(block):
            self._write(block)
            self._pending, self._rows = [], 0
        else:
            self._pending = [block]  # until it's enough for a table of its own

    def _follows(self, block: Block) -> bool:
        return self._table is None or (block.keys[0], b"") > self._last

    def _write(self, block: Block) -> None:
        if self._table is None or not self._follows(block):
            self._table = self._begin()
        self._table.append(block)
        self._last = block.last()

    def _begin(self) -> TableWriter:
        self._stack.close()
        number = len(self.paths) + 1
        self.paths.append(segment_path(self._directory, self._attributes.rank, number))
        return self._stack.enter_context(TableWriter(self.paths[-1], replace(self._attributes, segment=number)))
