"""The coordinator: hands out the roots, brokers stealing, and knows when all is done.

Why the end is exact. The coordinator counts a worker as idle from the start, or from the worker's IDLE, until it next
has WORK sent there, by itself or through a GIVE. Three facts follow from the worker's rules and from MPI's order
between two ranks:

1. A worker receives WORK only on the coordinator's word, exactly one per word, and only while it counts as idle. It
   says IDLE again only after that WORK. So nothing is in flight to a worker that counts as idle, and it holds nothing.
2. Hence a unit is always among the roots, or on a worker that does not count as idle, or in flight to such a worker.
   If no root is left and all workers count as idle, no unit exists anywhere.
3. After IDLE a worker sends only answers to GIVEs and to lower LEASEs. With all of these answered, no message at all
   is in flight, but for a STOP, an ALLOT or a higher LEASE that FINISH cannot overtake.

FINISH is sent exactly when (2) and (3) hold: never before, and nothing follows it. It is always reached: a GIVE is
always answered, and so is a lower LEASE, once what used more slots has ended; a thief always gets its WORK (if need be
an empty one, whereupon it says IDLE again), units are finite, no unit travels or is divided for ever (``worker`` says
why), and a unit that makes no progress is given up.

Estimates of what can be stolen may be stale, and are then too high, since workers tell at once only of more. That
costs a GIVE in vain, whose answer sets the estimate right; it never loses or hides a unit.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from mpingest.farm.backlog import promise
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
from mpingest.farm.share import Share
from mpingest.farm.slots import Slots
from mpingest.farm.units import Unit, UnitKind

WORTH_TELLING = 0.05
"""By how much a worker's allotment has to change for it to be told."""
_UNLIMITED = Rates()
MAX_THIEVES = 32
"""Thieves named in one GIVE: 10,000 ranks are fed from one in three rounds, and no victim serves many at once."""


class _Estimates:
    """How much could be stolen from whom, and the rank from which it is most.

    units: by rank, 0 where there is nothing to steal
    """

    def __init__(self, workers: range) -> None:
        self.units = [0] * workers.stop
        self._work = [0.0] * workers.stop
        self._heap: list[tuple[float, int]] = []  # (-work, rank), with what has become wrong since

    def note(self, rank: int, units: int, work: float) -> None:
        """So many units could be stolen from the rank, and so much work."""
        self.units[rank] = units
        if not units:
            work = 0.0
        if work != self._work[rank]:
            self._work[rank] = work
            if work:
                self._push(rank)

    def forget(self, rank: int) -> None:
        """Nothing can be stolen from the rank."""
        self.units[rank] = 0
        self._work[rank] = 0.0

    def _push(self, rank: int) -> None:
        if len(self._heap) > 2 * len(self._work):  # most of it has become wrong
            self._heap = [(-work, other) for other, work in enumerate(self._work) if work]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (-self._work[rank], rank))

    def best(self) -> int | None:
        """The rank from which there is most work to steal."""
        while self._heap:
            work, rank = self._heap[0]
            if self._work[rank] == -work:
                return rank
            heapq.heappop(self._heap)
        return None


