"""``run_farm`` in this process, and in the world that pytest runs in (mpiexec -n 4 pytest --with-mpi -m mpi)."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from mpingest.farm.transport import run_farm
from mpingest.farm.units import Unit, UnitKind

from .toys import ToyExecutor
from .trees import below_one, flat

TREE = below_one(2, 3, 4)


def test_one_process_plays_both_roles() -> None:
    progress = []
    result = run_farm(None, [TREE.root], ToyExecutor(TREE.spawned_by), on_progress=progress.append)
    assert result.shares["units_finished"].tolist() == [len(TREE)]
    assert result.shares["weight_finished"].tolist() == [sum(unit.weight for unit in TREE.units)]
    assert progress[-1].tolist() == [[len(TREE)]]
    assert not result.stopped


def test_nothing_to_do() -> None:
    result = run_farm(None, [], ToyExecutor(TREE.spawned_by))
    assert result.shares["units_finished"].tolist() == [0]


def test_an_executor_is_told_how_many_slices_wait() -> None:
    executor = ToyExecutor(flat(20).spawned_by, threads=1)
    run_farm(None, [flat(20).root], executor)
    assert executor.most_waiting_slices >= 10


def test_an_exception_in_a_thread_comes_out() -> None:
    def fail(unit: Unit) -> Iterable[Unit]:
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        run_farm(None, [TREE.root], ToyExecutor(fail))


def test_an_executor_without_room_is_found_out() -> None:
    class Full(ToyExecutor):
        def room_for(self, kind: UnitKind) -> bool:
            return False

    with pytest.raises(RuntimeError, match="no room"):
        run_farm(None, [TREE.root], Full(TREE.spawned_by))


def test_what_is_raised_by_who_looks_on_comes_out() -> None:
    def fail(counters: object) -> None:
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        run_farm(None, [TREE.root], ToyExecutor(TREE.spawned_by), on_progress=fail)


def test_who_looks_on_holds_up_nothing() -> None:
    """Each look takes 1.5 s; the farm takes 2.2 s, and waits only for the looks that are under way at the end."""
    ends: list[float] = []

    def work(unit: Unit) -> Iterable[Unit]:
        time.sleep(1.1)
        ends.append(time.monotonic())
        return [Unit(UnitKind.SLICE, 1, 1, b"")] if unit.kind is UnitKind.SUBTREE else []

    began = time.monotonic()
    run_farm(None, [TREE.root], ToyExecutor(work), on_progress=lambda counters: time.sleep(1.5))
    assert ends[-1] - began < 2.4


def test_a_unit_that_makes_no_progress_is_given_up() -> None:
    def work(unit: Unit) -> Iterable[Unit]:
        if unit.kind is UnitKind.SUBTREE:
            return [Unit(UnitKind.SLICE, 1, 1, b"%d" % number) for number in range(50)]
        time.sleep(4 if unit.payload == b"7" else 0)
        return []

    result = run_farm(None, [Unit(UnitKind.SUBTREE, 0, 1, b"")], ToyExecutor(work), stall_timeout=0.5)
    assert result.stopped
    assert result.stalled == [(0, "unit 7")]
    assert result.shares["units_dropped"].tolist() == [1]
    assert result.shares["units_finished"].tolist() == [50]


@pytest.mark.mpi(min_size=2)
def test_all_ranks_get_the_same_result() -> None:
    from mpi4py import MPI

    result = run_farm(MPI.COMM_WORLD, [TREE.root], ToyExecutor(TREE.spawned_by))
    assert result.shares["units_finished"].sum() == len(TREE)
    assert result.shares["messages_sent"].sum() == result.shares["messages_received"].sum()
    assert MPI.COMM_WORLD.allgather(result.shares.tobytes()) == [result.shares.tobytes()] * MPI.COMM_WORLD.size


@pytest.mark.mpi(min_size=2)
def test_one_farm_after_another() -> None:
    from mpi4py import MPI

    for tree in (flat(30), below_one(1, 2, 3), flat(0)):
        result = run_farm(MPI.COMM_WORLD, [tree.root], ToyExecutor(tree.spawned_by))
        assert result.shares["units_finished"].sum() == len(tree)


@pytest.mark.mpi(min_size=2)
def test_a_stop_is_known_on_all_ranks() -> None:
    from mpi4py import MPI

    def for_ever(unit: Unit) -> Iterable[Unit]:
        time.sleep(0.01)
        return [Unit(UnitKind.SUBTREE, unit.depth + 1, 1, b"")] * 2

    root = Unit(UnitKind.SUBTREE, 0, 1, b"")
    result = run_farm(MPI.COMM_WORLD, [root], ToyExecutor(for_ever), should_stop=lambda: True)
    assert result.stopped
    assert result.shares["units_dropped"].sum() > 0
