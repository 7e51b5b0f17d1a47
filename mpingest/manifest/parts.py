"""Parts: what ranks make of their ranges, and how they become one table.

A part names the blocks that follow each other in its range. Most stay where they are, in the tables that are merged;
those that had to be joined lie in a table of the part. So each block is copied once, as it is stored, by whoever joins
the parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mpingest.manifest.block import Block
from mpingest.manifest.table import JobAttributes, TableReader, TableWriter


class Blocks(NamedTuple):
    """Blocks ``first`` to ``stop`` of a table."""

    table: Path
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Part:
    """What a range holds. path: its own table, named by some of the blocks."""

    path: Path
    blocks: list[Blocks]


class PartWriter(TableWriter):
    """Writes the table of a part; blocks of other tables are only named. blocks: those of the part so far."""

    def __init__(self, path: Path, attributes: JobAttributes) -> None:
        super().__init__(path, attributes, durable=False)
        self.blocks: list[Blocks] = []

    def copy(self, table: TableReader, index: int) -> None:
        """Names a block of another table."""
        self._flush(complete=True)
        keys, directories = table.block_directories(index)
        self.last_directory = keys[-1], int(directories["state"][-1])
        self._last_key = keys[-1]
        self._name(table.path, index)

    def _write(self, block: Block) -> None:
        self._name(self._path, len(self._counts))
        super()._write(block)

    def _name(self, table: Path, index: int) -> None:
        if self.blocks and (self.blocks[-1].table, self.blocks[-1].stop) == (table, index):
            self.blocks[-1] = self.blocks[-1]._replace(stop=index + 1)
        else:
            self.blocks.append(Blocks(table, index, index + 1))


def join_parts(
    tables: Sequence[TableReader], parts: Iterable[Part], writer: TableWriter, check: Callable[[], None]
) -> None:
    """Copies the blocks of parts that follow each other to the writer.

    tables: those that were merged; check: called now and then, may raise
    """
    known = {table.path: table for table in tables}
    for part in parts:
        with closing(TableReader(part.path)) as own:
            for blocks in part.blocks:
                for index in range(blocks.first, blocks.stop):
                    check()
                    writer.copy(known.get(blocks.table, own), index)