class Coordinator:
    """State machine of the coordinator. Its driver sends what ``start`` says, and then calls ``receive``.

    workers: ranks of the workers
    roots:   units to start with

    counters: int64, shape (ranks, k), what each worker last said of its progress; k is 0 until the first message
    finished: whether FINISH is sent
    stopping: whether STOP is sent
    stalled:  ranks that said they make no progress, and what each is stuck on
    share:    roots created and dropped
    """

    def __init__(self, workers: range, roots: Sequence[Unit]) -> None:
        self.counters = np.zeros((workers.stop, 0), np.int64)
        self.finished = False
        self.stopping = False
        self.stalled: list[tuple[int, str]] = []
        self.share = Share(units_created=len(roots))
        self._workers = workers
        self._roots = deque(roots)
        self._idle: OrderedDict[int, None] = OrderedDict.fromkeys(workers)  # the longest idle first
        self._asked: set[int] = set()  # victims with an unanswered GIVE
        self._allotted: dict[int, Rates] = {}
        self._slots = Slots(workers)
        self._subtrees = _Estimates(workers)
        self._slices = _Estimates(workers)

    def start(self) -> list[Send]:
        """What there is to send before any message comes."""
        return self._hand_out() + self._finish_if_done()

    def receive(self, source: int, message: bytes) -> list[Send]:
        """Handles one message. Raises ProtocolError where it cannot be right in this state."""
        if self.finished:
            raise ProtocolError(f"message from rank {source} after FINISH")
        match decode(message):
            case Idle(counters):
                self._note_idle(source)
                leases = _told(self._slots.note(source, 0))
            case Report(counters=counters) as report:
                self._note_report(source, report)
                leases = _told(self._slots.note(source, report.wanted))
            case Returned():
                return self._note_returned(source) + self._finish_if_done()
            case Stalled(what):
                self.stalled.append((source, what.decode(errors="surrogateescape")))
                return self.stop()
            case other:
                raise ProtocolError(f"{type(other).__name__} from rank {source} sent to the coordinator")
        self._note_counters(source, counters)
        return leases + self._hand_out() + self._match() + self._finish_if_done()

    def allot(self, limits: Limits) -> list[Send]:
        """Shares that out: rates equally among the workers that don't count as idle, slots among those that want some.

        Called now and then: until the next time, those that have been idle go on with the rates they were told before.
        """
        if self.finished:
            return []
        return self._share_rates(limits.rates) + _told(self._slots.share(limits.slots))

    def _share_rates(self, rates: Rates) -> list[Send]:
        busy = [rank for rank in self._workers if rank not in self._idle]
        part = rates.part(max(1, len(busy)))
        told = [rank for rank in busy if not self._allotted.get(rank, _UNLIMITED).is_like(part, WORTH_TELLING)]
        self._allotted.update(dict.fromkeys(told, part))
        data = encode(Allot(part))
        return [Send(rank, data) for rank in told]

    def stop(self) -> list[Send]:
        """Has everything dropped that has not begun; FINISH follows once what runs is done, or given up as stalled."""
        if self.stopping or self.finished:
            return []
        self.stopping = True
        self.share.units_dropped += len(self._roots)
        self._roots.clear()
        return self._to_all(Stop())

    def _note_idle(self, source: int) -> None:
        if source in self._idle:
            raise ProtocolError(f"rank {source} said IDLE twice")
        self._idle[source] = None
        self._set_backlog(source, None)

    def _note_report(self, source: int, report: Report) -> None:
        if report.is_answer:
            if source not in self._asked:
                raise ProtocolError(f"rank {source} answered a GIVE that no one sent")
            self._asked.remove(source)
        if source not in self._asked:  # else the report crossed the GIVE and is stale
            self._set_backlog(source, report)

    def _note_returned(self, source: int) -> list[Send]:
        try:
            return _told(self._slots.returned(source))
        except KeyError:
            raise ProtocolError(f"rank {source} returned slots that no one asked back") from None

    def _note_counters(self, source: int, counters: npt.NDArray[np.int64]) -> None:
        if not self.counters.size:
            self.counters = np.zeros((self._workers.stop, len(counters)), np.int64)
        self.counters[source] = counters

    def _set_backlog(self, rank: int, report: Report | None) -> None:
        """Nothing can be stolen from a rank that is idle or asked."""
        if report is None:
            self._subtrees.forget(rank)
            self._slices.forget(rank)
        else:
            self._subtrees.note(rank, report.subtrees, report.subtrees * promise(report.depth))
            self._slices.note(rank, report.slices, report.slice_weight)

    def _hand_out(self) -> list[Send]:
        """The roots, to whoever is idle, an equal part of what is left to each (guided self-scheduling)."""
        sends = []
        while self._roots and self._idle:
            part = -(-len(self._roots) // len(self._workers))
            units = [self._roots.popleft() for _ in range(part)]
            sends.append(Send(self._next_idle(), encode(Work(units))))
        return sends

    def _match(self) -> list[Send]:
        """A GIVE for every idle worker that there is a victim for; the others wait for a REPORT that shows one."""
        sends: list[Send] = []
        if self.stopping:
            return sends
        while self._idle and (found := self._victim()):
            victim, kind, stealable = found
            thieves = [self._next_idle() for _ in range(min(MAX_THIEVES, stealable, len(self._idle)))]
            self._asked.add(victim)
            self._set_backlog(victim, None)
            sends.append(Send(victim, encode(Give(kind, thieves))))
        return sends

    def _victim(self) -> tuple[int, UnitKind, int] | None:
        """The rank to steal from, what, and how many there are of it.

        Slices only where no subtree is known: one collection fed by many ranks fights over one catalog row.
        """
        for kind, estimates in ((UnitKind.SUBTREE, self._subtrees), (UnitKind.SLICE, self._slices)):
            if (rank := estimates.best()) is not None:
                return rank, kind, estimates.units[rank]
        return None

    def _next_idle(self) -> int:
        rank, _ = self._idle.popitem(last=False)
        return rank

    def _finish_if_done(self) -> list[Send]:
        if self._roots or self._asked or not self._slots.settled or len(self._idle) < len(self._workers):
            return []
        self.finished = True
        return self._to_all(Finish())

    def _to_all(self, message: Message) -> list[Send]:
        data = encode(message)
        return [Send(rank, data) for rank in self._workers]


def _told(leases: Iterable[tuple[int, int]]) -> list[Send]:
    return [Send(rank, encode(Lease(slots))) for rank, slots in leases]
