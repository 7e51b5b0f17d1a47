"""The worker: what it runs first, what it gives away, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from mpingest.farm.messages import (
    Finish,
    Give,
    Idle,
    Message,
    ProtocolError,
    Report,
    Send,
    Stop,
    Work,
    decode,
    encode,
)
from mpingest.farm.units import Unit, UnitKind
from mpingest.farm.worker import Worker

SUBTREE, SLICE = UnitKind.SUBTREE, UnitKind.SLICE
NOTHING = np.zeros(1, np.int64)


def unit(kind: UnitKind, depth: int, name: str = "") -> Unit:
    return Unit(kind, depth, 10 if kind is SLICE else 1, name.encode())


def worker_with(units: Sequence[Unit], running: bool = True) -> Worker:
    """A worker that has been given the units, and a unit that it runs before them."""
    worker = Worker()
    worker.speak(NOTHING)
    first = [unit(SLICE, 0)] if running else []
    worker.receive(0, encode(Work([*first, *units])))
    if running:
        worker.take(any_room)
    return worker


def any_room(kind: UnitKind) -> bool:
    return True


def decoded(sends: Sequence[Send]) -> list[tuple[int, Message]]:
    return [(send.destination, decode(send.payload)) for send in sends]


def given(worker: Worker, kind: UnitKind, thieves: Sequence[int]) -> list[list[Unit]]:
    sends = decoded(worker.receive(0, encode(Give(kind, thieves))))
    assert [destination for destination, _ in sends] == list(thieves)
    return [work.units for _, work in sends]


def test_slices_run_before_subtrees_and_deep_before_shallow() -> None:
    units = [unit(SUBTREE, 1), unit(SUBTREE, 3, "a"), unit(SUBTREE, 3, "b"), unit(SUBTREE, 2), unit(SLICE, 1)]
    worker = worker_with(units, running=False)
    taken = [worker.take(any_room) for _ in units]
    assert taken == [units[4], units[2], units[1], units[3], units[0]]
    assert worker.take(any_room) is None


def test_only_what_there_is_room_for_is_taken() -> None:
    worker = worker_with([unit(SLICE, 1), unit(SUBTREE, 1)])
    assert worker.take(lambda kind: kind is SUBTREE) == unit(SUBTREE, 1)
    assert worker.take(lambda kind: kind is SUBTREE) is None
    assert worker.waiting_slices == 1


def test_the_shallowest_half_is_given() -> None:
    units = [unit(SUBTREE, depth) for depth in (5, 1, 4, 2, 3, 6)]
    assert given(worker_with(units), SUBTREE, [7]) == [[units[1], units[3], units[4]]]


def test_several_thieves_get_equal_parts() -> None:
    worker = worker_with([unit(SLICE, 1, str(i)) for i in range(50)])
    parts = given(worker, SLICE, [3, 4, 5])
    assert sorted(map(len, parts)) == [12, 13, 13]
    assert worker.waiting == 12


def test_a_busy_worker_gives_its_last_unit_and_an_empty_one_gives_nothing() -> None:
    worker = worker_with([unit(SLICE, 1)])
    assert given(worker, SLICE, [2, 3]) == [[unit(SLICE, 1)], []]
    assert decoded(worker.speak(NOTHING))[0][1].is_answer


@pytest.mark.parametrize("kind", [SUBTREE, SLICE])
def test_a_worker_that_runs_nothing_keeps_one(kind: UnitKind) -> None:
    worker = worker_with([unit(kind, 1)], running=False)
    assert given(worker, kind, [2]) == [[]]
    assert worker.waiting == 1


def test_a_backlog_of_n_is_reported_in_log_n_messages() -> None:
    worker = worker_with([])
    reports = 0
    for _ in range(1000):
        worker.add([unit(SUBTREE, 1)])
        reports += len(worker.speak(NOTHING))
    while worker.take(any_room):
        reports += len(worker.speak(NOTHING))
    assert 15 < reports < 25


def test_counters_are_reported_when_due_and_changed() -> None:
    worker = worker_with([])
    assert worker.speak(NOTHING, due=True) == []
    assert worker.speak(NOTHING + 1) == []
    [(_, report)] = decoded(worker.speak(NOTHING + 1, due=True))
    assert report.counters.tolist() == [1]


def test_idle_is_said_once() -> None:
    worker = Worker()
    assert [type(message) for _, message in decoded(worker.speak(NOTHING))] == [Idle]
    assert worker.speak(NOTHING) == []
    worker.receive(3, encode(Work([])))
    assert [type(message) for _, message in decoded(worker.speak(NOTHING))] == [Idle]


def test_a_give_that_crosses_idle_is_answered() -> None:
    worker = Worker()
    worker.speak(NOTHING)
    assert given(worker, SUBTREE, [2]) == [[]]
    [(_, report)] = decoded(worker.speak(NOTHING))
    assert isinstance(report, Report)
    assert report.is_answer


def test_stop_drops_what_waits_and_what_comes() -> None:
    worker = worker_with([unit(SUBTREE, 1)])
    worker.receive(0, encode(Stop()))
    worker.add([unit(SUBTREE, 1), unit(SLICE, 1)])
    worker.finish(unit(SLICE, 0))
    assert worker.take(any_room) is None
    assert worker.share.units_dropped == 3
    assert isinstance(decoded(worker.speak(NOTHING))[-1][1], Idle)


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        (worker_with([unit(SUBTREE, 1)]), Finish()),
        (worker_with([]), Finish()),
        (Worker(), Finish()),
        (worker_with([]), Work([])),
        (worker_with([]), Idle(NOTHING)),
    ],
    ids=["FINISH with a unit", "FINISH while running", "FINISH before IDLE", "WORK unasked", "IDLE"],
)
def test_what_cannot_be_is_refused(worker: Worker, message: Message) -> None:
    with pytest.raises(ProtocolError):
        worker.receive(0, encode(message))


def test_nothing_is_heard_after_finish() -> None:
    worker = Worker()
    worker.speak(NOTHING)
    worker.receive(0, encode(Finish()))
    assert worker.finished
    with pytest.raises(ProtocolError):
        worker.receive(0, encode(Stop()))
