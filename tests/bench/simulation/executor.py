"""A worker's threads: what is scanned and ingested when.

One thing at a time gets the whole of a worker: a scan with all its stats in flight, or the entries of one slice with
all its sessions. Scans come first, unless too many slices wait, as in ``mpingest.jobs.pipeline``. Only a directory
of more than a slice is read besides, by a thread of its own, that gives slices of names.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass
from math import inf

import numpy as np
import numpy.typing as npt

from mpingest.farm.executor import Divisible, Finished, Spawned
from mpingest.farm.units import Unit, UnitKind
from mpingest.jobs.pipeline import SLICES_AHEAD

from .costs import Costs
from .servers import Servers
from .shapes import Node, Shape, child_seed

_SLICE = struct.Struct("<?d")  # whether entries are stat'ed, when they could be found at the earliest
_COUNTERS = np.zeros(1, np.int64)


@dataclass(slots=True)
class SliceRun:
    """A slice under way. left: entries not done when it last got the worker; size: the same, as the servers know it.

    is_served: whether it is nothing but stats; else an entry takes ``per_entry`` seconds.
    """

    unit: Unit
    left: int
    is_served: bool
    per_entry: float
    size: int = 0
    under_way: float = 0.0


@dataclass(slots=True)
class Reading:
    """A directory of more than a slice."""

    unit: Unit
    node: Node
    files: int
    children: list[Unit]
    read: int = 0


@dataclass
class Work:
    """What all the work of a tree comes to. seconds: for one worker; path: the longest chain of what must wait."""

    shape: Shape
    costs: Costs
    seconds: float = 0.0
    path: float = 0.0
    entries: int = 0
    directories: int = 0

    def least(self, workers: int) -> float:
        """Seconds that any schedule takes: the work shared out evenly, the longest chain, or what servers can do."""
        return max(self.bounds(workers).values())

    def bounds(self, workers: int) -> dict[str, float]:
        servers = (self.entries + self.directories) / self.costs.ceiling
        return {"work": self.seconds / workers, "path": self.path, "servers": servers}


def root_of(entries: int, seed: int = 1) -> Unit:
    return Unit(UnitKind.SUBTREE, 0, 1, Node(seed, entries, 0, 0.0).pack())


class SimulatedExecutor:
    """An executor whose threads are times: when what has the worker is done, and when a slice is read.

    Stats end when the servers say so, see ``served``.

    done: entries so far
    """

    def __init__(self, rank: int, work: Work, servers: Servers) -> None:
        self.done = 0
        self.worker_ends = inf
        self.reader_ends = inf
        self.now = 0.0
        self.delay = 0.0  # until what begins now can begin
        self._rank = rank
        self._work = work
        self._costs = work.costs
        self._servers = servers
        self._events: list[Spawned | Finished] = []
        self._waiting = 0
        self._scans: deque[tuple[Unit, Node, int, list[Unit]]] = deque()
        self._scanning = False
        self._slices: deque[SliceRun] = deque()
        self._since: float | None = None  # when the first slice got the worker, or the scan
        self._reading: deque[Reading] = deque()

    # What the farm asks.

    def room_for(self, kind: UnitKind) -> bool:
        if kind is UnitKind.SLICE:
            return len(self._slices) < 2
        return not self._scans and not self._reading

    def begin(self, unit: Unit) -> None:
        if unit.kind is UnitKind.SLICE:
            is_statted, _ = _SLICE.unpack(unit.payload)
            self._slices.append(SliceRun(unit, unit.weight, not self._costs.ingest, self._costs.per_entry(is_statted)))
        else:
            self._open(unit)
        self._go_on()

    def events(self) -> list[Spawned | Finished]:
        events, self._events = self._events, []
        return events

    def wait(self, seconds: float) -> None:
        raise AssertionError("the clock knows when there is an event")

    def counters(self) -> npt.NDArray[np.int64]:
        return _COUNTERS + self.done

    def throttle(self, waiting_slices: int, _waiting_subtrees: int) -> None:
        self._waiting = waiting_slices
        if self._reading and self.reader_ends == inf:
            self._read_on()
        self._go_on()

    def divisible(self, worth_seconds: float) -> Divisible:
        soon = int(worth_seconds / self._slices[0].per_entry) if self._slices else 0
        return Divisible.of(self._not_begun, soon)

    def divide(self, parts: int) -> list[Unit]:
        units: list[Unit] = []
        size = max(1, self._not_begun // (parts + 1))
        for run in reversed(list(self._slices)):
            begun = self._begun(run) if run is self._slices[0] else 0
            while run.left > begun and len(units) < parts:
                count = min(size, run.left - begun)
                run.left -= count
                units.append(Unit(UnitKind.SLICE, run.unit.depth, count, run.unit.payload))
            if not run.left:  # not the first one, which has begun
                self._slices.remove(run)
                self._events.append(Finished(run.unit))
        self._go_on()
        return units

    def stalled(self, seconds: float) -> str:
        return ""

    def abandon(self) -> list[Unit]:
        return []

    # What the clock does.

    def served(self) -> None:
        """The servers have done all stats of what has the worker."""
        self._servers.end(self._rank, self.now)
        least = self.now
        if self._scanning:
            _, _, files, children = self._scans[0]
            assert self._since is not None
            least = self._since + self._costs.scan(files + len(children))
        if self.now < least:
            self.worker_ends = least  # no server makes one stat shorter than it is
        else:
            self.worker_done()

    def worker_done(self) -> None:
        """What has the worker is done now."""
        self.worker_ends = inf
        self._since = None
        if self._scanning:
            unit, node, files, children = self._scans.popleft()
            self._scanning = False
            self._spawn(children + self._slice(unit, node, files, True) if self._costs.ingest else children)
            if not self._costs.ingest:
                self.done += files
            self._events.append(Finished(unit))
        else:
            run = self._slices.popleft()
            self.done += run.left
            self._events.append(Finished(run.unit))
        self._go_on()

    def reader_done(self) -> None:
        """A slice of names is read now, or what was left."""
        reading = self._reading[0]
        count = min(self._costs.slice_size, reading.files - reading.read)
        reading.read += count
        self.reader_ends = inf
        self._spawn(self._slice(reading.unit, reading.node, count, False))
        if reading.read == reading.files:
            self._spawn(reading.children)
            self._events.append(Finished(reading.unit))
            self._reading.popleft()
        if self._reading:
            self._read_on()
        self._go_on()

    # The threads.

    def _open(self, unit: Unit) -> None:
        work, node = self._work, Node.unpack(unit.payload)
        files, below = work.shape(node)
        total = files + len(below)
        is_large = total > self._costs.slice_size
        seconds = self._costs.open + total * self._costs.name if is_large else self._costs.scan(total)
        found = node.ready + seconds
        children = [
            Unit(
                UnitKind.SUBTREE, unit.depth + 1, 1, Node(child_seed(node.seed, i), count, node.level + 1, found).pack()
            )
            for i, count in enumerate(below)
        ]
        work.directories += 1
        work.entries += files
        work.path = max(work.path, found + (self._costs.single if files else 0))
        work.seconds += files * self._costs.per_entry(True) if not is_large else files * self._costs.per_entry(False)
        if is_large:
            self._reading.append(Reading(unit, node, files, children))
            if len(self._reading) == 1:
                self._read_on(self._costs.open)
        else:
            work.seconds += seconds
            self._scans.append((unit, node, files, children))

    def _read_on(self, more: float = 0.0) -> None:
        if self._waiting < SLICES_AHEAD:
            reading = self._reading[0]
            count = min(self._costs.slice_size, reading.files - reading.read)
            self.reader_ends = self.now + more + count * self._costs.name

    def _slice(self, unit: Unit, node: Node, files: int, is_statted: bool) -> list[Unit]:
        if not files:
            return []
        return [Unit(UnitKind.SLICE, unit.depth, files, _SLICE.pack(is_statted, node.ready))]

    def _spawn(self, units: list[Unit]) -> None:
        if units:
            self._waiting += sum(unit.kind is UnitKind.SLICE for unit in units)
            self._events.append(Spawned(units))

    @property
    def _not_begun(self) -> int:
        """Entries of all slices that are neither done nor under way."""
        return sum(run.left for run in self._slices) - (self._begun(self._slices[0]) if self._slices else 0)

    def _begun(self, run: SliceRun) -> int:
        """Entries of the first slice that are done or under way."""
        if self._since is None or self._scanning:
            return 0
        granule = self._costs.granule
        return min(run.left, (int(self._progress(run) / granule) + 1) * granule)

    def _progress(self, run: SliceRun) -> float:
        """Entries of the first slice that are done since it got the worker."""
        assert self._since is not None
        if run.is_served:
            return run.size - self._servers.left(self._rank, self.now)
        return max(0.0, self.now - self._since) / run.per_entry

    def _pause(self) -> None:
        """Takes the worker from the first slice."""
        if self._since is None:
            return
        run = self._slices[0]
        progress = min(run.left, self._progress(run))
        done = int(progress)
        self.done += done
        run.left -= done
        run.under_way = progress - done
        if run.is_served:
            self._servers.end(self._rank, self.now)
        self._since = None

    def _go_on(self) -> None:
        """Decides what has the worker from now on."""
        if self._scanning:
            return
        if self._scans and (self._waiting < SLICES_AHEAD or not self._slices):
            self._pause()
            _, _, files, children = self._scans[0]
            self._scanning = True
            self._since, self.worker_ends = self.now + self.delay, inf
            self._servers.begin(self._rank, files + len(children), self.now)
        elif self._slices:
            self._go_on_with(self._slices[0])
        else:
            self.worker_ends = inf

    def _go_on_with(self, run: SliceRun) -> None:
        if self._since is None:
            self._since = self.now + self.delay - run.under_way * run.per_entry
            run.under_way = 0.0
            run.size = run.left
            if run.is_served:
                self._servers.begin(self._rank, run.left, self.now)
        elif run.is_served and run.size != run.left:  # it was divided
            done = self._progress(run)
            self._servers.end(self._rank, self.now)
            self._servers.begin(self._rank, run.left - done, self.now)
            run.size = run.left
        self.worker_ends = inf if run.is_served else self._since + run.left * run.per_entry
