from __future__ import annotations

import random
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpingest.manifest.checkpoint import Checkpoint, DirectoryRows
from mpingest.manifest.diff import DirectoryDiff, HashIndex, NameIndex, compare, settled
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change, Outcome
from mpingest.scan.entries import ENTRY_DTYPE
from mpingest.scan.names import NameSlice
from tests.manifest.trees import ATTRIBUTES, DIRECTORY, FILE, NAMES, PATHS, batch, record, row, segment

SYMLINK = 0o120777


@pytest.mark.parametrize(
    ("known", "outcome", "found", "change"),
    [
        (row(), Outcome.DONE, row(), Change.UNCHANGED),
        (row(), Outcome.SKIPPED, row(), Change.UNCHANGED),
        (row(), Outcome.FAILED, row(), Change.RETRY),
        (row(), Outcome.FAILED, row(9), Change.RETRY),
        (row(), Outcome.UNSETTLED, row(), Change.MODIFIED),
        (row(), Outcome.GONE, row(), Change.NEW),
        (row(), Outcome.RELEASED, row(), Change.UNCHANGED),
        (row(), Outcome.RELEASED, row(9), Change.MODIFIED),
        (row(), Outcome.RELEASED, row(ctime_ns=1), Change.METADATA),
        (row(mode=DIRECTORY), Outcome.RELEASED, row(mode=DIRECTORY), Change.NEW),
        (row(), Outcome.DONE, row(9), Change.MODIFIED),
        (row(), Outcome.SKIPPED, row(9), Change.MODIFIED),
        (row(), Outcome.DONE, row(mtime_ns=1), Change.MODIFIED),
        (row(), Outcome.DONE, row(inode=1), Change.MODIFIED),
        (row(), Outcome.DONE, row(mode=SYMLINK), Change.MODIFIED),
        (row(), Outcome.DONE, row(mode=DIRECTORY), Change.MODIFIED),
        (row(mode=DIRECTORY), Outcome.DONE, row(mode=FILE), Change.MODIFIED),
        (row(), Outcome.DONE, row(ctime_ns=1), Change.METADATA),
        (row(), Outcome.DONE, row(mode=FILE ^ 0o100), Change.METADATA),
        (row(), Outcome.DONE, row(uid=0), Change.METADATA),
        (row(), Outcome.DONE, row(gid=0), Change.METADATA),
        (row(), Outcome.DONE, row(nlink=2), Change.UNCHANGED),
        (row(), Outcome.DONE, row(9, ctime_ns=1, uid=0), Change.MODIFIED),
        (
            row(mode=DIRECTORY),
            Outcome.DONE,
            row(9, DIRECTORY, nlink=9, inode=9, mtime_ns=9, ctime_ns=9),
            Change.UNCHANGED,
        ),
        (row(mode=DIRECTORY), Outcome.UNSETTLED, row(9, DIRECTORY), Change.UNCHANGED),
        (row(mode=DIRECTORY), Outcome.DONE, row(mode=DIRECTORY ^ 0o20), Change.METADATA),
        (row(mode=DIRECTORY), Outcome.DONE, row(mode=DIRECTORY, uid=0), Change.METADATA),
        (row(mode=DIRECTORY), Outcome.DONE, row(mode=DIRECTORY, gid=0), Change.METADATA),
        (row(mode=DIRECTORY), Outcome.FAILED, row(mode=DIRECTORY), Change.RETRY),
        (row(mode=DIRECTORY), Outcome.GONE, row(mode=DIRECTORY), Change.NEW),
    ],
)
def test_compare(known: tuple[int, ...], outcome: Outcome, found: tuple[int, ...], change: Change) -> None:
    old, new = np.array([known, row()], ENTRY_DTYPE), np.array([found, row()], ENTRY_DTYPE)
    outcomes = np.array([outcome, Outcome.DONE], np.uint8)
    assert compare(old, outcomes, new).tolist() == [change, Change.UNCHANGED]


SECOND, MS = 10**9, 10**6
NOW = 1000 * SECOND + 1


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "expected"),
    [
        (1, 1, True),
        (NOW, 1, False),
        (NOW - 50 * MS, 1, False),
        (NOW + 50 * MS, 1, False),
        (NOW - 51 * MS, 1, True),
        (NOW + 3600 * SECOND, 1, True),  # an mtime in the future is set by hand, and its ctime tells of it
        (1, NOW, False),
        (1, NOW - 50 * MS, False),
        (1, NOW - 51 * MS, True),
        (1, NOW + 3600 * SECOND, False),
        (998 * SECOND, 998 * SECOND, False),
        (998 * SECOND, 998 * SECOND + 1, True),
        (998 * SECOND + 1, 990 * SECOND, True),
        (996 * SECOND, 996 * SECOND, True),
        (996 * SECOND, 998 * SECOND, False),
    ],
)
def test_settled(mtime_ns: int, ctime_ns: int, expected: bool) -> None:
    rows = [row(mtime_ns=mtime_ns, ctime_ns=ctime_ns), row(mode=DIRECTORY, mtime_ns=NOW, ctime_ns=NOW)]
    assert settled(np.array(rows, ENTRY_DTYPE), NOW).tolist() == [expected, True]


