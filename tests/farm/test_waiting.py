"""How loops and collectives wait: soon enough, and no oftener than pays."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mpingest.farm import transport


@pytest.mark.parametrize("milliseconds", [0.3, 2.0, 7.0, 60.0])
def test_a_request_is_noticed_soon_after_it_is_done(monkeypatch: pytest.MonkeyPatch, milliseconds: float) -> None:
    """In the time that the wait took so far: of many rounds, each would come later and later otherwise."""
    now = 0.0
    looks = 0

    def sleep(seconds: float) -> None:
        nonlocal now
        now += max(seconds, 50e-6)  # as systems do

    def done() -> bool:
        nonlocal looks
        looks += 1
        return now >= milliseconds / 1e3

    monkeypatch.setattr(transport, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    transport.wait_asleep(SimpleNamespace(Test=done))
    assert now <= 1.2 * milliseconds / 1e3
    assert looks < 80
