"""Units travel flat and come back as they were."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpingest.farm.units import UnitKind
from mpingest.handler.operations import Operation
from mpingest.jobs.units import PLAN_DTYPE, Slice, Subtree, Sums, Unseen, is_slice
from mpingest.manifest.block import RESULT_DTYPE
from mpingest.manifest.diff import Known
from mpingest.manifest.states import Change
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch
from mpingest.scan.names import NameSlice

names = st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name)
paths = st.lists(names, max_size=4).map(b"/".join)
entries = st.tuples(
    *[st.integers(0, 2**32 - 1)] * 4, st.integers(0, 2**64 - 1), *[st.integers(-(2**63), 2**63 - 1)] * 3
)


@given(paths, st.sampled_from(Change), entries, st.booleans(), st.booleans(), st.none() | paths)
def test_subtrees(
    relative: bytes, change: Change, row: tuple[int, ...], followed: bool, revisited: bool, was: bytes | None
) -> None:
    subtree = Subtree(relative, change, np.array([row], ENTRY_DTYPE)[0], followed, revisited, was)
    unit = subtree.to_unit()
    assert (unit.kind, unit.weight) == (UnitKind.SUBTREE, 1)
    assert unit.depth == (len(relative.split(b"/")) if relative else 0)
    assert Subtree.from_unit(unit) == subtree


plans = st.tuples(
    st.integers(0, 5),
    st.booleans(),
    st.integers(0, 5),
    *[st.booleans()] * 2,
    st.integers(-9, 9),
    st.integers(0, 2**63 - 1),
)


@given(paths, st.lists(st.tuples(names, entries, plans), min_size=1), st.booleans())
def test_slices(relative: bytes, rows: list[tuple[bytes, tuple[int, ...], tuple[int, ...]]], fresh: bool) -> None:
    file_names, stats, plan = zip(*rows, strict=True)
    batch = EntryBatch.build(file_names, list(stats))
    unit = Slice(relative, batch, np.array(list(plan), PLAN_DTYPE), fresh).to_unit()
    assert (unit.kind, unit.weight) == (UnitKind.SLICE, len(rows))
    back = Slice.from_unit(unit)
    assert (back.relative, back.fresh) == (relative, fresh)
    assert back.entries.names() == list(file_names)
    assert back.entries.rows.tolist() == list(stats)
    assert back.plan.tolist() == list(plan)


recorded = st.tuples(st.booleans(), entries, st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(-9, 9)))


flags = st.tuples(st.booleans(), st.booleans())


@given(
    paths,
    st.sampled_from(Operation),
    flags,
    st.lists(st.tuples(names, recorded), min_size=1),
    st.none() | paths,
)
def test_names_to_look_at(
    relative: bytes,
    operation: Operation,
    flags: tuple[bool, bool],
    rows: list[tuple[bytes, tuple[bool, tuple, tuple]]],
    was: bytes | None,
) -> None:
    file_names, kept = zip(*rows, strict=True)
    found, stats, results = zip(*kept, strict=True)
    known = Known(np.array(found), np.array(list(stats), ENTRY_DTYPE), np.array(list(results), RESULT_DTYPE))
    unit = Unseen(relative, operation, *flags, NameSlice.build(file_names, [8] * len(rows)), known, was).to_unit()
    assert (unit.kind, unit.weight, is_slice(unit)) == (UnitKind.SLICE, len(rows), False)
    back = Unseen.from_unit(unit)
    assert (back.relative, back.operation, back.was) == (relative, operation, was)
    assert (back.followed, back.fresh) == flags
    assert back.names.names() == list(file_names)
    assert back.known.found.tolist() == list(found)
    assert back.known.rows.tolist() == list(stats)
    assert back.known.results.tolist() == list(results)


checksums = st.sampled_from(["", "sha2:AAAA=", "d41d8cd98f00b204e9800998ecf8427e"])


@given(paths, st.lists(st.tuples(names, entries, st.integers(0, 2**31 - 1), checksums), min_size=1))
def test_checksums_to_compare(relative: bytes, rows: list[tuple[bytes, tuple[int, ...], int, str]]) -> None:
    file_names, stats, replicas, stored = zip(*rows, strict=True)
    batch = EntryBatch.build(file_names, list(stats))
    unit = Sums(relative, batch, np.array(replicas, np.int32), stored).to_unit()
    assert (unit.kind, unit.weight, is_slice(unit)) == (UnitKind.SLICE, len(rows), False)
    back = Sums.from_unit(unit)
    assert (back.relative, back.entries.names(), tuple(back.checksums)) == (relative, list(file_names), stored)
    assert back.entries.rows.tolist() == list(stats)
    assert back.replicas.tolist() == list(replicas)
