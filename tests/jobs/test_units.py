"""Units travel flat and come back as they were."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpingest.farm.units import UnitKind
from mpingest.jobs.units import PLAN_DTYPE, Slice, Subtree
from mpingest.manifest.states import Change
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

names = st.binary(min_size=1, max_size=255).filter(lambda name: b"/" not in name and b"\0" not in name)
paths = st.lists(names, max_size=4).map(b"/".join)
entries = st.tuples(
    *[st.integers(0, 2**32 - 1)] * 4, st.integers(0, 2**64 - 1), *[st.integers(-(2**63), 2**63 - 1)] * 3
)


@given(paths, st.sampled_from(Change), entries, st.booleans())
def test_subtrees(relative: bytes, change: Change, row: tuple[int, ...], followed: bool) -> None:
    subtree = Subtree(relative, change, np.array([row], ENTRY_DTYPE)[0], followed)
    unit = subtree.to_unit()
    assert (unit.kind, unit.weight) == (UnitKind.SUBTREE, 1)
    assert unit.depth == (len(relative.split(b"/")) if relative else 0)
    assert Subtree.from_unit(unit) == subtree


plans = st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans(), st.integers(-9, 9), st.integers(0, 2**63 - 1))


@given(paths, st.lists(st.tuples(names, entries, plans), min_size=1))
def test_slices(relative: bytes, rows: list[tuple[bytes, tuple[int, ...], tuple[int, ...]]]) -> None:
    file_names, stats, plan = zip(*rows, strict=True)
    batch = EntryBatch.build(file_names, list(stats))
    unit = Slice(relative, batch, np.array(list(plan), PLAN_DTYPE)).to_unit()
    assert (unit.kind, unit.weight) == (UnitKind.SLICE, len(rows))
    back = Slice.from_unit(unit)
    assert back.relative == relative
    assert back.entries.names() == list(file_names)
    assert back.entries.rows.tolist() == list(stats)
    assert back.plan.tolist() == list(plan)
