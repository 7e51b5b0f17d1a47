"""A farm without MPI: state machines, channels that keep order per pair of ranks, and a schedule from outside."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random

import numpy as np

from mpingest.farm.coordinator import Coordinator
from mpingest.farm.executor import Divisible
from mpingest.farm.limits import Limits, SlotUse
from mpingest.farm.messages import Allot, Finish, Lease, Send, Stop, decode
from mpingest.farm.units import Unit, UnitKind
from mpingest.farm.worker import Worker

from .trees import Tree, entries_of, part_of

_SPAWNED_AT_ONCE = 3
_ENTRIES_AT_ONCE = 5


@dataclass
class Running:
    """A unit under way: a subtree has children to spawn, a slice entries to run."""

    unit: Unit
    children: Iterator[Unit]
    entries: deque[bytes]


class Node:
    """A worker with a toy executor: up to ``room`` units run, each a few children or entries a time.

    ran: what was run how often: subtrees, and entries of slices, by name
    slots: what it was leased; used: how many it uses, by a will of its own: never one more than it has
    """

    def __init__(self, tree: Tree, room: int) -> None:
        self.worker = Worker()
        self.ran: Counter[bytes] = Counter()
        self.must_speak = True
        self.is_stuck = False
        self.slots = 0
        self.used = 0
        self._tree = tree
        self._room = room
        self._running: list[Running] = []

    @property
    def can_take(self) -> bool:
        return self.worker.waiting > 0 and len(self._running) < self._room

    @property
    def can_run(self) -> bool:
        return bool(self._running) and not self.is_stuck

    @property
    def can_stall(self) -> bool:
        return bool(self._running) and self.is_stuck

    def take(self) -> None:
        unit = self.worker.take(lambda kind: True)
        assert unit is not None
        self._running.append(Running(unit, iter(self._tree.spawned_by(unit)), deque(entries_of(unit))))
        self.must_speak = True

    def run(self, index: int) -> None:
        """Lets one running unit spawn some children or run some entries, or finish if it has none left."""
        running = self._running[index % len(self._running)]
        spawned = list(islice(running.children, _SPAWNED_AT_ONCE))
        entries = [running.entries.popleft() for _ in range(min(_ENTRIES_AT_ONCE, len(running.entries)))]
        if spawned:
            self.worker.add(spawned)
        self.ran.update(entries)
        if not spawned and not entries:
            self._running.remove(running)
            self.worker.finish(running.unit)
            if running.unit.kind is UnitKind.SUBTREE:
                self.ran[running.unit.payload] += 1
        self.must_speak = True

    def run_to_end(self) -> None:
        while self._running:
            self.run(0)

    def divide(self, parts: int) -> list[Unit]:
        units: list[Unit] = []
        size = max(1, self._not_begun // (parts + 1))
        for running in self._running:
            while running.entries and len(units) < parts:
                taken = [running.entries.pop() for _ in range(min(size, len(running.entries)))]
                units.append(part_of(running.unit, taken))
        return units

    @property
    def _not_begun(self) -> int:
        return sum(len(running.entries) for running in self._running)

    def stall(self) -> list[Send]:
        """What a driver does that finds the units stuck."""
        sends = self.worker.stall("entry")
        if self.worker.stopping:
            self.worker.abandon([running.unit for running in self._running])
            self._running.clear()
            self.is_stuck = False
        self.must_speak = True
        return sends

    def hear_lease(self) -> None:
        """Takes note of a lease, if one came."""
        lease = self.worker.take_lease()
        self.slots = self.slots if lease is None else lease

    def use(self, slots: int) -> None:
        """Begins or ends what needs slots, so that it uses so many if it may."""
        self.used = min(slots, max(self.slots, self.used))
        self.must_speak = True

    def speak(self, due: bool = False, quiet: bool = False) -> list[Send]:
        self.must_speak = False
        divisible = Divisible.of(self._not_begun, soon=0)
        return self.worker.speak(
            np.array([self.ran.total()]), divisible, SlotUse(len(self._running), self.used), due=due, quiet=quiet
        )


class Network:
    """Ranks 0 (coordinator) to ``workers``, and what is in flight between them."""

    def __init__(self, tree: Tree, workers: int, room: int = 1, roots: Iterable[Unit] | None = None) -> None:
        roots = [tree.root] if roots is None else list(roots)
        self.coordinator = Coordinator(range(1, workers + 1), roots)
        self.nodes = {rank: Node(tree, room) for rank in range(1, workers + 1)}
        self.messages = 0
        self._channels: defaultdict[tuple[int, int], deque[bytes]] = defaultdict(deque)
        self.post(0, self.coordinator.start())

    @property
    def finished(self) -> bool:
        return all(node.worker.finished for node in self.nodes.values())

    @property
    def ran(self) -> Counter[bytes]:
        """How often each subtree and each entry of a slice was run."""
        return sum((node.ran for node in self.nodes.values()), Counter())

    @property
    def pairs(self) -> Sequence[tuple[int, int]]:
        """Source and destination of what is in flight."""
        return [pair for pair, channel in self._channels.items() if channel]

    def actions(self) -> list[Callable[[], None]]:
        """All that can happen next; empty only if the farm has finished or hangs."""
        actions: list[Callable[[], None]] = []
        actions += [lambda pair=pair: self.deliver(*pair) for pair in self.pairs]
        for rank, node in self.nodes.items():
            if node.can_take:
                actions.append(node.take)
            if node.can_run:
                actions.append(lambda node=node: node.run(self.messages))
            if node.can_stall:
                actions.append(lambda rank=rank, node=node: self.post(rank, node.stall()))
            if node.used > node.slots or (node.used and not node.can_run):
                actions.append(lambda node=node: node.use(0))
            if node.must_speak:
                due, quiet = self.messages % 2 == 0, self.messages % 3 == 0
                actions.append(
                    lambda rank=rank, node=node, due=due, quiet=quiet: self.post(rank, node.speak(due, quiet))
                )
        return actions

    def run(self, random: Random, most_steps: int) -> None:
        """Lets things happen in random order until nothing can."""
        for _ in range(most_steps):
            actions = self.actions()
            if not actions:
                return
            random.choice(actions)()
        raise AssertionError(f"still running after {most_steps} steps")

    def settle(self) -> None:
        """Delivers and begins all there is, finishing nothing: messages take no time, units do."""
        busy = True
        while busy:
            busy = False
            for pair in self.pairs:
                self.deliver(*pair)
                busy = True
            for rank, node in self.nodes.items():
                while node.can_take:
                    node.take()
                if node.must_speak:
                    self.post(rank, node.speak())
                    busy = True

    def stop(self) -> None:
        self.post(0, self.coordinator.stop())

    def allot(self, limits: Limits) -> None:
        self.post(0, self.coordinator.allot(limits))

    def deliver(self, source: int, destination: int) -> None:
        message = self._channels[source, destination].popleft()
        if destination == 0:
            self.post(0, self.coordinator.receive(source, message))
            return
        node = self.nodes[destination]
        node.must_speak = True
        self.post(destination, node.worker.receive(source, message, node.divide))
        node.hear_lease()

    def post(self, source: int, sends: list[Send]) -> None:
        if any(isinstance(decode(send.payload), Finish) for send in sends):
            self._check_end()
        for send in sends:
            self._channels[source, send.destination].append(send.payload)
            self.messages += 1

    def _check_end(self) -> None:
        """The coordinator says that all is done: nothing that is answered is in flight, no one holds or runs a unit."""
        in_flight = [decode(message) for channel in self._channels.values() for message in channel]
        assert all(isinstance(message, Stop | Allot | Lease) for message in in_flight)
        assert not any(node.worker.waiting or node.worker.running for node in self.nodes.values())