@settings(max_examples=20, deadline=None)
@given(st.dictionaries(PATHS, st.dictionaries(NAMES, st.integers(0, 99).map(row)), max_size=4), st.randoms())
def test_what_was_merged_is_unchanged(tree: dict[bytes, dict[bytes, tuple[int, ...]]], random: random.Random) -> None:
    with tempfile.TemporaryDirectory() as name:
        output = Path(name) / "checkpoint.h5"
        segments = [segment(Path(name), {path: batch(entries) for path, entries in tree.items()})] if tree else []
        merge(None, segments, output, ATTRIBUTES)
        with Checkpoint.open(output) as checkpoint:
            for path, entries in tree.items():
                diff = DirectoryDiff(checkpoint.directory(path))
                names = random.sample(list(entries), len(entries))
                for part in (names[0::2], names[1::2]):
                    assert not diff.classify(batch({name: entries[name] for name in part})).change.any()
                assert not len(diff.vanished()[0])


def test_new_changed_and_vanished(tmp_path: Path) -> None:
    with Checkpoint.open(segment(tmp_path, {b"d": batch({b"a": row(), b"b": row(), b"c": row()})})) as checkpoint:
        diff = DirectoryDiff(checkpoint.directory(b"d"))
    assert diff.classify(batch({b"new": row(), b"c": row(5)})).change.tolist() == [Change.NEW, Change.MODIFIED]
    assert diff.classify(batch({b"a": row()})).change.tolist() == [Change.UNCHANGED]
    entries, results = diff.vanished()
    assert (entries.names(), results["outcome"].tolist()) == ([b"b"], [Outcome.DONE])


def test_what_was_released_has_not_vanished(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, 0, ATTRIBUTES)
    record(writer, b"d", batch({b"a": row(), b"b": row()}), [Outcome.RELEASED, Outcome.DONE])
    with Checkpoint.open(writer.seal() or tmp_path) as checkpoint:
        diff = DirectoryDiff(checkpoint.directory(b"d"))
        assert checkpoint.summary().outcomes[Outcome.RELEASED] == 1
    assert diff.vanished()[0].names() == [b"b"]
    assert diff.released()[0].names() == [b"a"]


def test_what_is_left_out_of_a_scan_has_not_vanished(tmp_path: Path) -> None:
    with Checkpoint.open(segment(tmp_path, {b"d": batch({b"a": row(), b"b": row(), b"c": row()})})) as checkpoint:
        diff = DirectoryDiff(checkpoint.directory(b"d"))
    diff.classify(batch({b"a": row()}))
    diff.known(NameSlice.build([]))
    diff.known(NameSlice.build([b"c", b"never recorded"]))
    assert diff.vanished()[0].names() == [b"b"]


def test_a_directory_that_nothing_is_known_of() -> None:
    diff = DirectoryDiff(None)
    diff.known(NameSlice.build([b"a"]))
    assert diff.classify(batch({b"a": row(), b"b": row()})).change.tolist() == [Change.NEW, Change.NEW]
    assert diff.classify(batch({})).change.tolist() == []
    assert not len(diff.vanished()[0])


@given(st.sets(NAMES), st.sets(NAMES), st.sampled_from([1, 3, 1 << 64]))
def test_hashes_find_what_a_dictionary_finds(known: set[bytes], others: set[bytes], hashes: int) -> None:
    """Also where nearly all hashes collide."""
    entries = batch({name: row() for name in known})
    wanted = batch({name: row() for name in [*others, *known]})
    index = HashIndex(entries, lambda name: hash(name) % hashes - hashes // 2)
    assert index.locate(wanted).tolist() == NameIndex(entries).locate(wanted).tolist()


def test_a_huge_directory(tmp_path: Path) -> None:
    count = 70_000
    entries = batch({b"%d" % i: row(i) for i in range(count)})
    with Checkpoint.open(segment(tmp_path, {b"d": entries, b"e": batch({})})) as checkpoint:
        rows = checkpoint.directory(b"d")
        assert [len(piece.entries) for piece in checkpoint.subtree(b"d")] == [8192] * 8 + [count - 8 * 8192]
    assert isinstance(rows, DirectoryRows)
    diff = DirectoryDiff(rows)
    assert not diff.classify(entries.slice(1, count)).change.any()
    assert diff.vanished()[0].names() == [b"0"]
