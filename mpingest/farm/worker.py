"""The worker: runs the units it holds, gives some away when told to, and says when it has none.

Its half of the protocol; ``coordinator`` has the argument why the end is exact:

* It says IDLE once when it holds no unit and runs none, and then waits: until WORK arrives it sends nothing but
  the answer to a GIVE that crossed its IDLE.
* Each GIVE is answered by exactly one WORK, possibly empty, to every thief named, and one REPORT marked as answer.
* It reports of itself when what could be stolen has doubled or halved since its last word, so that a backlog
  of n costs O(log n) messages.

Why no unit travels for ever: a worker that runs nothing keeps at least one unit, the one it takes next, and counts
only the others as stealable. A thief runs nothing when WORK arrives, so each unit it passes on without running it
leaves another behind that it runs. Units are finite, so are the journeys of each. A worker that does run
something may give away everything else: at the end of a run no one hides what someone else could begin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mpingest.farm.backlog import Backlog
from mpingest.farm.messages import Finish, Give, Idle, ProtocolError, Report, Send, Stop, Work, decode, encode
from mpingest.farm.share import Share
from mpingest.farm.units import Unit, UnitKind

COORDINATOR = 0
"""Rank of the coordinator."""


class Worker:
    """State machine of one worker. Its driver calls ``speak`` after each turn of receive, add, finish and take.

    finished: whether FINISH has arrived
    idle:     whether IDLE is said and no WORK has come since
    running:  units taken and not finished
    share:    units and steals so far
    """

    def __init__(self) -> None:
        self.finished = False
        self.idle = False
        self.running = 0
        self.share = Share()
        self._backlog = Backlog()
        self._stopping = False
        self._owes_answer = False
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

    def receive(self, source: int, message: bytes) -> list[Send]:
        """Handles one message. Raises ProtocolError where it cannot be right in this state."""
        if self.finished:
            raise ProtocolError(f"message from rank {source} after FINISH")
        match decode(message):
            case Work(units):
                self._accept(source, units)
            case Give(kind, thieves):
                return self._give(kind, thieves)
            case Stop():
                self._stop()
            case Finish():
                self._finish()
            case other:
                raise ProtocolError(f"{type(other).__name__} from rank {source} sent to a worker")
        return []

    def add(self, units: Sequence[Unit]) -> None:
        """Takes in new units that a running one has spawned."""
        assert self.running, "only a running unit spawns others"
        self.share.units_created += len(units)
        self._hold(units)

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

    def speak(self, counters: npt.NDArray[np.int64], due: bool = False) -> list[Send]:
        """What the worker has to say of itself now.

        counters: the executor's progress, int64, shape (k,)
        due:      whether changed counters alone are worth a report
        """
        sends = []
        if self._owes_answer or (self._holds_units and self._has_news(counters, due)):
            sends.append(self._report(counters))
        if not self._holds_units and not self.idle:
            sends.append(self._say_idle(counters))
        return sends

    @property
    def _holds_units(self) -> bool:
        return bool(self._backlog) or self.running > 0

    @property
    def _stealable(self) -> tuple[int, int]:
        """Subtrees and slices that may be given away: all, but for the one to take next if nothing runs."""
        subtrees, slices = self._backlog.subtrees, self._backlog.slices
        if self.running or not self._backlog:
            return subtrees, slices
        return (subtrees, slices - 1) if slices else (subtrees - 1, 0)

    def _hold(self, units: Sequence[Unit]) -> None:
        if self._stopping:
            self.share.units_dropped += len(units)
        else:
            self._backlog.add(units)

    def _accept(self, source: int, units: Sequence[Unit]) -> None:
        if not self.idle:
            raise ProtocolError(f"WORK from rank {source} that no one asked for")
        self.idle = False
        if units and source != COORDINATOR:
            self.share.steals += 1
            self.share.units_stolen += len(units)
        self._hold(units)

    def _give(self, kind: UnitKind, thieves: Sequence[int]) -> list[Send]:
        """One WORK to each thief: together k / (k + 1) of what can be stolen, rounded up, dealt in turn."""
        if self._owes_answer:
            raise ProtocolError("GIVE while another is unanswered")
        self._owes_answer = True
        subtrees, slices = self._stealable
        stealable = subtrees if kind is UnitKind.SUBTREE else slices
        kept = stealable // (len(thieves) + 1)
        given = self._backlog.remove_for_thieves(kind, stealable - kept)
        return [Send(thief, encode(Work(given[i :: len(thieves)]))) for i, thief in enumerate(thieves)]

    def _stop(self) -> None:
        self._stopping = True
        self.share.units_dropped += len(self._backlog)
        self._backlog = Backlog()

    def _finish(self) -> None:
        if self._holds_units or not self.idle or self._owes_answer:
            raise ProtocolError(f"FINISH while {self.waiting} units wait, {self.running} run")
        self.finished = True

    def _has_news(self, counters: npt.NDArray[np.int64], due: bool) -> bool:
        if any(map(_moved, self._said_backlog, self._stealable)):
            return True
        return due and not np.array_equal(counters, self._said_counters)

    def _report(self, counters: npt.NDArray[np.int64]) -> Send:
        report = Report(self._owes_answer, *self._stealable, self._backlog.slice_weight, counters)
        self._owes_answer = False
        self._said_backlog = self._stealable
        self._said_counters = counters.copy()
        return Send(COORDINATOR, encode(report))

    def _say_idle(self, counters: npt.NDArray[np.int64]) -> Send:
        self.idle = True
        self._said_backlog = (0, 0)
        self._said_counters = counters.copy()
        return Send(COORDINATOR, encode(Idle(counters)))


def _moved(said: int, now: int) -> bool:
    """Whether a quantity has at least doubled or fallen to at most half."""
    return now != said and (now >= 2 * said or 2 * now <= said)
