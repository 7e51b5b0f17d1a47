"""What a caller implements to have its units run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mpingest.farm.units import Unit, UnitKind


@dataclass(frozen=True, slots=True)
class Spawned:
    """A running unit has found new ones. Comes before the ``Finished`` of that unit."""

    units: Sequence[Unit]


@dataclass(frozen=True, slots=True)
class Finished:
    """A unit is done."""

    unit: Unit


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

    def throttle(self, waiting_slices: int) -> None:
        """Told each turn how many slices wait to begin: a running scan holds back while they are many."""
