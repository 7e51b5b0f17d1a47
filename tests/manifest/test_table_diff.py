"""Two tables against each other, checked with dictionaries."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import DirectoryState, Outcome
from mpingest.manifest.table import JobAttributes
from mpingest.manifest.table_diff import Difference, Differing, stretches
from tests.manifest.trees import ATTRIBUTES, DIRECTORY, FILE, NAMES, PATHS, batch, record, row

Tree = dict[bytes, dict[bytes, tuple[tuple[int, ...], Outcome]]]


def write(folder: Path, tree: Tree, rank: int, attributes: JobAttributes = ATTRIBUTES) -> Path:
    writer = SegmentWriter(folder, rank, attributes)
    writer.record_directory(b"", DirectoryState.COMPLETE)
    for path, entries in tree.items():
        writer.record_directory(path, DirectoryState.COMPLETE)
        rows = {name: values for name, (values, _) in entries.items()}
        record(writer, path, batch(rows), [outcome for _, outcome in entries.values()])
    sealed = writer.seal()
    assert sealed is not None
    return sealed


def differences(folder: Path, old: Tree, new: Tree) -> tuple[list[Differing], Counter[Difference]]:
    """All that differs, in order, and how many entries compare in which way."""
    counts: Counter[Difference] = Counter()
    found: list[Differing] = []
    with Checkpoint.open(write(folder, old, 1)) as first, Checkpoint.open(write(folder, new, 2)) as second:
        for stretch in stretches(first, second):
            counts.update(map(Difference, stretch.difference.tolist()))
            found += stretch.differing()
    return found, counts


OUTCOMES = st.sampled_from([Outcome.DONE, Outcome.FAILED, Outcome.UNSETTLED, Outcome.GONE])
ENTRIES = st.tuples(st.sampled_from([row(1), row(2), row(1, ctime_ns=5), row(1, DIRECTORY)]), OUTCOMES)
TREES = st.dictionaries(PATHS, st.dictionaries(NAMES, ENTRIES, max_size=12), max_size=6)
PAIRS = st.tuples(TREES, TREES) | TREES.flatmap(
    lambda tree: st.tuples(
        st.just(tree),
        st.fixed_dictionaries(
            {path: st.fixed_dictionaries({}, optional=dict.fromkeys(names, ENTRIES)) for path, names in tree.items()}
        ),
    )
)


def expected(old: Tree, new: Tree) -> dict[bytes, Difference]:
    """What is different, by definition."""
    flat = [
        {
            (path + b"/" + name if path else name): entry
            for path, entries in tree.items()
            for name, entry in entries.items()
            if entry[1] is not Outcome.GONE
        }
        for tree in (old, new)
    ]
    before, after = flat
    found = dict.fromkeys(after.keys() - before.keys(), Difference.ADDED)
    found |= dict.fromkeys(before.keys() - after.keys(), Difference.REMOVED)
    for path in before.keys() & after.keys():
        (was, old_outcome), (is_now, new_outcome) = before[path], after[path]
        if {was[0], is_now[0]} == {FILE, DIRECTORY} or (was[0] == FILE and was[4:7] != is_now[4:7]):
            found[path] = Difference.MODIFIED
        elif was[0] == FILE and was != is_now:
            found[path] = Difference.METADATA
        elif old_outcome != new_outcome:
            found[path] = Difference.OUTCOME
    return found


@pytest.mark.usefixtures("tiny_blocks")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PAIRS)
def test_finds_what_dictionaries_find(trees: tuple[Tree, Tree]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found, counts = differences(Path(folder), *trees)
    by_path = {each.path: each.difference for each in found}
    assert by_path == expected(*trees)
    assert len(by_path) == len(found)
    places = [(each.path.rpartition(b"/")[0].replace(b"/", b"\0"), each.path.rpartition(b"/")[2]) for each in found]
    assert places == sorted(places)
    there = {
        (path, name)
        for tree in trees
        for path, entries in tree.items()
        for name, (_, outcome) in entries.items()
        if outcome is not Outcome.GONE
    }
    assert counts.total() == len(there)
    assert +counts - Counter({Difference.SAME: counts[Difference.SAME]}) == Counter(by_path.values())


@pytest.mark.usefixtures("tiny_blocks")
def test_a_directory_of_many_blocks(tmp_path: Path) -> None:
    """Blocks of the two tables end at different names; the directories beside it stay what they are."""
    names = [b"f%03d" % number for number in range(200)]
    old: Tree = {b"a": {b"x": (row(), Outcome.DONE)}, b"big": {name: (row(5), Outcome.DONE) for name in names}}
    new: Tree = {b"big": {name: (row(5), Outcome.DONE) for name in names[7:]}, b"z": {b"y": (row(3), Outcome.DONE)}}
    new[b"big"][b"f100x"] = (row(), Outcome.DONE)
    new[b"big"][b"f150"] = (row(6), Outcome.DONE)
    found, counts = differences(tmp_path, old, new)
    assert [(each.path, each.difference) for each in found] == [
        (b"a/x", Difference.REMOVED),
        *((b"big/" + name, Difference.REMOVED) for name in names[:7]),
        (b"big/f100x", Difference.ADDED),
        (b"big/f150", Difference.MODIFIED),
        (b"z/y", Difference.ADDED),
    ]
    assert counts[Difference.SAME] == 192
    modified = found[-2]
    assert modified.old is not None
    assert modified.new is not None
    assert (modified.old.size, modified.new.size) == (5, 6)


def test_sizes_are_those_of_files_as_they_are_now(tmp_path: Path) -> None:
    old: Tree = {b"": {b"gone": (row(7), Outcome.DONE), b"grown": (row(1), Outcome.DONE)}}
    new: Tree = {b"": {b"grown": (row(5), Outcome.DONE), b"sub": (row(4096, DIRECTORY), Outcome.DONE)}}
    with Checkpoint.open(write(tmp_path, old, 1)) as first, Checkpoint.open(write(tmp_path, new, 2)) as second:
        (stretch, *rest) = stretches(first, second)
        parts = [stretch, *rest]
    sizes = np.concatenate([part.sizes() for part in parts]).tolist()
    assert sizes == [7, 5, 0]


def test_a_scan_has_no_outcomes_to_compare(tmp_path: Path) -> None:
    tree: Tree = {b"": {b"x": (row(), Outcome.DONE)}}
    scanned: Tree = {b"": {b"x": (row(), Outcome.SKIPPED)}}
    job, scan = write(tmp_path, tree, 1), write(tmp_path, scanned, 2, replace(ATTRIBUTES, target=""))
    for old, new in ((job, scan), (scan, job)):
        with Checkpoint.open(old) as first, Checkpoint.open(new) as second:
            assert not any(part.difference.any() for part in stretches(first, second))
