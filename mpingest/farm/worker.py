"""The worker: runs the units it holds, gives some away when told to, and says when it has none.

Its half of the protocol; ``coordinator`` has the argument why the end is exact:

* It begins without units, counts as idle, and waits. Later it says IDLE once when it holds no unit and runs none, and
  then waits again: until WORK arrives it sends nothing but answers to a GIVE that crossed its IDLE, and to LEASEs.
* Each GIVE is answered by exactly one WORK, possibly empty, to every thief named, and one REPORT marked as answer.
* It reports of itself when what could be stolen has grown fourfold since its last word, so that a backlog of n costs
  O(log n) messages; of slices only where it has told of no subtrees, which are stolen first, and of a few slices not
  right after it has spoken, so that several are stolen with one GIVE. That it has shrunk is
  told by answers, and else when the driver says that news are due: a worker whose backlog comes and goes is quiet
  unless someone steals from it.
* It has no slots before it is leased some. That it wants some and has none it reports at once. A LEASE of fewer than it
  had is answered once it uses no more, whether it is idle or not.
* Running slices count as backlog, as far as their entries have not begun: a GIVE that finds too few slices waiting
  has them divided. What is divided off is a new unit that a running one has spawned, so nothing else changes.

Why no unit travels for ever: a worker that runs nothing keeps at least one unit, the one it takes next, and counts
only the others as stealable. A thief runs nothing when WORK arrives, so each unit it passes on without running it
leaves another behind that it runs. Units are finite, so are the journeys of each. A worker that does run
something may give away everything else: at the end of a run no one hides what someone else could begin. Nor are
units divided for ever: each part has an entry at least, and an entry once begun stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mpingest.farm.backlog import Backlog
from mpingest.farm.executor import Divisible
from mpingest.farm.limits import Rates, SlotUse
from mpingest.farm.messages import (
    Allot,
    Finish,
    Give,
    Idle,
    Lease,
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
from mpingest.farm.share import Share
from mpingest.farm.units import Unit, UnitKind

COORDINATOR = 0
"""Rank of the coordinator."""
GROWTH = 4
"""How much more there must be to steal for a report at once."""
FEW_SLICES = 4
"""Slices that are told of at once, however short a time ago the worker has spoken."""

MOST_PARTS = 8
"""Parts that running slices are divided into for one GIVE: each can be divided again where it gets to."""
_ALL = 1 << 30
"""Parts for a division that leaves as little as possible."""

_NONE = SlotUse()

Divide = Callable[[int], Sequence[Unit]]
"""See ``Executor.divide``."""


class Worker:
    """State machine of one worker. Its driver calls ``speak`` after each turn of receive, add, finish and take.

    finished: whether FINISH has arrived
    idle:     whether it waits for WORK
    running:  units taken and neither finished nor abandoned
    stopping: whether STOP has arrived
    owes_slots: whether a LEASE is to be answered
    share:    units and steals so far
    """

    def __init__(self) -> None:
        self.finished = False
        self.idle = True
        self.running = 0
        self.stopping = False
        self.share = Share()
        self.owes_slots = False
        self._allotment: Rates | None = None
        self._lease: int | None = None
        self._leased = 0
        self._said_wanted = 0
        self._backlog = Backlog()
        self._owes_answer = False
        self._has_stalled = False
        self._said_backlog = (0, 0)
        self._said_counters = np.empty(0, np.int64)

    @property
    def waiting(self) -> int:
        """Units held that have not begun."""
        return len(self._backlog)

    @property
    def waiting_slices(self) -> int:
        """Slices held that have not begun."""
        return self._backlog.slices

    @property
    def waiting_subtrees(self) -> int:
        """Subtrees held that have not begun."""
        return self._backlog.subtrees

    def receive(self, source: int, message: bytes, divide: Divide) -> list[Send]:
        """Handles one message. Raises ProtocolError where it cannot be right in this state."""
        if self.finished:
            raise ProtocolError(f"message from rank {source} after FINISH")
        match decode(message):
            case Allot(rates):
                self._allotment = rates
            case Lease(slots):
                self._note_lease(slots)
            case Work(units):
                self._accept(source, units)
            case Give(kind, thieves):
                return self._give(kind, thieves, divide)
            case Stop():
                self._stop(divide)
            case Finish():
                self._finish()
            case other:
                raise ProtocolError(f"{type(other).__name__} from rank {source} sent to a worker")
        return []

    def take_allotment(self) -> Rates | None:
        """What it was allotted, once; None if that isn't new."""
        allotment, self._allotment = self._allotment, None
        return allotment

    def take_lease(self) -> int | None:
        """How many slots it has, once; None if that isn't new."""
        lease, self._lease = self._lease, None
        return lease

    def add(self, units: Sequence[Unit]) -> None:
        """Takes in new units that a running one has spawned."""
        assert self.running, "only a running unit spawns others"
        self.share.units_created += len(units)
        if self.stopping:
            self.share.units_dropped += len(units)
        else:
            self._backlog.add(units)

    def take(self, room_for: Callable[[UnitKind], bool]) -> Unit | None:
        """The unit to begin next, of a kind that there is room for: slices first, then the deepest subtree."""
        unit = self._backlog.take(room_for)
        if unit is not None:
            self.running += 1
        return unit

    def finish(self, unit: Unit) -> None:
        """Notes that a unit taken earlier is done; what it spawned was added before."""
        assert self.running, "finished more units than were taken"
        self.running -= 1
        self.share.units_finished += 1
        self.share.weight_finished += unit.weight

    def stall(self, what: str) -> list[Send]:
        """Notes that what runs makes no progress; the answer is a STOP."""
        assert self.running, "nothing runs, so nothing stalls"
        if self._has_stalled:
            return []
        self._has_stalled = True
        return [Send(COORDINATOR, encode(Stalled(what.encode(errors="surrogateescape"))))]

    def abandon(self, units: Sequence[Unit]) -> None:
        """Notes that units taken earlier were given up, after STOP: they are dropped."""
        assert self.stopping, "units are given up only if the farm stops"
        assert len(units) <= self.running, "gave up more units than were taken"
        self.running -= len(units)
        self.share.units_dropped += len(units)

    def speak(
        self,
        counters: npt.NDArray[np.int64],
        divisible: Divisible,
        slots: SlotUse = _NONE,
        *,
        due: bool = False,
        quiet: bool = False,
    ) -> list[Send]:
        """What the worker has to say of itself now.

        counters: the executor's progress, int64, shape (k,)
        due:      whether changed counters, a smaller backlog or another number of slots wanted are worth a report
        quiet:    whether it has spoken so short a time ago that a few slices aren't worth a report
        """
        sends = []
        stealable = self._stealable(divisible)
        is_news = self._has_news(stealable[:2], counters, due, quiet) or self._has_wish(slots.wanted, due)
        if self._owes_answer or (self._holds_units and is_news):
            sends.append(self._report(stealable, slots.wanted, counters))
        if self.owes_slots and slots.used <= self._leased:
            self.owes_slots = False
            sends.append(Send(COORDINATOR, encode(Returned())))
        if not self._holds_units and not self.idle:
            sends.append(self._say_idle(counters))
        return sends

    @property
    def _holds_units(self) -> bool:
        return bool(self._backlog) or self.running > 0

    def _stealable(self, divisible: Divisible) -> tuple[int, int, int]:
        """Subtrees, slices and entries in these that may be given away.

        All, but for the unit to take next if none runs; entries may be a slice's too many in that one case.
        """
        if self.stopping:
            return 0, 0, 0
        subtrees, slices, weight = self._backlog.subtrees, self._backlog.slices, self._backlog.slice_weight
        if self.running:
            return subtrees, slices + min(MOST_PARTS, divisible.parts), weight + divisible.entries
        if slices:
            return subtrees, slices - 1, weight
        return max(0, subtrees - 1), 0, 0

    def _accept(self, source: int, units: Sequence[Unit]) -> None:
        if not self.idle:
            raise ProtocolError(f"WORK from rank {source} that no one asked for")
        self.idle = False
        if units and source != COORDINATOR:
            self.share.steals += 1
            self.share.units_stolen += len(units)
        if self.stopping:
            self.share.units_dropped += len(units)
        else:
            self._backlog.add(units)

    def _give(self, kind: UnitKind, thieves: Sequence[int], divide: Divide) -> list[Send]:
        """One WORK to each thief: together k / (k + 1) of what can be stolen."""
        if self._owes_answer:
            raise ProtocolError("GIVE while another is unanswered")
        self._owes_answer = True
        subtrees, _, _ = self._stealable(Divisible())
        if kind is UnitKind.SUBTREE and subtrees:
            parts = self._backlog.remove_subtrees(subtrees, len(thieves))
        else:  # slices are wanted, or better than nothing
            parts = self._slices_for(len(thieves), divide)
        return [Send(thief, encode(Work(part))) for thief, part in zip(thieves, parts, strict=True)]

    def _slices_for(self, thieves: int, divide: Divide) -> list[list[Unit]]:
        if not self.stopping:
            self._divide(thieves - self._backlog.slices, divide)
        _, slices, _ = self._stealable(Divisible())
        given = self._backlog.remove_slices(slices - slices // (thieves + 1))
        return [given[i::thieves] for i in range(thieves)]

    def _divide(self, parts: int, divide: Divide) -> None:
        if parts <= 0 or not self.running:
            return
        units = divide(parts)
        self.share.weight_finished -= sum(unit.weight for unit in units)  # counted when they finish, not with the whole
        self.add(units)

    def _stop(self, divide: Divide) -> None:
        self.stopping = True
        self.share.units_dropped += len(self._backlog)
        self._backlog = Backlog()
        self._divide(_ALL, divide)

    def _finish(self) -> None:
        if self._holds_units or not self.idle or self._owes_answer:
            raise ProtocolError(f"FINISH while {self.waiting} units wait, {self.running} run")
        self.finished = True

    def _has_news(self, stealable: tuple[int, int], counters: npt.NDArray[np.int64], due: bool, quiet: bool) -> bool:
        (subtrees, slices), (said_subtrees, said_slices) = stealable, self._said_backlog
        if subtrees and subtrees >= GROWTH * said_subtrees:
            return True
        few = FEW_SLICES if quiet else 1
        if not said_subtrees and slices >= max(few, GROWTH * said_slices):  # subtrees are stolen first
            return True
        return due and (self._said_backlog != stealable or not np.array_equal(counters, self._said_counters))

    def _has_wish(self, wanted: int, due: bool) -> bool:
        is_hungry = wanted > 0 and self._leased == 0 and self._said_wanted == 0
        return is_hungry or (due and wanted != self._said_wanted)

    def _note_lease(self, slots: int) -> None:
        self.owes_slots = self.owes_slots or slots < self._leased
        self._leased = self._lease = slots

    def _report(self, stealable: tuple[int, int, int], wanted: int, counters: npt.NDArray[np.int64]) -> Send:
        subtrees, slices, weight = stealable
        report = Report(self._owes_answer, subtrees, self._backlog.depth, slices, weight, wanted, counters)
        self._owes_answer = False
        self._said_backlog = stealable[:2]
        self._said_wanted = wanted
        self._said_counters = counters.copy()
        return Send(COORDINATOR, encode(report))

    def _say_idle(self, counters: npt.NDArray[np.int64]) -> Send:
        self.idle = True
        self._said_backlog = (0, 0)
        self._said_wanted = 0
        self._said_counters = counters.copy()
        return Send(COORDINATOR, encode(Idle(counters)))
