from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpingest.scan.names import NameSlice

TYPED = st.lists(st.tuples(st.binary(max_size=255), st.integers(0, 255)))


def typed(content: list[tuple[bytes, int]]) -> NameSlice:
    return NameSlice.build([name for name, _ in content], [kind for _, kind in content])


@given(TYPED)
def test_names_and_pack(content: list[tuple[bytes, int]]) -> None:
    names = typed(content)
    for again in (names, NameSlice.unpack(names.pack()), NameSlice.unpack(memoryview(names.pack()))):
        assert list(zip(again.names(), again.types.tolist(), strict=True)) == content
        assert [again.name(index) for index in range(len(again))] == again.names()


@given(TYPED, st.data())
def test_select(content: list[tuple[bytes, int]], data: st.DataObject) -> None:
    mask = data.draw(st.lists(st.booleans(), min_size=len(content), max_size=len(content)))
    chosen = typed(content).select(np.array(mask, np.bool_))
    expected = [pair for pair, wanted in zip(content, mask, strict=True) if wanted]
    assert list(zip(chosen.names(), chosen.types.tolist(), strict=True)) == expected


def test_types_are_unknown_unless_given() -> None:
    assert NameSlice.build([b"a", b"b"]).types.tolist() == [0, 0]


@given(TYPED, st.integers(0, 300))
def test_a_truncated_pack_is_refused(content: list[tuple[bytes, int]], cut: int) -> None:
    packed = typed(content).pack()
    with pytest.raises(ValueError, match="truncated"):
        NameSlice.unpack(packed[: max(0, len(packed) - 1 - cut)])
