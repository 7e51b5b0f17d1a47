"""Small trees and what is recorded of them, for the tests of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import strategies as st

from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.manifest.table import JobAttributes
from mpingest.scan.entries import EntryBatch

ATTRIBUTES = JobAttributes("job", b"/data/\xff", "/zone/home/ä", run=1, host="node1")
FILE, DIRECTORY = 0o100644, 0o040755

NAMES = st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name)
PATHS = st.lists(NAMES, max_size=4).map(b"/".join)


def row(size: int = 0, mode: int = FILE, **fields: int) -> tuple[int, ...]:
    """A stat row: every field but these is fixed."""
    known = {"nlink": 1, "uid": 1000, "gid": 100, "inode": 7, "size": size, "mtime_ns": 10**18, "ctime_ns": 10**18}
    return (mode, *(known | fields).values())


def batch(entries: Mapping[bytes, tuple[int, ...]]) -> EntryBatch:
    """The entries of one directory, in the order given."""
    return EntryBatch.build(list(entries), list(entries.values()))


def record(
    writer: SegmentWriter, directory: bytes, entries: EntryBatch, outcome: Outcome | Sequence[Outcome] = Outcome.DONE
) -> None:
    """Records entries as new, with one outcome or one each."""
    change = np.full(len(entries), Change.NEW, np.uint8)
    outcomes = np.zeros(len(entries), np.uint8)
    outcomes[:] = outcome
    writer.record(directory, entries, change, outcomes, np.full(len(entries), -5, np.int32))


def segment(folder: Path, tree: Mapping[bytes, EntryBatch], rank: int = 0) -> Path:
    """One sealed segment that says that everything in the tree is done."""
    writer = SegmentWriter(folder, rank, ATTRIBUTES)
    for path, entries in tree.items():
        record(writer, path, entries)
        writer.record_directory(path, DirectoryState.COMPLETE)
    sealed = writer.seal()
    assert sealed is not None
    return sealed


def content(path: Path) -> tuple[dict[bytes, DirectoryState], dict[tuple[bytes, bytes], tuple[int, ...]]]:
    """Directory states, and (size, outcome, change, code) of each entry, of a table read from end to end."""
    states: dict[bytes, DirectoryState] = {}
    rows = {}
    with Checkpoint.open(path) as checkpoint:
        for piece in checkpoint:
            assert states.setdefault(piece.path, piece.state) == piece.state
            for name, size, result in zip(
                piece.entries.names(), piece.entries.rows["size"].tolist(), piece.results.tolist(), strict=True
            ):
                assert (piece.path, name) not in rows
                rows[piece.path, name] = (size, *result)
    return states, rows


def dump(path: Path) -> list[tuple[Any, ...]]:
    """Everything that a checkpoint says, row by row."""
    with Checkpoint.open(path) as checkpoint:
        return [
            (piece.path, piece.state, name, entry.tobytes(), result)
            for piece in checkpoint
            for (name, entry), result in zip(piece.entries, piece.results.tolist(), strict=True)
        ]


def flip(path: Path, column: str, block: int) -> None:
    """Damages one chunk of a table."""
    with h5py.File(path) as file:
        chunk = file[column].id.get_chunk_info(block)
    data = bytearray(path.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    path.write_bytes(data)
