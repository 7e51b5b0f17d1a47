"""Reading a whole table and checking what must hold in it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpingest.manifest.block import Block, Position
from mpingest.manifest.checkpoint import Checkpoint, Summary
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.manifest.table import DamagedTable, TableReader


def verify(path: Path) -> Summary:
    """Reads all of a segment or checkpoint. Raises DamagedTable with the first problem, MpingestError, OSError."""
    table = TableReader(path)
    try:
        end: Position | None = None
        directories = 0
        for index in range(len(table.blocks)):
            block = table.block(index)
            for problem in _problems(block, table.first_keys[index], end, table.blocks["outcomes"][index]):
                raise DamagedTable(path, f"block {index}: {problem}")
            directories += len(block.keys) - (end is not None and block.keys[0] == end[0])
            end = block.last()
        if directories != table.directories:
            raise DamagedTable(path, f"it has {directories} directories, not {table.directories}")
        return Checkpoint(table).summary()
    finally:
        table.close()


def _problems(block: Block, first_key: bytes, end: Position | None, outcomes: npt.NDArray[np.uint32]) -> Iterator[str]:
    """What is wrong with a block that should begin in ``first_key``, follow ``end`` and have so many ``outcomes``."""
    if not block.keys or block.keys[0] != first_key:
        yield "it does not begin with the directory that the index says"
    if end is not None and _begin(block) <= end:
        yield "it does not follow the one before"
    if any(later <= earlier for earlier, later in pairwise(block.keys)):
        yield "directories are not in order"
    keys = block.sort_keys()
    if (keys[1:] <= keys[:-1]).any():
        yield "names are not in order, or one comes twice"
    if (np.diff(block.entries.offsets) == 0).any():
        yield "a name is empty"
    if b"/" in block.entries.blob or b"\0" in block.entries.blob:
        yield "a name holds / or NUL"
    stored = {
        Outcome: block.results["outcome"],
        Change: block.results["change"],
        DirectoryState: block.directories["state"],
    }
    for states, values in stored.items():
        if values.max(initial=0) >= len(states):
            yield f"{values.max()} is no {states.__name__}"
    if not np.array_equal(np.bincount(stored[Outcome], minlength=len(Outcome)), outcomes):
        yield "the index counts other outcomes"


def _begin(block: Block) -> Position:
    return block.keys[0], block.entries.name(0) if block.directories["rows"][0] else b""
