"""The coordinator: whom it asks to give what to whom, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mpingest.farm.coordinator import MAX_THIEVES, Coordinator
from mpingest.farm.limits import Limits, Rates
from mpingest.farm.messages import (
    Allot,
    Finish,
    Give,
    Idle,
    Lease,
    Message,
    ProtocolError,
    Report,
    Returned,
    Send,
    Stalled,
    Stop,
    Work,
    decode,
    encode,
)
from mpingest.farm.units import Unit, UnitKind

COUNTERS = np.zeros(1, np.int64)
IDLE = encode(Idle(COUNTERS))


def report(
    subtrees: int = 0, slices: int = 0, weight: int = 0, is_answer: bool = False, depth: int = 5, wanted: int = 0
) -> bytes:
    return encode(Report(is_answer, subtrees, depth, slices, weight, wanted, COUNTERS))


def hears(coordinator: Coordinator, *heard: tuple[int, bytes]) -> list[tuple[int, Message]]:
    """What it sends upon the last of these messages."""
    sends = [coordinator.receive(source, message) for source, message in heard][-1]
    return [(send.destination, decode(send.payload)) for send in sends]


def roots(count: int) -> Sequence[Unit]:
    return [Unit(UnitKind.SUBTREE, 0, 1, b"%d" % i) for i in range(count)]


def farm(workers: int) -> Coordinator:
    """Each worker has a unit, and no backlog that is known."""
    coordinator = Coordinator(range(1, workers + 1), roots(workers))
    coordinator.start()
    return coordinator


def test_roots_go_to_all_workers_at_the_start() -> None:
    sends = Coordinator(range(1, 4), roots(6)).start()
    assert [(send.destination, len(decode(send.payload).units)) for send in sends] == [(1, 2), (2, 2), (3, 1)]


def test_roots_that_are_left_go_to_whoever_is_idle() -> None:
    coordinator = Coordinator(range(1, 4), roots(6))
    coordinator.start()
    assert hears(coordinator, (2, IDLE)) == [(2, Work(list(roots(6)[5:])))]


def test_without_roots_it_is_over_at_once() -> None:
    coordinator = Coordinator(range(1, 3), [])
    assert [decode(send.payload) for send in coordinator.start()] == [Finish(), Finish()]
    assert coordinator.finished


def test_the_largest_backlog_of_subtrees_is_asked_first() -> None:
    coordinator = farm(4)
    backlogs = [(1, report(subtrees=3)), (2, report(subtrees=9)), (3, report(slices=50, weight=50_000))]
    assert hears(coordinator, *backlogs, (4, IDLE)) == [(2, Give(UnitKind.SUBTREE, [4]))]


def test_shallow_subtrees_promise_more_than_many_deep_ones() -> None:
    coordinator = farm(3)
    backlogs = [(1, report(subtrees=9, depth=5)), (2, report(subtrees=1, depth=3))]
    assert hears(coordinator, *backlogs, (3, IDLE)) == [(2, Give(UnitKind.SUBTREE, [3]))]


def test_no_message_is_remembered_for_ever() -> None:
    coordinator = farm(3)
    for number in range(1000):
        hears(coordinator, (1, report(subtrees=1 + number)))
    assert len(coordinator._subtrees._heap) < 20


def test_slices_are_stolen_where_no_subtree_is_left() -> None:
    coordinator = farm(3)
    backlogs = [(1, report(slices=3, weight=30)), (2, report(slices=2, weight=2000))]
    assert hears(coordinator, *backlogs, (3, IDLE)) == [(2, Give(UnitKind.SLICE, [3]))]


def test_weight_that_cannot_be_stolen_does_not_count() -> None:
    coordinator = farm(3)
    backlogs = [(1, report(slices=0, weight=1000)), (2, report(slices=1, weight=5))]
    assert hears(coordinator, *backlogs, (3, IDLE)) == [(2, Give(UnitKind.SLICE, [3]))]


def test_one_give_names_no_more_thieves_than_there_are_units_or_the_bound() -> None:
    coordinator = farm(40)
    idle = [(rank, IDLE) for rank in range(2, 41)]
    assert hears(coordinator, *idle, (1, report(subtrees=2))) == [(1, Give(UnitKind.SUBTREE, [2, 3]))]
    [(_, give)] = hears(coordinator, (1, report(subtrees=100, is_answer=True)))
    assert give == Give(UnitKind.SUBTREE, list(range(4, 4 + MAX_THIEVES)))


def test_a_victim_is_asked_once_until_it_answers() -> None:
    coordinator = farm(3)
    hears(coordinator, (1, report(subtrees=9)), (2, IDLE))
    assert hears(coordinator, (3, IDLE)) == []
    assert hears(coordinator, (1, report(subtrees=8))) == []  # crossed the GIVE
    assert hears(coordinator, (1, report(subtrees=5, is_answer=True))) == [(1, Give(UnitKind.SUBTREE, [3]))]


def test_the_end_waits_for_the_answer_to_every_give() -> None:
    coordinator = farm(2)
    hears(coordinator, (1, report(subtrees=1)), (2, IDLE))  # rank 1 is told to give to 2, and has begun its last unit
    assert hears(coordinator, (1, IDLE), (2, IDLE)) == []
    assert hears(coordinator, (1, report(is_answer=True))) == [(1, Finish()), (2, Finish())]
    assert coordinator.finished


def test_after_stop_nothing_is_handed_out_or_stolen() -> None:
    coordinator = Coordinator(range(1, 3), roots(4))
    coordinator.start()
    assert [decode(send.payload) for send in coordinator.stop()] == [Stop(), Stop()]
    assert coordinator.stop() == []
    assert hears(coordinator, (1, report(subtrees=7)), (2, IDLE)) == []
    assert coordinator.share.units_dropped == 1


def test_a_rank_that_stalls_has_all_stopped() -> None:
    coordinator = farm(2)
    assert hears(coordinator, (2, encode(Stalled(b"/dead\xff")))) == [(1, Stop()), (2, Stop())]
    assert hears(coordinator, (1, encode(Stalled(b"/too")))) == []
    assert coordinator.stalled == [(2, "/dead\udcff"), (1, "/too")]


def test_counters_stand_in_the_row_of_their_rank() -> None:
    coordinator = farm(3)
    assert coordinator.counters.shape == (4, 0)
    hears(coordinator, (2, encode(Idle(np.array([5, 6])))))
    assert coordinator.counters.tolist() == [[0, 0], [0, 0], [5, 6], [0, 0]]


@pytest.mark.parametrize(
    "heard",
    [[(1, IDLE), (1, IDLE)], [(1, report(is_answer=True))], [(1, encode(Work([])))], [(1, encode(Returned()))]],
    ids=["IDLE twice", "an answer unasked", "WORK", "slots unasked"],
)
def test_what_cannot_be_is_refused(heard: Sequence[tuple[int, bytes]]) -> None:
    with pytest.raises(ProtocolError):
        hears(farm(2), *heard)


def rates(stats: float) -> Limits:
    return Limits(rates=Rates(stats))


def told(sends: Sequence[Send]) -> list[tuple[int, Message]]:
    return [(send.destination, decode(send.payload)) for send in sends]


def test_a_limit_is_shared_among_those_that_work() -> None:
    coordinator = Coordinator(range(1, 5), roots(2))
    coordinator.start()
    assert told(coordinator.allot(rates(1000.0))) == [(1, Allot(Rates(500.0))), (2, Allot(Rates(500.0)))]
    assert coordinator.allot(rates(1000.0)) == []
    assert coordinator.allot(rates(1010.0)) == [], "too little to be told"
    hears(coordinator, (2, IDLE))
    assert told(coordinator.allot(rates(1000.0))) == [(1, Allot(Rates(1000.0)))]


def test_a_worker_that_wants_a_slot_gets_it_at_once() -> None:
    coordinator = farm(2)
    assert coordinator.allot(Limits(1)) == []
    assert hears(coordinator, (1, report(wanted=3))) == [(1, Lease(1))]


def test_a_slot_that_nobody_wants_is_asked_back_from_an_idle_worker() -> None:
    coordinator = farm(3)
    coordinator.allot(Limits(1))
    hears(coordinator, (1, report(wanted=1)))
    assert hears(coordinator, (2, report(wanted=1))) == []
    assert hears(coordinator, (1, IDLE)) == [(1, Lease(0))]
    assert hears(coordinator, (1, encode(Returned()))) == [(2, Lease(1))]


def test_the_end_waits_for_slots_to_be_returned() -> None:
    coordinator = farm(2)
    coordinator.allot(Limits(1))
    hears(coordinator, (1, report(wanted=1)), (2, report(wanted=1)))
    assert hears(coordinator, (1, IDLE)) == [(1, Lease(0))]
    assert hears(coordinator, (2, IDLE)) == []
    assert hears(coordinator, (1, encode(Returned()))) == [(1, Finish()), (2, Finish())]
