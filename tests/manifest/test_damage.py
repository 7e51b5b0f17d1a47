"""Files that are torn, foreign, flipped or of another version: a clear error, never a wrong row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from mpingest.errors import MpingestError
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.table import VERSION, DamagedTable
from mpingest.manifest.verify import verify
from tests.manifest.damage import WAYS, examine_apart, whole_segment
from tests.manifest.trees import ATTRIBUTES, batch, content, record, row, segment

TREE = {b"": batch({b"x": row(1)}), b"d": batch({b"f%d" % i: row(i) for i in range(9)})}


@pytest.mark.parametrize("small_blocks", [True, False])
def test_whatever_is_damaged_is_told_or_harmless(tmp_path: Path, small_blocks: bool) -> None:
    """Read, verified and merged, in a process of its own, which neither crashes nor hangs nor takes much memory."""
    whole = whole_segment(tmp_path, small_blocks=small_blocks)
    cases = range(len(WAYS) * 30)
    found = examine_apart(cases, whole, tmp_path / "cases")
    assert all(found[way] > 10 for way in WAYS if way != "grown"), found  # zeros over zeros do no harm


def test_a_truncated_file_is_damage(tmp_path: Path) -> None:
    """At every border of what HDF5 stores, and everywhere between."""
    whole = whole_segment(tmp_path, small_blocks=True)
    data = whole.read_bytes()
    places = {*range(256), *range(0, len(data), 97), *range(len(data) - 64, len(data))}
    with h5py.File(whole) as file:
        for dataset in file.values():
            for index in range(dataset.id.get_num_chunks()):
                chunk = dataset.id.get_chunk_info(index)
                begin, end = chunk.byte_offset, chunk.byte_offset + chunk.size
                places |= {begin - 1, begin, begin + 1, end - 1, end, end + 1}
    torn = tmp_path / "torn.h5"
    for size in places - {len(data), len(data) + 1}:
        torn.write_bytes(data[:size])
        with pytest.raises(DamagedTable, match=r"torn\.h5"):
            content(torn)


def _foreign(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["entries"] = [1, 2, 3]


def _text(path: Path) -> None:
    path.write_text("not HDF5")


def _flipped(path: Path) -> None:
    """Damage that shows only after most of the segment has been read."""
    writer = SegmentWriter(path.parent, 8, ATTRIBUTES)
    random_sizes = np.random.default_rng(1).integers(0, 1 << 40, 20_000).tolist()
    record(writer, b"z", batch({b"%d" % i: row(size) for i, size in enumerate(random_sizes)}))
    sealed = writer.seal()
    assert sealed is not None
    with h5py.File(sealed) as file:
        chunk = file["entries"].id.get_chunk_info(2)
    data = bytearray(sealed.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    sealed.unlink()
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [_foreign, _text, _flipped])
def test_a_merge_sets_a_damaged_segment_aside(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    bad = tmp_path / "rank00009-000001.h5"
    damage(bad)
    good = [segment(tmp_path, TREE, rank) for rank in range(2)]
    output = tmp_path / "checkpoint.h5"
    result = merge(None, [good[0], bad, good[1]], output, ATTRIBUTES)
    assert content(output) == content(good[0])
    assert result.merged == good
    assert [error.path for error in result.damaged] == [bad]
    assert bad.with_name(bad.name + ".damaged").exists()
    assert not bad.exists()


def test_a_damaged_checkpoint_stops_the_merge(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.h5"
    _text(checkpoint)
    new = segment(tmp_path, TREE)
    with pytest.raises(DamagedTable, match=r"checkpoint\.h5"):
        merge(checkpoint, [new], checkpoint, ATTRIBUTES)
    assert checkpoint.read_text() == "not HDF5"
    assert new.exists()


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    newer = segment(tmp_path, TREE)
    with h5py.File(newer, "r+") as file:
        file.attrs["version"] = VERSION + 1
        file.attrs["program"] = np.bytes_("9.1")
    said = rf"format version {VERSION + 1}.*up to {VERSION}.*written by mpingest 9\.1"
    with pytest.raises(MpingestError, match=said):
        Checkpoint.open(newer)
    with pytest.raises(MpingestError, match=f"format version {VERSION + 1}"):
        merge(None, [newer], tmp_path / "checkpoint.h5", ATTRIBUTES)
    assert newer.exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda file: file["names"].__setitem__((0, slice(0, 3)), [*b"c1b"]), "names are not in order"),
        (lambda file: file["names"].__setitem__((0, 0), ord("/")), "holds /"),
        (lambda file: file["names"].__setitem__((0, 0), 0), "holds /"),
        (lambda file: file["name_bytes"].__setitem__((0, slice(0, 2)), [0, 3]), "a name is empty"),
        (lambda file: file["name_bytes"].__setitem__((0, 0), 9), "do not fit"),
        (lambda file: file["paths"].__setitem__((0, 0), ord("0")), "the index says"),
        (lambda file: file["blocks"].__setitem__("rows", [3]), "do not sum"),
        (lambda file: file["results"].__setitem__((0, 0), (9, 0, 0)), "9 is no Outcome"),
        (lambda file: file["results"].__setitem__((0, 0), (0, 9, 0)), "9 is no Change"),
        (lambda file: file["directories"].__setitem__((0, 0), (2, 7, 0)), "7 is no DirectoryState"),
        (lambda file: file["results"].__setitem__((0, 0), (2, 1, 0)), "counts other outcomes"),
        (lambda file: file.attrs.__setitem__("directories", 3), "directories"),
        (lambda file: file.__delitem__("names"), "names"),
    ],
)
def test_verify_names_the_first_problem(tmp_path: Path, change: Callable[[h5py.File], None], problem: str) -> None:
    tree = {b"a": batch({b"b": row(), b"c1": row()}), b"b": batch({b"d22": row(), b"e": row()})}
    path = segment(tmp_path, tree)
    verify(path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DamagedTable, match=problem):
        verify(path)
