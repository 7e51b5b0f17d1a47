from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

NAMES = st.lists(st.binary(max_size=255))


def batch(names: list[bytes]) -> EntryBatch:
    return EntryBatch.build(names, [(0o100644, 1, 0, 0, i, 0, 0, 0) for i in range(len(names))])


@given(NAMES)
def test_names_and_pack(names: list[bytes]) -> None:
    entries = batch(names)
    assert len(entries) == len(names)
    assert entries.names() == names == [entries.name(i) for i in range(len(names))]
    assert [name for name, _ in entries] == names
    again = EntryBatch.unpack(entries.pack())
    assert again.names() == names
    assert (again.rows == entries.rows).all()


@given(NAMES, st.data())
def test_select_and_slice(names: list[bytes], data: st.DataObject) -> None:
    entries = batch(names)
    mask = data.draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    indices = np.flatnonzero(mask)[::-1]
    assert entries.select(np.array(mask, np.bool_)).names() == [
        n for n, chosen in zip(names, mask, strict=True) if chosen
    ]
    assert entries.select(indices).names() == [names[i] for i in indices]
    assert entries.select(indices).rows["inode"].tolist() == indices.tolist()
    start, stop = sorted(data.draw(st.tuples(st.integers(0, len(names)), st.integers(0, len(names)))))
    assert entries.slice(start, stop).names() == names[start:stop]
    assert entries.slice(start, stop).rows["inode"].tolist() == list(range(start, stop))


@given(st.lists(NAMES))
def test_concatenate(parts: list[list[bytes]]) -> None:
    joined = EntryBatch.concatenate([batch(names) for names in parts])
    assert joined.names() == [name for names in parts for name in names]
    assert joined.rows["inode"].tolist() == [i for names in parts for i in range(len(names))]


def test_is_directory() -> None:
    rows = np.zeros(3, ENTRY_DTYPE)
    rows["mode"] = 0o040755, 0o100644, 0o120777
    assert EntryBatch.build([b"a", b"b", b"c"], rows).is_directory().tolist() == [True, False, False]


@given(NAMES, st.integers(0, 300))
def test_a_truncated_pack_is_refused(names: list[bytes], cut: int) -> None:
    packed = batch(names).pack()
    with pytest.raises(ValueError, match="truncated"):
        EntryBatch.unpack(packed[: max(0, len(packed) - 1 - cut)])
