from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.export import Selection, export, iso_times
from mpingest.manifest.states import Outcome
from tests.manifest.trees import ATTRIBUTES, batch, row, segment

LAST = 2**63 - 1


@given(st.lists(st.integers(-LAST, LAST)))
def test_times_are_those_of_numpy(times: list[int]) -> None:
    """The least integer stands for no time in numpy."""
    expected = np.datetime_as_string(np.array(times, "M8[ns]")).tolist()
    assert [text.decode() for text in iso_times(np.array(times, np.int64))] == [text + "Z" for text in expected]


def test_the_least_and_the_last_time() -> None:
    assert iso_times(np.array([-LAST - 1, LAST])) == [
        b"1677-09-21T00:12:43.145224192Z",
        b"2262-04-11T23:47:16.854775807Z",
    ]


@pytest.mark.usefixtures("tiny_blocks")
@pytest.mark.parametrize("below", [b"", b"a", b"a/b", b"big"])
def test_blocks_are_cut_to_what_is_wanted(tmp_path: Path, below: bytes) -> None:
    """Also where a directory spans blocks, and its neighbours in the order are no part of it."""
    sizes = {b"a": 2, b"a.b": 1, b"a/b": 5, b"a/b/c": 1, b"ab": 1, b"big": 30, b"big/d": 2, b"biggest": 1}
    tree = {path: batch({b"f%02d" % i: row(i) for i in range(count)}) for path, count in sizes.items()}
    stream = io.BytesIO()
    with Checkpoint.open(segment(tmp_path, tree)) as table:
        export(table, Selection(below=below), "paths0", stream, lambda _: "")
        none = io.BytesIO()
        export(table, Selection((Outcome.GONE,), below=below), "paths0", none, lambda _: "")
    inside = {path for path in tree if not below or path == below or path.startswith(below + b"/")}
    expected = {b"/".join((ATTRIBUTES.root, path, name)) for path in inside for name in tree[path].names()}
    assert sorted(stream.getvalue()[:-1].split(b"\0")) == sorted(expected)
    assert none.getvalue() == b""
