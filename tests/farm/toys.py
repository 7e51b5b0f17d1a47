"""A small executor with real threads, for farms over real MPI."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

import numpy as np
import numpy.typing as npt

from mpingest.farm.executor import Divisible, Finished, Spawned
from mpingest.farm.limits import Rates, SlotUse
from mpingest.farm.units import Unit, UnitKind

Work = Callable[[Unit], Iterable[Unit]]


class ToyExecutor:
    """Runs ``work(unit)`` in threads; each unit that it yields is spawned at once.

    The one counter is the number of units finished here.
    """

    def __init__(self, work: Work, threads: int = 2) -> None:
        self.most_waiting_slices = 0
        self._work = work
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._events: SimpleQueue[Spawned | Finished | BaseException] = SimpleQueue()
        self._news = threading.Event()
        self._running = 0
        self._finished = 0
        self._began: list[tuple[Unit, float]] = []

    def room_for(self, kind: UnitKind) -> bool:
        return self._running < self._threads

    def begin(self, unit: Unit) -> None:
        self._running += 1
        self._began.append((unit, time.monotonic()))
        self._pool.submit(self._run, unit)

    def events(self) -> Iterator[Spawned | Finished]:
        self._news.clear()
        while True:
            try:
                event = self._events.get_nowait()
            except Empty:
                return
            if isinstance(event, BaseException):
                raise event
            if isinstance(event, Finished):
                self._running -= 1
                self._finished += 1
                if not self._note_end(event.unit):
                    continue
            yield event

    def wait(self, seconds: float) -> None:
        self._news.wait(seconds)

    def counters(self) -> npt.NDArray[np.int64]:
        return np.array([self._finished])

    def throttle(self, waiting_slices: int, _waiting_subtrees: int) -> None:
        self.most_waiting_slices = max(self.most_waiting_slices, waiting_slices)

    def allot(self, rates: Rates) -> None:
        self.allotted = rates

    def lease(self, slots: int) -> None:
        self.leased = slots

    def slots(self) -> SlotUse:
        return SlotUse(self._running, 0)

    def divisible(self, _worth_seconds: float) -> Divisible:
        return Divisible()

    def divide(self, parts: int) -> list[Unit]:
        return []

    def stop(self) -> None:
        pass

    def stalled(self, seconds: float) -> str:
        """A unit is stuck once it runs for so long."""
        stuck = [unit for unit, began in self._began if time.monotonic() - began > seconds]
        return f"unit {stuck[0].payload.decode()}" if stuck else ""

    def abandon(self) -> list[Unit]:
        units = [unit for unit, _ in self._began]
        self._began.clear()
        return units

    def _note_end(self, unit: Unit) -> bool:
        """Whether the unit was not abandoned; units may be equal."""
        index = next((index for index, (running, _) in enumerate(self._began) if running == unit), None)
        if index is None:
            return False
        del self._began[index]
        return True

    def _run(self, unit: Unit) -> None:
        try:
            for spawned in self._work(unit):
                self._tell(Spawned([spawned]))
            self._tell(Finished(unit))
        except BaseException as error:
            self._tell(error)

    def _tell(self, event: Spawned | Finished | BaseException) -> None:
        self._events.put(event)
        self._news.set()
