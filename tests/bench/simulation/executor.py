"""A worker's threads: what is scanned and ingested when.

One thing at a time gets the whole of a worker: a scan with all its stats in flight, or the entries of one slice with
all its sessions. Scans come first, unless too many slices wait, as in ``mpingest.jobs.pipeline``. Only a directory
of more than a slice is read besides, by a thread of its own, that gives slices of names.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpingest.farm.executor import Finished, Spawned
from mpingest.farm.units import Unit, UnitKind
from mpingest.jobs.pipeline import SLICES_AHEAD, WORTH_SECONDS

from .costs import Costs
from .shapes import Node, Shape, child_seed

_SLICE = struct.Struct("<?d")  # whether entries are stat'ed, when they could be found at the earliest
_COUNTERS = np.zeros(1, np.int64)


@dataclass(slots=True)
class SliceRun:
    """A slice under way. left: entries not done when it last got the worker; per_entry: seconds."""

    unit: Unit
    left: int
    is_statted: bool
    per_entry: float


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
    scanning: int = 0
    """Workers that have stats in flight now."""

    def least(self, workers: int) -> float:
        """Seconds that any schedule takes: the work shared out evenly, the longest chain, or what servers can do."""
        return max(self.bounds(workers).values())

    def bounds(self, workers: int) -> dict[str, float]:
        servers = (self.entries + self.directories) / self.costs.ceiling
        return {"work": self.seconds / workers, "path": self.path, "servers": servers}


def root_of(entries: int, seed: int = 1) -> Unit:
    return Unit(UnitKind.SUBTREE, 0, 1, Node(seed, entries, 0, 0.0).pack())


class SimulatedExecutor:
    """An executor whose threads are two times: when what has the worker will be done, and when a slice is read.

    busy: seconds that the worker worked so far
    done: entries
    """

    def __init__(self, work: Work) -> None:
        self.busy = 0.0
        self.done = 0
        self.worker_ends = float("inf")
        self.reader_ends = float("inf")
        self.now = 0.0
        self._work = work
        self._costs = work.costs
        self._events: list[Spawned | Finished] = []
        self._waiting = 0
        self._scans: deque[tuple[Unit, Node, int, list[Unit]]] = deque()
        self._scanning = False
        self._slices: deque[SliceRun] = deque()
        self._since: float | None = None  # when the first slice got the worker
        self._reading: deque[Reading] = deque()

    # What the farm asks.

    def room_for(self, kind: UnitKind) -> bool:
        if kind is UnitKind.SLICE:
            return len(self._slices) < 2
        return not self._scans and not self._reading

    def begin(self, unit: Unit) -> None:
        if unit.kind is UnitKind.SLICE:
            is_statted, _ = _SLICE.unpack(unit.payload)
            self._slices.append(SliceRun(unit, unit.weight, is_statted, self._costs.per_entry(is_statted)))
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

    def throttle(self, waiting_slices: int) -> None:
        self._waiting = waiting_slices
        if self._reading and self.reader_ends == float("inf"):
            self._read_on()
        self._go_on()

    def divisible(self) -> int:
        if not self._slices:
            return 0
        first = self._slices[0]
        waiting = [(first.left - self._begun(first), first), *((run.left, run) for run in list(self._slices)[1:])]
        return sum(max(0, left - int(WORTH_SECONDS / run.per_entry)) for left, run in waiting)

    def divide(self, parts: int) -> list[Unit]:
        units: list[Unit] = []
        size = max(1, self.divisible() // (parts + 1))
        for run in reversed(list(self._slices)):
            begun = self._begun(run) if run is self._slices[0] else 0
            while run.left > begun and len(units) < parts:
                count = min(size, run.left - begun)
                run.left -= count
                units.append(Unit(UnitKind.SLICE, run.unit.depth, count, run.unit.payload))
            if not run.left:
                self._slices.remove(run)
                self._events.append(Finished(run.unit))
        self._go_on()
        return units

    def stalled(self, seconds: float) -> str:
        return ""

    def abandon(self) -> list[Unit]:
        return []

    # What the clock does.

    def worker_done(self) -> None:
        """What has the worker is done now."""
        if self._scanning:
            unit, node, files, children = self._scans.popleft()
            self._scanning = False
            self._work.scanning -= 1
            self._spawn(children + self._slice(unit, node, files, True) if self._costs.ingest else children)
            if not self._costs.ingest:
                self.done += files
            self._events.append(Finished(unit))
        else:
            run = self._slices[0]
            self._pause()
            self.busy += run.left * run.per_entry  # what rounding left
            self.done += run.left
            self._slices.popleft()
            self._events.append(Finished(run.unit))
        self.worker_ends = float("inf")
        self._go_on()

    def reader_done(self) -> None:
        """A slice of names is read now, or what was left."""
        reading = self._reading[0]
        count = min(self._costs.slice_size, reading.files - reading.read)
        reading.read += count
        self.reader_ends = float("inf")
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

    def _begun(self, run: SliceRun) -> int:
        """Entries of the first slice that are done or under way, since it last got the worker."""
        if self._since is None:
            return 0
        granule = self._costs.granule
        begun = int((self.now - self._since) / (run.per_entry * granule)) + 1
        return min(run.left, begun * granule)

    def _resume(self, run: SliceRun) -> None:
        """Gives the worker to the first slice."""
        self._since = self.now
        self._work.scanning += not run.is_statted
        run.per_entry = self._costs.per_entry(run.is_statted, self._work.scanning)

    def _pause(self) -> None:
        """Takes the worker from the first slice."""
        if self._since is None:
            return
        run = self._slices[0]
        done = min(run.left, int((self.now - self._since) / run.per_entry))
        self.busy += done * run.per_entry
        self.done += done
        run.left -= done
        self._since = None
        self._work.scanning -= not run.is_statted

    def _go_on(self) -> None:
        """Decides what has the worker from now on."""
        if self._scanning:
            return
        if self._scans and (self._waiting < SLICES_AHEAD or not self._slices):
            self._pause()
            if self._slices and not self._slices[0].left:  # it was done just now
                self._events.append(Finished(self._slices.popleft().unit))
            _, _, files, children = self._scans[0]
            self._work.scanning += 1
            seconds = self._costs.scan(files + len(children), self._work.scanning)
            self.busy += seconds
            self._scanning = True
            self.worker_ends = self.now + seconds
        elif self._slices:
            run = self._slices[0]
            if self._since is None:
                self._resume(run)
            self.worker_ends = self._since + run.left * run.per_entry
        else:
            self.worker_ends = float("inf")
