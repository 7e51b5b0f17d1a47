"""The event queue, when a sleeping rank notices something, and the ranks."""

from __future__ import annotations

import struct
from bisect import bisect_left
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import accumulate, count
from math import ceil, inf

import numpy as np

from mpingest.farm.coordinator import Coordinator
from mpingest.farm.executor import Spawned
from mpingest.farm.messages import Send, Work, decode
from mpingest.farm.transport import FIRST_PAUSE, LONGEST_PAUSE, report_seconds, worth_seconds
from mpingest.farm.units import UnitKind
from mpingest.farm.worker import Worker

from .costs import Costs
from .executor import SimulatedExecutor, root_of
from .executor import Work as TreeWork
from .servers import Servers
from .shapes import Shape

_DOUBLING = [0.0, *accumulate(FIRST_PAUSE * 2**i for i in range(8) if FIRST_PAUSE * 2**i < LONGEST_PAUSE)]
"""When a loop looks, counted from when something last happened, before it pauses for longest each time."""
_WORK = 3
_HEADER = struct.Struct("<BBxxI")


def noticed(at: float, awake: float) -> float:
    """When a loop that last did something until ``awake`` notices what comes at ``at``, if nothing else wakes it."""
    asleep = at - awake
    if asleep <= 0:
        return awake
    if asleep <= _DOUBLING[-1]:
        return awake + _DOUBLING[bisect_left(_DOUBLING, asleep)]
    return awake + _DOUBLING[-1] + LONGEST_PAUSE * ceil((asleep - _DOUBLING[-1]) / LONGEST_PAUSE)


@dataclass(frozen=True)
class Figures:
    """What came out. Times in seconds; shares of entries relative to the mean.

    ideal:      what any schedule takes at least
    bound:      why: work (shared out evenly), path (things that must wait for one another), servers
    messages:   that rank 0 received and sent
    busy:       part of the time in which rank 0 was busy
    """

    workers: int
    entries: int
    directories: int
    seconds: float
    ideal: float
    bound: str
    messages: int
    busy: float
    steals: int
    stolen: int
    least: float
    most: float

    @property
    def efficiency(self) -> float:
        return self.ideal / self.seconds

    @property
    def message_rate(self) -> float:
        return self.messages / self.seconds


class Rank:
    """A worker's loop.

    awake:   until when it last did something
    spoke:   until when it last sent or received something, since when it looks for messages ever more seldom
    turn_at: when it turns next, as far as known
    """

    __slots__ = (
        "awake",
        "due_at",
        "executor",
        "inbox",
        "number",
        "quiet_until",
        "reader_at",
        "spoke",
        "turn_at",
        "worker",
        "worker_at",
    )

    def __init__(self, number: int, work: TreeWork, servers: Servers) -> None:
        self.number = number
        self.worker = Worker()
        self.executor = SimulatedExecutor(number, work, servers)
        self.inbox: list[tuple[int, bytes]] = []
        self.awake = 0.0
        self.spoke = 0.0
        self.turn_at = inf
        self.due_at = 0.0
        self.quiet_until = 0.0
        self.worker_at = inf
        self.reader_at = inf


