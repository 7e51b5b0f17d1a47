"""Merges that several ranks share: the same rows, whoever merges and wherever it is interrupted."""

from __future__ import annotations

import random
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpingest.manifest import merge as merging
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.diff import DirectoryDiff
from mpingest.manifest.merge import merge
from mpingest.manifest.ranges import split_evenly
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.manifest.table import DamagedTable, TableReader, TableWriter
from mpingest.manifest.verify import verify
from tests.manifest.ranks import Simulated
from tests.manifest.trees import ATTRIBUTES, DIRECTORY, NAMES, PATHS, batch, content, dump, flip, record, row, segment


@pytest.mark.usefixtures("tiny_blocks")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(PATHS, st.dictionaries(NAMES, st.integers(0, 99), max_size=9), max_size=6), st.integers(1, 5))
def test_what_is_merged_is_unchanged(tree: dict[bytes, dict[bytes, int]], size: int) -> None:
    found = {path: batch({name: row(each) for name, each in names.items()}) for path, names in tree.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for rank, path in enumerate(found):
            segment(folder, {path: found[path]}, rank)
        merge(None, list(folder.iterdir()), folder / "checkpoint.h5", ATTRIBUTES, Simulated(size))
        with Checkpoint.open(folder / "checkpoint.h5") as checkpoint:
            assert checkpoint.summary().directories == len(found)
            for path, entries in found.items():
                diff = DirectoryDiff(checkpoint.directory(path))
                assert not (diff.classify(entries).change != Change.UNCHANGED).any()
                assert not len(diff.vanished()[0])


@pytest.mark.usefixtures("tiny_blocks")
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(PATHS, st.integers(0, 20), min_size=1, max_size=6), min_size=1, max_size=4),
    st.integers(1, 9),
)
def test_ranges_hold_everything_once(trees: list[dict[bytes, int]], count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        paths = [
            segment(
                Path(name), {path: batch({b"%d" % i: row() for i in range(size)}) for path, size in tree.items()}, n
            )
            for n, tree in enumerate(trees)
        ]
        tables = [TableReader(path) for path in paths]
        ranges = split_evenly(tables, count)
        for table in tables:
            table.close()
    assert 1 <= len(ranges) <= count
    assert (ranges[0].first, ranges[-1].stop) == (b"", None)
    for one, other in pairwise(ranges):
        assert one.stop == other.first
        assert one.first < other.first


def test_ranges_are_even(tmp_path: Path) -> None:
    """But for a block more or less: where the blocks begin is all that is looked at."""
    names = {b"%05d" % i: row(i) for i in range(1000)}
    paths = [segment(tmp_path, {b"d%d-%d" % (i, rank): batch(names) for i in range(40)}, rank) for rank in range(3)]
    ranges = {}
    tables = [TableReader(path) for path in paths]
    for reach in split_evenly(tables, 5):
        ranges[reach] = sum(
            1000
            for rank in range(3)
            for i in range(40)
            if reach.first <= b"d%d-%d" % (i, rank) and (reach.stop is None or b"d%d-%d" % (i, rank) < reach.stop)
        )
    for table in tables:
        table.close()
    assert len(ranges) == 5
    assert sum(ranges.values()) == 120_000
    assert max(ranges.values()) < 24_000 + 3 * 8192


def test_a_range_below_a_cleared_directory_knows_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is cleared in one range, what lies far below it goes in others."""
    monkeypatch.setattr(merging, "RANGE_ROWS", 1)
    tree = {b"d/e/%04d" % i: batch({b"f%05d" % j: row(j) for j in range(3000)}) for i in range(20)}
    old = segment(tmp_path, {b"": batch({b"d": row(mode=DIRECTORY)}), b"d": batch({b"e": row(mode=DIRECTORY)}), **tree})
    writer = SegmentWriter(tmp_path, 1, ATTRIBUTES)
    record(writer, b"", batch({b"d": row(mode=DIRECTORY)}), Outcome.REMOVED)
    record(writer, b"", batch({b"d": row(mode=DIRECTORY)}))
    for number in (3, 17):  # there again, with something else in it
        record(writer, b"d/e/%04d" % number, batch({b"new%05d" % j: row(j) for j in range(5000)}))
        writer.record_directory(b"d/e/%04d" % number, DirectoryState.COMPLETE)
    new = writer.seal()
    assert new is not None
    ranks = Simulated(4)
    merge(None, [old, new], tmp_path / "out.h5", ATTRIBUTES, ranks)
    assert ranks.done.count("_make_part") > 4
    verify(tmp_path / "out.h5")
    _, rows = content(tmp_path / "out.h5")
    assert {path for path, _ in rows} == {b"", b"d/e/0003", b"d/e/0017"}
    assert len(rows) == 1 + 2 * 5000
    assert all(name.startswith(b"new") for path, name in rows if path)


def test_a_small_increment_costs_copies_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that nothing new reaches into are copied once, by rank 0, and decoded by nobody."""
    monkeypatch.setattr(merging, "RANGE_ROWS", 8192)
    names = batch({b"f%05d" % j: row(j) for j in range(1000)})
    old = segment(tmp_path, {b"d%03d" % i: names for i in range(480)}, 0)
    checkpoint, output = tmp_path / "checkpoint.h5", tmp_path / "new.h5"
    merge(None, [old], checkpoint, ATTRIBUTES)
    new = segment(tmp_path, {b"d%03d" % i: batch({b"new": row(i)}) for i in (7, 30, 31, 400)}, 1)

    calls = {"block": 0, "chunks": 0, "_write": 0}
    for owner, name in ((TableReader, "block"), (TableReader, "chunks"), (TableWriter, "_write")):
        original = getattr(owner, name)

        def counted(self: Any, *args: Any, name: str = name, original: Any = original) -> Any:
            calls[name] += 1
            return original(self, *args)

        monkeypatch.setattr(owner, name, counted)
    ranks = Simulated(4)
    merge(checkpoint, [new], output, ATTRIBUTES, ranks)
    assert ranks.done.count("_make_part") == 4
    with Checkpoint.open(output) as merged:
        assert merged.summary().entries == 480 * 1000 + 4
        blocks = len(merged._table.blocks)
    assert calls["chunks"] == blocks
    # Where something is new, and where a range begins or ends, a block and perhaps its neighbour are made anew.
    assert calls["_write"] <= 3 * (4 + 3) < blocks / 2
    assert calls["block"] <= 3 * (4 + 3) + 4


def test_blocks_stay_half_full_however_often_a_little_is_added(tmp_path: Path) -> None:
    """So that they stay worth copying."""
    names = batch({b"f%05d" % j: row(j) for j in range(0, 2000, 2)})
    checkpoint = tmp_path / "checkpoint.h5"
    merge(None, [segment(tmp_path, {b"d%02d" % i: names for i in range(60)})], checkpoint, ATTRIBUTES)
    generator = random.Random(1)
    for number in range(1, 25):
        tree = {b"d%02d" % generator.randrange(60): batch({b"f%05d" % generator.randrange(2000): row()}) for _ in "abc"}
        merge(checkpoint, [segment(tmp_path, tree, number)], checkpoint, ATTRIBUTES)
    verify(checkpoint)
    table = TableReader(checkpoint)
    assert all(table.is_half_full(index) for index in range(len(table.blocks) - 1))
    table.close()


def test_few_rows_are_merged_by_one_rank(tmp_path: Path) -> None:
    segments = [segment(tmp_path, {b"d%d" % rank: batch({b"x": row()})}, rank) for rank in range(3)]
    ranks = Simulated(4)
    merge(None, segments, tmp_path / "out.h5", ATTRIBUTES, ranks)
    assert ranks.done == ["_clean_scratch", "_age", "_age", "_age", "_plan", "_merge_alone"]


def interrupted(folder: Path) -> tuple[Path, list[Path], Path]:
    """A checkpoint, segments for groups and parts, and what they are to come to."""
    tree = {b"d%d" % i: batch({b"f%d" % j: row(j) for j in range(10)}) for i in range(9)}
    checkpoint, expected = folder / "checkpoint.h5", folder / "expected.h5"
    merge(None, [segment(folder, tree)], checkpoint, ATTRIBUTES)
    segments = [segment(folder, {b"d%d" % i: batch({b"f%d" % i: row(99)})}, i) for i in range(1, 9)]
    merge(checkpoint, segments, expected, ATTRIBUTES)
    return checkpoint, segments, expected


STEPS = ("_clean_scratch", "_age", "_merge_group", "_plan", "_make_part", "_join")


@pytest.mark.usefixtures("tiny_blocks")
@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_leaves_all_as_it_was(tmp_path: Path, step: str) -> None:
    checkpoint, segments, expected = interrupted(tmp_path)
    before = dump(checkpoint)

    def fail(name: str) -> None:
        if name == step:
            raise OSError(28, "No space left on device")

    ranks = Simulated(3, fail)
    with pytest.raises(OSError, match="No space left"):
        merge(checkpoint, segments, checkpoint, ATTRIBUTES, ranks)
    assert dump(checkpoint) == before
    assert all(path.exists() for path in segments)
    assert not list(tmp_path.glob("*.passes"))
    merge(checkpoint, segments, checkpoint, ATTRIBUTES, Simulated(2))
    assert dump(checkpoint) == dump(expected)


@pytest.mark.usefixtures("tiny_blocks")
@pytest.mark.parametrize("count", [2, 7])
def test_a_segment_found_damaged_late_is_left_out(tmp_path: Path, count: int) -> None:
    """By whoever merges groups (of 7), or parts (of 2)."""
    tree = {b"d%d" % i: batch({b"f%d" % j: row(j * 7919) for j in range(30)}) for i in range(5)}
    good = [segment(tmp_path, {b"d%d" % rank: batch({b"new": row(rank)})}, rank) for rank in range(1, count)]
    bad = segment(tmp_path, tree, 0)
    flip(bad, "entries", 5)
    ranks = Simulated(4)
    result = merge(None, [bad, *good], tmp_path / "out.h5", ATTRIBUTES, ranks)
    assert result.merged == good
    assert [error.path for error in result.damaged] == [bad]
    assert "rank00000-000001.h5 is damaged" in str(result.damaged[0])
    assert bad.with_name(bad.name + ".damaged").exists()
    assert len(content(tmp_path / "out.h5")[1]) == count - 1
    assert ranks.done.count("_clean_scratch") == 2


@pytest.mark.usefixtures("tiny_blocks")
def test_a_block_that_is_only_copied_is_checked(tmp_path: Path) -> None:
    """Nobody decodes it before rank 0 joins the parts."""
    checkpoint, segments, _ = interrupted(tmp_path)
    flip(checkpoint, "names", 0)
    with pytest.raises(DamagedTable, match=r"checkpoint\.h5 is damaged.*checksum of block 0"):
        merge(checkpoint, segments[5:], checkpoint, ATTRIBUTES, Simulated(3))
    assert all(path.exists() for path in segments)
