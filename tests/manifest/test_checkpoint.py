from __future__ import annotations

from pathlib import Path

import pytest

from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.merge import merge
from mpingest.manifest.states import DirectoryState
from mpingest.manifest.verify import verify
from mpingest.scan.entries import EntryBatch
from tests.manifest.trees import ATTRIBUTES, batch, row, segment

SHAPES = {
    "empty": {},
    "root only": {b"": 0},
    "deep": {b"/".join([b"d"] * depth): 1 for depth in range(30)},
    "wide": {b"d%d" % i: i % 3 for i in range(40)},
    "one large": {b"a": 1, b"b": 30, b"c": 1},
    "all empty": {b"d%d" % i: 0 for i in range(10)},
    "siblings around a subtree": {b"a": 1, b"a/b": 5, b"a.b": 5, b"a/b/c": 1, b"a0": 1, b"a/\xff": 1, b"ab": 0},
    "long names": {b"x" * 255: 3, b"x" * 255 + b"/" + b"y" * 255: 2, b"\n": 1},
}


def make(folder: Path, shape: dict[bytes, int]) -> tuple[Path, dict[bytes, EntryBatch]]:
    tree = {path: batch({b"f%03d" % i: row(i) for i in range(count)}) for path, count in shape.items()}
    output = folder / "checkpoint.h5"
    merge(None, [segment(folder, tree)] if tree else [], output, ATTRIBUTES)
    return output, tree


@pytest.mark.usefixtures("tiny_blocks")
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_reads_any_directory_and_subtree(tmp_path: Path, shape: dict[bytes, int]) -> None:
    output, tree = make(tmp_path, shape)
    verify(output)
    with Checkpoint.open(output) as checkpoint:
        assert checkpoint.summary().entries == sum(shape.values())
        assert checkpoint.summary().directories == len(shape)
        for path, entries in tree.items():
            rows = checkpoint.directory(path)
            assert rows is not None
            assert (rows.path, rows.state) == (path, DirectoryState.COMPLETE)
            assert rows.entries.pack() == entries.pack()
            below = {other for other in tree if not path or other == path or other.startswith(path + b"/")}
            assert {piece.path for piece in checkpoint.subtree(path)} == below
            for missing in (path + b"/no", path + b"\xff\xff", path + b"\x01"):
                assert checkpoint.directory(missing) is None
                assert not list(checkpoint.subtree(missing))


def test_the_order_is_by_directory_component(tmp_path: Path) -> None:
    output, _ = make(tmp_path, SHAPES["siblings around a subtree"])
    with Checkpoint.open(output) as checkpoint:
        assert [piece.path for piece in checkpoint] == [b"a", b"a/b", b"a/b/c", b"a/\xff", b"a.b", b"a0", b"ab"]


def test_a_missing_checkpoint_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Checkpoint.open(tmp_path / "checkpoint.h5")
