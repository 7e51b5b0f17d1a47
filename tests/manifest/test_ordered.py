"""Segments of a scan: whatever order directories come in, merging the segments gives the table they belong in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpingest.manifest.block import DIRECTORY_DTYPE, RESULT_DTYPE, Block, directory_key
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.merge import merge
from mpingest.manifest.ordered import OrderedSegments
from mpingest.manifest.states import DirectoryState
from mpingest.manifest.table import JobAttributes
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

ATTRIBUTES = JobAttributes("scan", b"/data", "", 1, "host")


def block(path: bytes, names: list[bytes]) -> Block:
    rows = np.zeros(len(names), ENTRY_DTYPE)
    rows["size"] = [len(path) + len(name) for name in names]
    directories = np.array([(len(names), DirectoryState.COMPLETE, 0)], DIRECTORY_DTYPE)
    return Block([directory_key(path)], directories, EntryBatch.build(names, rows), np.zeros(len(names), RESULT_DTYPE))


def content(path: Path) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    with Checkpoint.open(path) as checkpoint:
        for rows in checkpoint:
            found.setdefault(rows.path, []).extend(rows.entries.names())
            assert rows.entries.rows["size"].tolist() == [len(rows.path) + len(name) for name in rows.entries.names()]
        assert checkpoint.summary().directories == len(found)
    return found


def write(directory: Path, blocks: list[Block], rank: int = 0) -> list[Path]:
    directory.mkdir(exist_ok=True)
    with OrderedSegments(directory, rank, ATTRIBUTES) as segments:
        for each in blocks:
            segments.add(each, at_boundary=True)
    return segments.paths


def tree(count: int) -> dict[bytes, list[bytes]]:
    """Directories of 500 entries, in order."""
    return {b"dir%04d" % number: [b"file%05d" % (7919 * k % 500) for k in range(500)] for number in range(count)}


def test_what_comes_in_order_is_one_segment(tmp_path: Path) -> None:
    files = tree(300)
    (path,) = write(tmp_path / "segments", [block(*each) for each in files.items()])
    assert content(path) == {path: sorted(names) for path, names in files.items()}


@pytest.mark.parametrize("ranks", [1, 3])
def test_what_comes_in_disorder_is_merged(tmp_path: Path, ranks: int) -> None:
    files = tree(600)
    shuffled = [block(*each) for each in files.items()]
    np.random.default_rng(1).shuffle(shuffled)
    paths = [path for rank in range(ranks) for path in write(tmp_path / "segments", shuffled[rank::ranks], rank)]
    assert len(paths) > 1
    merge(None, paths, tmp_path / "out.h5", ATTRIBUTES)
    assert content(tmp_path / "out.h5") == {path: sorted(names) for path, names in files.items()}


def test_ranks_that_took_turns_are_copied_and_joined(tmp_path: Path) -> None:
    """Each rank has runs of neighbours: most blocks lie apart from the other rank's, those at the seams don't."""
    files = tree(400)
    blocks = [block(*each) for each in files.items()]
    turns = [blocks[start : start + 50] for start in range(0, 400, 50)]
    paths = [
        path
        for rank in range(2)
        for path in write(tmp_path / "segments", [each for turn in turns[rank::2] for each in turn], rank)
    ]
    merge(None, paths, tmp_path / "out.h5", ATTRIBUTES)
    assert content(tmp_path / "out.h5") == {path: sorted(names) for path, names in files.items()}


def test_a_directory_on_several_ranks_keeps_one_state(tmp_path: Path) -> None:
    """Slices of it have none; the one that does may be in any segment, and a block of any may begin with it."""
    names = [b"%06d" % number for number in range(60_000)]
    whole = block(b"flat", [])
    slices = [block(b"flat", names[start : start + 10_000]) for start in range(0, 60_000, 10_000)]
    for each in slices:
        each.directories["state"] = DirectoryState.UNKNOWN
    paths = [
        path
        for rank, own in enumerate((slices[:2], slices[2:4], [*slices[4:], whole, block(b"next", [b"x"])]))
        for path in write(tmp_path / "segments", own, rank)
    ]
    merge(None, paths, tmp_path / "out.h5", ATTRIBUTES)
    assert content(tmp_path / "out.h5") == {b"flat": names, b"next": [b"x"]}
    with Checkpoint.open(tmp_path / "out.h5") as checkpoint:
        assert {(rows.path, rows.state) for rows in checkpoint} == {
            (b"flat", DirectoryState.COMPLETE),
            (b"next", DirectoryState.COMPLETE),
        }


def test_an_error_leaves_no_table_behind(tmp_path: Path) -> None:
    directory = tmp_path / "segments"
    directory.mkdir()
    with pytest.raises(KeyError), OrderedSegments(directory, 0, ATTRIBUTES) as segments:
        for each in tree(100).items():
            segments.add(block(*each), at_boundary=True)
        raise KeyError
    assert list(directory.iterdir()) == []
