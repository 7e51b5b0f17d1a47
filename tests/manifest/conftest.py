from __future__ import annotations

from collections.abc import Iterator

import pytest

from mpingest.manifest import merge, ranges, table


@pytest.fixture
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Blocks, windows, passes and ranges so small that small trees cross all their borders."""
    monkeypatch.setattr(table, "LIMITS", table.BlockLimits(rows=4, name_bytes=600, directories=3, path_bytes=1100))
    monkeypatch.setattr(merge, "FAN_IN", 3)
    monkeypatch.setattr(ranges, "WINDOW_ROWS", 9)
    monkeypatch.setattr(merge, "RANGE_ROWS", 5)
    yield
