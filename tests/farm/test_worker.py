"""The worker: what it runs first, what it gives away, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from mpingest.farm.executor import SMALLEST_PART, Divisible
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
from mpingest.farm.worker import FEW_SLICES, MOST_PARTS, Worker

SUBTREE, SLICE = UnitKind.SUBTREE, UnitKind.SLICE
NOTHING = np.zeros(1, np.int64)


def unit(kind: UnitKind, depth: int, name: str = "") -> Unit:
    return Unit(kind, depth, 10 if kind is SLICE else 1, name.encode())


def worker_with(units: Sequence[Unit], running: bool = True) -> Worker:
    """A worker that has been given the units, and a unit that it runs before them."""
    worker = Worker()
    first = [unit(SLICE, 0)] if running else []
    worker.receive(0, encode(Work([*first, *units])), none)
    if running:
        worker.take(any_room)
    return worker


def none(parts: int) -> list[Unit]:
    """What an executor divides off that cannot divide anything."""
    return []


def said(
    worker: Worker,
    counters: npt.NDArray[np.int64] = NOTHING,
    divisible: int = 0,
    due: bool = False,
    quiet: bool = False,
) -> list[Message]:
    sends = worker.speak(counters, Divisible.of(divisible, soon=0), due=due, quiet=quiet)
    return [message for _, message in decoded(sends)]


def any_room(kind: UnitKind) -> bool:
    return True


def decoded(sends: Sequence[Send]) -> list[tuple[int, Message]]:
    return [(send.destination, decode(send.payload)) for send in sends]


def given(worker: Worker, kind: UnitKind, thieves: Sequence[int]) -> list[list[Unit]]:
    sends = decoded(worker.receive(0, encode(Give(kind, thieves)), none))
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


def test_the_shallowest_are_given_half_of_the_work() -> None:
    units = [unit(SUBTREE, depth, str(number)) for number, depth in enumerate((5, 3, 4, 3, 3, 3))]
    assert given(worker_with(units), SUBTREE, [7]) == [[units[1], units[3], units[4]]]


def test_one_shallow_subtree_is_more_than_half_of_the_work() -> None:
    units = [unit(SUBTREE, 2), *(unit(SUBTREE, 6, str(number)) for number in range(30))]
    assert given(worker_with(units), SUBTREE, [7]) == [[units[0]]]


def test_every_thief_gets_a_subtree_as_long_as_there_are_some() -> None:
    worker = worker_with([unit(SUBTREE, depth) for depth in (2, 6, 6, 6)])
    assert [len(part) for part in given(worker, SUBTREE, [7, 8, 9])] == [1, 1, 1]


def test_several_thieves_get_equal_parts() -> None:
    worker = worker_with([unit(SLICE, 1, str(i)) for i in range(50)])
    parts = given(worker, SLICE, [3, 4, 5])
    assert sorted(map(len, parts)) == [12, 13, 13]
    assert worker.waiting == 12


def test_a_busy_worker_gives_its_last_unit_and_an_empty_one_gives_nothing() -> None:
    worker = worker_with([unit(SLICE, 1)])
    assert given(worker, SLICE, [2, 3]) == [[unit(SLICE, 1)], []]
    assert said(worker)[0].is_answer


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
        reports += len(said(worker))
    while worker.take(any_room):
        reports += len(said(worker))
    assert reports == 5


def test_a_backlog_that_shrank_is_told_when_due() -> None:
    worker = worker_with([unit(SUBTREE, 1)])
    assert [report.subtrees for report in said(worker)] == [1]
    worker.take(any_room)
    assert said(worker) == []
    assert [report.subtrees for report in said(worker, due=True)] == [0]
    assert said(worker, due=True) == []


def test_what_running_slices_could_be_divided_into_counts_as_slices() -> None:
    worker = worker_with([unit(SLICE, 1)])
    [report] = said(worker, divisible=50)
    assert (report.slices, report.slice_weight) == (1 + 50 // SMALLEST_PART, 10 + 50)


def test_no_more_parts_are_offered_than_pay() -> None:
    [report] = said(worker_with([unit(SLICE, 1)]), divisible=1000)
    assert (report.slices, report.slice_weight) == (1 + MOST_PARTS, 10 + 1000)


def test_parts_last_as_long_as_half_of_what_is_done_soon() -> None:
    assert Divisible.of(waiting=500, soon=100) == Divisible(entries=400, parts=8)
    assert Divisible.of(waiting=90, soon=100) == Divisible()


def test_a_few_slices_are_not_told_of_right_after_the_last_word() -> None:
    worker = worker_with([unit(SLICE, 1)])
    assert said(worker, quiet=True) == []
    worker.add([unit(SLICE, 1) for _ in range(FEW_SLICES - 1)])
    [report] = said(worker, quiet=True)
    assert report.slices == FEW_SLICES
    [report] = said(worker_with([unit(SLICE, 1)]))
    assert report.slices == 1


def test_running_slices_are_divided_where_too_few_wait() -> None:
    worker = worker_with([unit(SLICE, 1, "whole")])
    asked = []

    def divide(parts: int) -> list[Unit]:
        asked.append(parts)
        return [unit(SLICE, 1, f"part {number}") for number in range(parts)]

    sends = worker.receive(0, encode(Give(SLICE, [2, 3, 4])), divide)
    assert asked == [2]
    works = [message.units for _, message in decoded(sends)]
    assert sorted(work[0].payload for work in works) == [b"part 0", b"part 1", b"whole"]
    worker.finish(unit(SLICE, 0))
    assert worker.share.weight_finished == 10 - 2 * 10
    assert worker.share.units_created == 2


def test_enough_slices_are_given_as_they_are() -> None:
    worker = worker_with([unit(SLICE, 1), unit(SLICE, 1)])
    sends = worker.receive(0, encode(Give(SLICE, [2])), pytest.fail)
    assert [len(message.units) for _, message in decoded(sends)] == [1]


def test_counters_are_reported_when_due_and_changed() -> None:
    worker = worker_with([])
    [first] = said(worker, due=True)
    assert first.counters.tolist() == [0]
    assert said(worker, due=True) == []
    assert said(worker, NOTHING + 1) == []
    [report] = said(worker, NOTHING + 1, due=True)
    assert report.counters.tolist() == [1]


def test_idle_is_said_once() -> None:
    worker = Worker()
    assert said(worker) == []
    worker.receive(3, encode(Work([])), none)
    assert [type(message) for message in said(worker)] == [Idle]
    assert said(worker) == []


def test_a_give_that_crosses_idle_is_answered() -> None:
    worker = Worker()
    assert given(worker, SUBTREE, [2]) == [[]]
    [report] = said(worker)
    assert isinstance(report, Report)
    assert report.is_answer


def test_stop_drops_what_waits_and_what_comes() -> None:
    worker = worker_with([unit(SUBTREE, 1)])
    worker.receive(0, encode(Stop()), none)
    worker.add([unit(SUBTREE, 1), unit(SLICE, 1)])
    worker.finish(unit(SLICE, 0))
    assert worker.take(any_room) is None
    assert worker.share.units_dropped == 3
    assert isinstance(said(worker)[-1], Idle)


def test_stop_drops_what_has_not_begun_of_running_slices() -> None:
    worker = worker_with([])
    worker.receive(0, encode(Stop()), lambda parts: [unit(SLICE, 1)])
    assert (worker.share.units_created, worker.share.units_dropped, worker.running) == (1, 1, 1)


def test_what_stalls_is_told_once_and_given_up_after_stop() -> None:
    worker = worker_with([])
    [(destination, stalled)] = decoded(worker.stall("stat of /data/\udcff"))
    assert (destination, stalled.what) == (0, b"stat of /data/\xff")
    assert worker.stall("still") == []
    worker.receive(0, encode(Stop()), none)
    worker.abandon([unit(SLICE, 0)])
    assert worker.share.units_dropped == 1
    assert isinstance(said(worker)[-1], Idle)


def owing_an_answer() -> Worker:
    worker = Worker()
    given(worker, SUBTREE, [2])
    return worker


@pytest.mark.parametrize(
    ("worker", "message"),
    [
        (worker_with([unit(SUBTREE, 1)]), Finish()),
        (worker_with([]), Finish()),
        (owing_an_answer(), Finish()),
        (worker_with([]), Work([])),
        (worker_with([]), Idle(NOTHING)),
    ],
    ids=["FINISH with a unit", "FINISH while running", "FINISH before an answer", "WORK unasked", "IDLE"],
)
def test_what_cannot_be_is_refused(worker: Worker, message: Message) -> None:
    with pytest.raises(ProtocolError):
        worker.receive(0, encode(message), none)


def test_nothing_is_heard_after_finish() -> None:
    worker = Worker()
    worker.receive(0, encode(Finish()), none)
    assert worker.finished
    with pytest.raises(ProtocolError):
        worker.receive(0, encode(Stop()), none)
