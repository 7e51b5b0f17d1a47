"""What the tests run in an MPI world: ``mpiexec -n N python -m tests.farm.program NAME [ARGUMENT]``.

Each program prints one line of JSON on rank 0.
"""

from __future__ import annotations

import functools
import json
import sys
import threading
import time
from collections.abc import Iterable

import numpy as np

from mpingest.errors import MpingestError
from mpingest.farm.collective import deal
from mpingest.farm.links import MpiLink
from mpingest.farm.messages import Send
from mpingest.farm.transport import run_farm
from mpingest.farm.units import Unit, UnitKind
from mpingest.farm.world import abort_on_error, open_world

from .toys import ToyExecutor
from .trees import below_one

ROOT = Unit(UnitKind.SUBTREE, 0, 1, b"")


def slice_of(payload: bytes) -> Unit:
    return Unit(UnitKind.SLICE, 1, 1, payload)


def count(comm):
    """A tree; everything is run, and the counters at rank 0 add up."""
    tree = below_one(2, 3, 5)
    progress = []
    executor = ToyExecutor(tree.spawned_by)
    result = run_farm(comm, [tree.root], executor, on_progress=progress.append)
    return {
        "units": len(tree),
        "finished": int(result.shares["units_finished"].sum()),
        "counted": int(progress[-1].sum()) if progress else None,
        "shape": progress[-1].shape if progress else None,
        "workers": int(np.count_nonzero(result.shares["units_finished"])),
    }


def idle(comm):
    """One unit that sleeps: what a rank costs meanwhile, as a part of one core."""

    def sleep(unit: Unit) -> Iterable[Unit]:
        time.sleep(3)
        return []

    comm.Barrier()
    began, cpu = time.monotonic(), time.process_time()
    run_farm(comm, [ROOT], ToyExecutor(sleep))
    return {"load": comm.gather((time.process_time() - cpu) / (time.monotonic() - began))}


def wake(comm):
    """Slices that appear one by one while all others are idle: how long till one begins on another rank.

    REPORT, GIVE and WORK are on the way, so the time of one message is a third.
    """
    times: list[float] = []

    def work(unit: Unit) -> Iterable[Unit]:
        if unit.kind is UnitKind.SLICE:
            times.append((time.monotonic_ns() - int(unit.payload)) / 3e6)
            return
        for _ in range(40):
            time.sleep(0.04)
            yield slice_of(b"%d" % time.monotonic_ns())

    run_farm(comm, [ROOT], ToyExecutor(work, threads=1))
    every = np.concatenate(comm.allgather(times))
    return {"median_ms": float(np.median(every)), "worst_ms": every.max()}


def large(comm):
    """Slices of 1 MB each, all found by one rank."""

    def work(unit: Unit) -> Iterable[Unit]:
        if unit.kind is UnitKind.SUBTREE:
            return (slice_of(bytes(1 << 20)) for _ in range(64))
        time.sleep(0.01)
        return ()

    result = run_farm(comm, [ROOT], ToyExecutor(work))
    return {"shares": result.shares["units_finished"].tolist()}


def cross(comm):
    """Every rank sends 32 MB to its neighbour before it receives anything."""
    link = MpiLink(comm.Dup())
    data = bytes(32 << 20)
    link.send([Send((comm.rank + 1) % comm.size, data)])
    received: list[int] = []
    while not received or link.still_sending():
        received += [len(message) for _, message in link.arrivals()]
    return {"received": comm.gather(sum(received))}


def stop(comm):
    """A stop after one second in the middle of twenty seconds' work."""

    def work(unit: Unit) -> Iterable[Unit]:
        if unit.kind is UnitKind.SUBTREE:
            return (slice_of(b"") for _ in range(1000))
        time.sleep(0.04)
        return ()

    began = time.monotonic()
    result = run_farm(comm, [ROOT], ToyExecutor(work, threads=1), should_stop=lambda: True)
    return {
        "stopped": comm.allgather(result.stopped),
        "seconds": time.monotonic() - began,
        "dropped": int(result.shares["units_dropped"].sum()),
    }


def stall(comm):
    """One of many units never gets anywhere."""

    def work(unit: Unit) -> Iterable[Unit]:
        if unit.kind is UnitKind.SUBTREE:
            return (slice_of(b"%d" % number) for number in range(100))
        time.sleep(8 if unit.payload == b"50" else 0.01)
        return ()

    result = run_farm(comm, [ROOT], ToyExecutor(work), stall_timeout=1.0)
    return {
        "stalled": comm.allgather(list(result.stalled)),
        "dropped": result.shares["units_dropped"].tolist(),
        "finished": int(result.shares["units_finished"].sum()),
    }


def fail(comm):
    """The last rank raises, each time in another place; the others run a unit that takes a minute, or idle."""
    where = sys.argv[2]
    last = comm.rank == comm.size - 1

    def work(unit: Unit) -> Iterable[Unit]:
        if where == "thread":
            raise ValueError("out of a unit's thread")
        time.sleep(60)
        return ()

    if where == "before" and last:
        threading.Thread(target=time.sleep, args=(60,)).start()
        raise ValueError("before the farm")
    if where == "known" and last:
        raise MpingestError("the target is no collection")
    if where == "stray" and last:
        threading.Thread(target=int, args=("no number",)).start()
    run_farm(comm, [ROOT], ToyExecutor(work))


def dealt(comm):
    """More tasks than ranks; then two of them fail, the first of them later than the other."""

    def task(number: int) -> tuple[int, int]:
        if failing and number == 2:
            time.sleep(0.5)
            raise OSError(28, "no space")
        if failing and number == 3:
            raise MpingestError("another")
        return number, comm.rank

    tasks = [functools.partial(task, number) for number in range(7)]
    failing = False
    answers = comm.gather(deal(comm, tasks))
    failing = True
    try:
        deal(comm, tasks)
    except (MpingestError, OSError) as error:
        failures = comm.gather(str(error))
    return {"answers": answers, "failures": failures, "none": deal(comm, [])}


PROGRAMS = {program.__name__: program for program in (count, idle, wake, large, cross, stop, stall, fail, dealt)}


def main() -> None:
    comm = open_world()
    with abort_on_error(comm):
        outcome = PROGRAMS[sys.argv[1]](comm)
    if comm.rank == 0:
        print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
