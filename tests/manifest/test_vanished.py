"""What has vanished is found again by its inode, and is what it was before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.manifest.vanished import VanishedIndex
from mpingest.scan.entries import ENTRY_DTYPE
from tests.manifest.trees import ATTRIBUTES, DIRECTORY, FILE, batch, row

LINK = 0o120777
Entries = dict[bytes, tuple[tuple[int, ...], Outcome, Change, int]]


def checkpoint(folder: Path, tree: dict[bytes, Entries]) -> Checkpoint:
    writer = SegmentWriter(folder, 0, ATTRIBUTES)
    for path, entries in tree.items():
        rows = {name: entry[0] for name, entry in entries.items()}
        outcomes, changes, codes = (
            np.array([entry[i] for entry in entries.values()], dtype) for i, dtype in ((1, "u1"), (2, "u1"), (3, "<i4"))
        )
        writer.record(path, batch(rows), changes, outcomes, codes)
        writer.record_directory(path, DirectoryState.COMPLETE)
    sealed = writer.seal()
    assert sealed is not None
    merge(None, [sealed], folder / "checkpoint.h5", ATTRIBUTES)
    return Checkpoint.open(folder / "checkpoint.h5")


def gone(
    inode: int, mode: int = FILE, *, change: Change = Change.DELETED, code: int = 0, **fields: int
) -> tuple[tuple[int, ...], Outcome, Change, int]:
    return row(mode=mode, inode=inode, **fields), Outcome.GONE, change, code


def found(index: VanishedIndex, stat_row: tuple[int, ...]) -> list[tuple[bytes, bytes]]:
    return [(rows.path, rows.entries.name(0)) for rows in index.like(np.array([stat_row], ENTRY_DTYPE)[0])]


def test_only_what_is_gone_and_is_the_same(tmp_path: Path) -> None:
    tree = {
        b"": {b"file": gone(2**64 - 1, size=5), b"there": (row(inode=3), Outcome.DONE, Change.NEW, 0)},
        b"a": {b"link": gone(5, LINK), b"one": gone(6), b"two": gone(6), b"dir": gone(7, DIRECTORY, size=4096)},
    }
    with checkpoint(tmp_path, tree) as opened:
        index = VanishedIndex.of(opened)
        assert len(index.inodes) == 4
        assert found(index, row(5, inode=2**64 - 1)) == [(b"", b"file")]
        assert found(index, row(5, inode=2**64 - 1, ctime_ns=1, uid=7, nlink=2)) == [(b"", b"file")]
        assert found(index, row(6, inode=2**64 - 1)) == found(index, row(5, inode=2**64 - 1, mtime_ns=1)) == []
        assert found(index, row(inode=3)) == found(index, row(inode=5, mode=LINK)) == []
        assert found(index, row(inode=6)) == [(b"a", b"one"), (b"a", b"two")]
        assert found(index, row(inode=6, mode=DIRECTORY)) == []
        assert found(index, row(size=64, inode=7, mode=DIRECTORY)) == [(b"a", b"dir")]


def test_nothing_is_gone(tmp_path: Path) -> None:
    with checkpoint(tmp_path, {b"": {b"there": (row(), Outcome.DONE, Change.NEW, 0)}}) as opened:
        assert found(VanishedIndex.of(opened), row()) == []


trees = st.dictionaries(
    st.sampled_from([b"", b"a", b"a/b", b"a.b", b"c"]),
    st.dictionaries(
        st.sampled_from([b"%d" % i for i in range(9)]),
        st.tuples(st.integers(1, 9), st.sampled_from([Outcome.DONE, Outcome.GONE])),
    ),
)


@pytest.mark.usefixtures("tiny_blocks")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees)
def test_whatever_the_blocks(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, dict[bytes, tuple[int, Outcome]]]
) -> None:
    full = {
        path: {name: (row(inode=inode), outcome, Change.NEW, 0) for name, (inode, outcome) in entries.items()}
        for path, entries in tree.items()
    }
    if not full:
        return
    with checkpoint(tmp_path_factory.mktemp("table"), full) as opened:
        index = VanishedIndex.of(opened)
        for inode in range(1, 10):
            expected = {
                (path, name)
                for path, entries in tree.items()
                for name, entry in entries.items()
                if entry == (inode, Outcome.GONE)
            }
            assert set(found(index, row(inode=inode))) == expected


def test_rows_under_another_path_are_what_they_were(tmp_path: Path) -> None:
    entries = {
        b"changing": gone(1, change=Change.MODIFIED, code=2),
        b"done": gone(2, code=3),
        b"failed": (row(inode=3), Outcome.FAILED, Change.NEW, -5),
    }
    with checkpoint(tmp_path, {b"a": entries}) as opened:
        rows = opened.directory(b"a")
        assert rows is not None
        moved = rows.moved_to(b"b/c")
        assert (moved.path, moved.state, moved.entries.names()) == (b"b/c", DirectoryState.COMPLETE, list(entries))
        assert moved.results.tolist() == [
            (Outcome.UNSETTLED, Change.UNCHANGED, 2),
            (Outcome.DONE, Change.UNCHANGED, 3),
            (Outcome.FAILED, Change.NEW, -5),
        ]
        assert rows.results["outcome"].tolist() == [Outcome.GONE, Outcome.GONE, Outcome.FAILED], "they are a copy"
