"""The census against one done by hand, in whatever parts and order it is counted."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpingest.scan.census import AGE_BINS, AGE_DAYS, SIZE_BINS, Census, Group, Part
from mpingest.scan.entries import EntryBatch, stat_row

NOW = 1_700_000_000 * 10**9
DAY = 86_400 * 10**9
FILE, DIRECTORY, LINK = 0o100644, 0o040755, 0o120777
TOP = 3

Row = tuple[int, ...]  # mode, nlink, uid, gid, inode, size, mtime, ctime
Tree = dict[bytes, list[tuple[bytes, Row]]]


def part(path: bytes, entries: list[tuple[bytes, Row]], *, whole: bool = True) -> Part:
    return Part(path, EntryBatch.build([name for name, _ in entries], [row for _, row in entries]), whole)


def facts(census: Census) -> dict:
    """All that a census says, for comparison."""
    bests = ("largest_files", "largest_directories", "fullest_directories", "oldest", "newest")
    return {
        "types": census.types.tolist(),
        "sizes": census.sizes,
        "ages": census.ages,
        "owners": census.owners,
        "linked": census.linked,
        "fanout": census.fanout.tolist(),
        "totals": (census.entries, census.files, census.directories, census.excluded, census.unreadable),
        "failures": census.failures,
    } | {name: getattr(census, name).places for name in bests}


def by_hand(tree: Tree) -> dict:
    """The same with loops over single entries."""
    types, owners = [0] * 16, {}
    sizes, ages = [Group() for _ in range(SIZE_BINS)], [Group() for _ in range(AGE_BINS)]
    linked, fanout = Group(), [0] * SIZE_BINS
    files, directories = [], []
    for path, entries in tree.items():
        total = 0
        for name, (mode, nlink, uid, _, inode, size, mtime, _) in entries:
            types[mode >> 12] += 1
            is_file = stat.S_ISREG(mode)
            owners.setdefault(uid, Group()).add(1, size if is_file else 0)
            if not is_file:
                continue
            total += size
            sizes[size.bit_length()].add(1, size)
            age = NOW - mtime
            ages[0 if age < 0 else 1 + sum(age >= days * DAY for days in AGE_DAYS)].add(1, size)
            if nlink > 1:
                linked.add(1, size)
            files.append((size, mtime, inode, os.path.join(path, name)))
        fanout[len(entries).bit_length()] += 1
        directories.append((path, len(entries), total))
    everything = Group(len(files), sum(size for size, *_ in files))
    return {
        "types": types,
        "sizes": sizes,
        "ages": ages,
        "owners": owners,
        "linked": linked,
        "fanout": fanout,
        "totals": (sum(types), everything, len(tree), 0, 0),
        "failures": [],
        "largest_files": sorted((-size, inode, path) for size, _, inode, path in files if size)[:TOP],
        "largest_directories": sorted((-size, 0, path) for path, _, size in directories if size)[:TOP],
        "fullest_directories": sorted((-count, 0, path) for path, count, _ in directories if count)[:TOP],
        "oldest": sorted((mtime, inode, path) for _, mtime, inode, path in files)[:1],
        "newest": sorted((-max(mtime, 1 - 2**63), inode, path) for _, mtime, inode, path in files)[:1],
    }


edges = [NOW - days * DAY + shift for days in (0, *AGE_DAYS) for shift in (-1, 0, 1)]
powers = [(1 << bit) + shift for bit in (0, 1, 12, 31, 32, 52, 53, 62) for shift in (-1, 0, 1)]
rows = st.tuples(
    st.sampled_from([FILE, FILE, FILE, DIRECTORY, LINK, 0o010644, 0o140755]),
    st.integers(1, 3),
    st.sampled_from([0, 1000, 2**32 - 1]),
    st.just(0),
    st.integers(1, 4),
    st.sampled_from([*powers, 2**63 - 1]) | st.integers(0, 5),
    st.sampled_from([*edges, -(2**63), 2**63 - 1]),
    st.just(0),
)
names = st.integers(0, 30).map(lambda number: b"\xff%d" % number)
trees = st.dictionaries(
    st.sampled_from([b"", b"a", b"a/b", b"c\n", b"\xfe/d"]), st.dictionaries(names, rows, max_size=8), max_size=5
).map(lambda tree: {path: list(entries.items()) for path, entries in tree.items()})


@settings(deadline=None, max_examples=60)
@given(trees)
def test_it_says_what_counting_by_hand_says(tree: Tree) -> None:
    census = Census(NOW, TOP)
    census.count([part(path, entries) for path, entries in tree.items()])
    assert facts(census) == by_hand(tree)


@settings(deadline=None, max_examples=60)
@given(trees, st.data())
def test_parts_may_be_counted_anywhere_in_any_order(tree: Tree, data: st.DataObject) -> None:
    """Entries of one directory on several ranks, ranks merged in any order, over the wire and back."""
    ranks = [Census(NOW, TOP) for _ in range(3)]
    for path, entries in tree.items():
        for begin in range(0, max(1, len(entries)), 2):
            rank = data.draw(st.sampled_from(ranks))
            rank.count([part(path, entries[begin : begin + 2], whole=False)])
    for number, rank in enumerate(ranks):
        rank.exclude(number)
        rank.fail(b"bad%d" % number, "no reason")
    first, second, third = data.draw(st.permutations(ranks))
    if data.draw(st.booleans()):
        second.merge(third)
        first.merge(Census.unpack(second.pack()))
    else:
        first.merge(second)
        first.merge(Census.unpack(third.pack()))
    assert sorted(first.finish()) == sorted((path, True) for path in tree)
    failures = [(b"bad%d" % number, "no reason") for number in range(3)]
    expected = by_hand(tree) | {"failures": failures}
    entries, files, directories, _, _ = expected["totals"]
    assert facts(first) == expected | {"totals": (entries, files, directories, 3, 3)}


def test_a_directory_that_is_closed_is_nobody_elses() -> None:
    census = Census(NOW, TOP)
    census.count(
        [part(b"large", [(b"%d" % number, (FILE, 1, 0, 0, number, 1, 0, 0))], whole=False) for number in range(5)]
    )
    census.count([part(b"other", [], whole=False)])
    census.spoil(b"other")
    census.close(b"large")
    assert census.fullest_directories.places == [(-5, 0, b"large")]
    assert census.finish() == [(b"other", False)]
    assert census.fanout.tolist()[:4] == [1, 0, 0, 1]


def test_nothing_at_all() -> None:
    census = Census(NOW, TOP)
    census.count([])
    census.count([part(b"", [])])
    assert (census.entries, census.directories, census.fanout[0]) == (0, 1, 1)
    assert facts(Census.unpack(census.pack())) == facts(census)


@pytest.mark.parametrize("top", [0, 1, 5])
def test_names_of_one_file_all_stand_a_chance(top: int) -> None:
    """Hard links tie in size and inode: which of them are named depends on their paths alone."""
    row = (FILE, 6, 0, 0, 7, 100, 0, 0)
    census = Census(NOW, top)
    census.count([part(b"d", [(name, row) for name in (b"f", b"b", b"e", b"a", b"d", b"c")])])
    assert [path for _, _, path in census.largest_files.places] == [
        b"d/" + name for name in (b"a", b"b", b"c", b"d", b"e")
    ][:top]
    assert census.linked == Group(6, 600)


def test_files_as_large_as_file_systems_allow() -> None:
    huge = 2**63 - 1
    census = Census(NOW, TOP)
    census.count([part(b"", [(b"a", (FILE, 1, 0, 0, 1, huge, 0, 0)), (b"b", (FILE, 1, 0, 0, 2, huge, 0, 0))])])
    assert census.files == Group(2, 2 * huge)
    assert census.largest_directories.places == [(-2 * huge, 0, b"")]


def test_a_real_tree() -> None:
    root = os.path.dirname(np.__file__).encode()
    census = Census(time.time_ns(), 10)
    total, kinds, largest = 0, Counter(), []
    for directory, below, files in os.walk(root):
        paths = {name: os.lstat(os.path.join(directory, name)) for name in below + files}
        batch = EntryBatch.build(list(paths), [stat_row(status) for status in paths.values()])
        census.count([Part(os.path.relpath(directory, root), batch, whole=True)])
        for name, status in paths.items():
            kinds[stat.S_IFMT(status.st_mode)] += 1
            if stat.S_ISREG(status.st_mode):
                total += status.st_size
                largest.append((-status.st_size, status.st_ino, os.path.join(os.path.relpath(directory, root), name)))
    assert census.files == Group(kinds[stat.S_IFREG], total)
    assert census.entries == kinds.total()
    assert census.largest_files.places == sorted(largest)[:10]
