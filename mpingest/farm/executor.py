"""What a caller implements to have its units run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mpingest.farm.limits import Rates, SlotUse
from mpingest.farm.units import Unit, UnitKind


@dataclass(frozen=True, slots=True)
class Spawned:
    """A running unit has found new ones. Comes before the ``Finished`` of that unit."""

    units: Sequence[Unit]


@dataclass(frozen=True, slots=True)
class Finished:
    """A unit is done."""

    unit: Unit


SMALLEST_PART = 16
"""Entries that a running slice is divided into at least, on average: a message each is worth it."""


@dataclass(frozen=True, slots=True)
class Divisible:
    """What running slices could be divided into.

    entries: that nobody has begun, but for those that will soon be done
    parts:   slices of these that last long enough to be worth a message each
    """

    entries: int = 0
    parts: int = 0

    @classmethod
    def of(cls, waiting: int, soon: int) -> Divisible:
        """waiting: entries that nobody has begun; soon: entries that are done in the time that is worth a wish."""
        entries = max(0, waiting - soon)
        return cls(entries, entries // max(SMALLEST_PART, soon // 2))


class Executor(Protocol):
    """Runs the units of one worker, in threads of its own. All methods are called from the main thread."""

    def room_for(self, kind: UnitKind) -> bool:
        """Whether another unit of that kind may begin now.

        An executor that runs nothing has room for a slice, and for a subtree where no slice waits.
        """

    def begin(self, unit: Unit) -> None:
        """Starts the unit; the work goes on in the executor's own threads."""

    def events(self) -> Iterable[Spawned | Finished]:
        """What happened since the last call, without blocking. Raises what was raised in a thread."""

    def wait(self, seconds: float) -> None:
        """Sleeps until there is an event, at most that long."""

    def counters(self) -> npt.NDArray[np.int64]:
        """The progress so far, int64, shape (k,), the same k on all ranks."""

    def throttle(self, waiting_slices: int, waiting_subtrees: int) -> None:
        """Told each turn how many units wait to begin: what runs holds back while they are many."""

    def allot(self, rates: Rates) -> None:
        """From now on this rank may do so many a second, of what all ranks' executors together may do."""

    def lease(self, slots: int) -> None:
        """From now on this rank has so many slots: nothing that needs one may begin beyond."""

    def slots(self) -> SlotUse:
        """How many slots this rank wants and uses. Asked each turn; a wish for the first one is to end ``wait``."""

    def divisible(self, worth_seconds: float) -> Divisible:
        """What could be divided off that is worth it: nothing that will be done within so long anyway."""

    def divide(self, parts: int) -> Sequence[Unit]:
        """Takes entries that nobody has begun out of running slices, as at most ``parts`` new slices.

        About one part more stays where it is. The running units are smaller from now on, by the weight of the new
        ones; one that has nothing left to do finishes as usual.
        """

    def stop(self) -> None:
        """Told once that the farm is stopping, after what could be divided was dropped, as is what is spawned later.

        What runs may go on to its end; it should come soon.
        """

    def stalled(self, seconds: float) -> str:
        """What has made no progress at all for so long, or never will, for people; "" if all is well or nothing runs.

        Asked about once a second.
        """

    def abandon(self) -> Sequence[Unit]:
        """Gives up all units that run, and says which: no event and no trace of them comes any more.

        Of what happened before only ``Finished`` events may still come. Called once, when the farm is stopping and
        what runs is stalled, or takes too long.
        """