class Simulation:
    """One run of the farm over a tree."""

    def __init__(self, shape: Shape, entries: int, workers: int, costs: Costs) -> None:
        self._costs = costs
        self._work = TreeWork(shape, costs)
        self._servers = Servers(costs)
        self._served_at = inf
        self._ranks = [Rank(number, self._work, self._servers) for number in range(workers + 1)]
        self._coordinator = Coordinator(range(1, workers + 1), [root_of(entries)])
        self._interval = report_seconds(workers)
        self._worth = worth_seconds(workers)
        self._queue: list[tuple[float, int, object, Rank | int, object]] = []
        self._order = count()
        self._free = 0.0  # until when rank 0 is busy
        self._busy = 0.0
        self._messages = 0
        self._last_arrival: dict[tuple[int, int], float] = {}
        self._end = 0.0

    def run(self) -> Figures:
        self._sent_by_coordinator(self._coordinator.start(), 0.0)
        queue = self._queue
        while queue:
            at, _, what, rank, data = heappop(queue)
            what(at, rank, data)  # type: ignore[operator]
        workers = self._ranks[1:]
        assert all(rank.worker.finished for rank in workers)
        shares = np.array([rank.executor.done for rank in workers])
        assert shares.sum() == self._work.entries
        mean = shares.mean()
        bounds = self._work.bounds(len(workers))
        return Figures(
            workers=len(workers),
            entries=self._work.entries,
            directories=self._work.directories,
            seconds=self._end,
            ideal=self._work.least(len(workers)),
            bound=max(bounds, key=bounds.__getitem__),
            messages=self._messages,
            busy=self._busy / self._end,
            steals=sum(rank.worker.share.steals for rank in workers),
            stolen=sum(rank.worker.share.units_stolen for rank in workers),
            least=float(shares.min() / mean),
            most=float(shares.max() / mean),
        )

    def _at(self, time: float, what: object, rank: Rank | int, data: object = None) -> None:
        heappush(self._queue, (time, next(self._order), what, rank, data))

    # Rank 0: messages one after the other.

    def _sent_by_coordinator(self, sends: list[Send], at: float) -> float:
        for send in sends:
            at += self._costs.send
            self._travel(0, send, at)
        self._messages += len(sends)
        return at

    def _coordinator_hears(self, at: float, source: int, message: bytes) -> None:
        began = noticed(at, self._free)
        sends = self._coordinator.receive(source, message)
        self._free = self._sent_by_coordinator(sends, began + self._costs.message)
        self._busy += self._free - began
        self._messages += 1

    # Messages, in order between two ranks.

    def _travel(self, source: int, send: Send, at: float) -> None:
        costs = self._costs
        arrival = at + costs.latency + self._size(send.payload) / costs.bandwidth
        pair = (source, send.destination)
        arrival = max(arrival, self._last_arrival.get(pair, 0.0))
        self._last_arrival[pair] = arrival
        if send.destination == 0:
            self._at(arrival, self._coordinator_hears, source, send.payload)
        else:
            self._at(arrival, self._worker_gets, self._ranks[send.destination], (source, send.payload))

    def _size(self, payload: bytes) -> int:
        """Bytes that a message would have with real slices in it."""
        if _HEADER.unpack_from(payload)[0] != _WORK:
            return len(payload)
        message = decode(payload)
        assert isinstance(message, Work)
        entries = sum(unit.weight for unit in message.units if unit.kind is UnitKind.SLICE)
        return len(payload) + entries * self._costs.entry

    # Workers: turns of a loop, when it notices a message, or its executor wakes it.

    def _worker_gets(self, at: float, rank: Rank, data: tuple[int, bytes]) -> None:
        rank.inbox.append(data)
        self._turn_by(rank, max(rank.awake, noticed(at, rank.spoke)))

    def _turn_by(self, rank: Rank, at: float) -> None:
        if at < rank.turn_at:
            rank.turn_at = at
            self._at(at, self._turn, rank)

    def _worker_done(self, at: float, rank: Rank, _: object) -> None:
        if rank.worker_at != at:
            return  # it was put off
        rank.executor.now = at
        rank.worker_at = inf
        rank.executor.worker_done()
        self._wake(rank, at)

    def _served(self, at: float, *_: object) -> None:
        if self._served_at != at:
            return  # more or fewer ranks have stats in flight since
        self._served_at = inf
        _, number = self._servers.next()
        rank = self._ranks[number]
        rank.executor.now = at
        rank.executor.served()
        self._wake(rank, at)

    def _reader_done(self, at: float, rank: Rank, _: object) -> None:
        if rank.reader_at != at:
            return
        rank.executor.now = at
        rank.reader_at = inf
        rank.executor.reader_done()
        self._wake(rank, at)

    def _wake(self, rank: Rank, at: float) -> None:
        self._turn_by(rank, max(at, rank.awake))
        self._watch(rank)

    def _report_due(self, at: float, rank: Rank, _: object) -> None:
        if rank.due_at == at and not rank.worker.idle:
            self._turn_by(rank, max(at, rank.awake))

    def _quiet_over(self, at: float, rank: Rank, _: object) -> None:
        if rank.quiet_until == at and not rank.worker.idle:
            self._turn_by(rank, max(at, rank.awake))

    def _watch(self, rank: Rank) -> None:
        """Has the executor's two times come up in the queue."""
        executor = rank.executor
        if executor.worker_ends != rank.worker_at:
            rank.worker_at = executor.worker_ends
            if rank.worker_at < inf:
                self._at(rank.worker_at, self._worker_done, rank)
        if executor.reader_ends != rank.reader_at:
            rank.reader_at = executor.reader_ends
            if rank.reader_at < inf:
                self._at(rank.reader_at, self._reader_done, rank)
        served_at, _ = self._servers.next()
        if served_at != self._served_at:
            self._served_at = served_at
            if served_at < inf:
                self._at(served_at, self._served, 0)

    def _turn(self, at: float, rank: Rank, _: object) -> None:
        """What ``transport._Working.turn`` does."""
        if rank.turn_at != at:
            return  # it turned before
        rank.turn_at = inf
        worker, executor, costs = rank.worker, rank.executor, self._costs
        executor.now = at
        end = at + costs.turn
        inbox, rank.inbox = rank.inbox, []
        for source, message in inbox:
            end = self._sent(rank, worker.receive(source, message, executor.divide), end + costs.message)
        if worker.finished:
            self._end = max(self._end, end)
            return
        for event in executor.events():
            if isinstance(event, Spawned):
                worker.add(event.units)
            else:
                worker.finish(event.unit)
        executor.delay = end - at
        while unit := worker.take(executor.room_for):
            executor.begin(unit)
        executor.throttle(worker.waiting_slices, worker.waiting_subtrees)
        executor.delay = 0.0
        due = at >= rank.due_at
        said = worker.speak(executor.counters(), executor.divisible(self._worth), due=due, quiet=at < rank.quiet_until)
        end = self._sent(rank, said, end)
        if said:
            rank.quiet_until = at + self._worth
            self._at(rank.quiet_until, self._quiet_over, rank)
        rank.awake = end
        if inbox or said:
            rank.spoke = end
        self._watch(rank)
        if due and not worker.idle:
            rank.due_at = at + self._interval
            self._at(rank.due_at, self._report_due, rank)

    def _sent(self, rank: Rank, sends: list[Send], at: float) -> float:
        for send in sends:
            at += self._costs.send
            self._travel(rank.number, send, at)
        return at
