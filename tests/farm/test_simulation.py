"""The simulator of the bench runs: its figures stand in the documentation."""

from __future__ import annotations

import pytest

from tests.bench.simulate import MODES, SHAPES, Case


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", MODES)
def test_all_entries_are_done_in_less_than_twice_the_least_time(shape: str, mode: str) -> None:
    figures, _ = Case(shape, mode, workers=4, entries=4000).run()
    assert figures.entries == 4000
    assert figures.efficiency > 0.5
