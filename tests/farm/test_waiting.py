"""How loops and collectives wait: soon enough, and no oftener than pays."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from mpingest.farm import transport
from mpingest.farm.limits import SlotUse
from mpingest.farm.units import Unit, UnitKind

from .toys import ToyExecutor


@pytest.mark.parametrize("milliseconds", [0.3, 2.0, 7.0, 60.0, 900.0, 60_000.0])
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
    assert looks < 80 + min(milliseconds, 1000) / 5 + milliseconds / 15


@pytest.mark.parametrize(("ranks", "cores", "milliseconds"), [(3, 4, 5), (64, 64, 5), (9, 4, 11.25), (65, 2, 20)])
def test_a_busy_rank_looks_more_seldom_where_ranks_share_cores(ranks: int, cores: int, milliseconds: float) -> None:
    assert transport.busy_pause(ranks, cores) == pytest.approx(milliseconds / 1e3)


class TurnsCounted(ToyExecutor):
    turns = 0

    def slots(self) -> SlotUse:
        self.turns += 1
        return super().slots()


def test_a_worker_turns_no_oftener_than_something_happens() -> None:
    """But for every 5 ms, when it looks for messages."""

    def work(unit: Unit) -> Iterable[Unit]:
        if unit.kind is UnitKind.SLICE:
            return
        for _ in range(20):
            time.sleep(0.02)
            yield Unit(UnitKind.SLICE, 1, 1, b"")

    executor = TurnsCounted(work)
    began = time.monotonic()
    transport.run_farm(None, [Unit(UnitKind.SUBTREE, 0, 1, b"")], executor)
    seconds = time.monotonic() - began
    assert executor.turns < 20 * 5 + seconds / transport.LONGEST_PAUSE
