"""A farm without MPI: state machines, channels that keep order per pair of ranks, and a schedule from outside."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from random import Random

import numpy as np

from mpingest.farm.coordinator import Coordinator
from mpingest.farm.messages import Finish, Send, Stop, decode
from mpingest.farm.units import Unit
from mpingest.farm.worker import Worker

from .trees import Tree

_SPAWNED_AT_ONCE = 3


class Node:
    """A worker with a toy executor: up to ``room`` units run, each spawns a few children a time."""

    def __init__(self, tree: Tree, room: int) -> None:
        self.worker = Worker()
        self.ran: Counter[bytes] = Counter()
        self.must_speak = True
        self._tree = tree
        self._room = room
        self._running: list[tuple[Unit, Iterator[Unit]]] = []

    @property
    def can_take(self) -> bool:
        return self.worker.waiting > 0 and len(self._running) < self._room

    @property
    def can_run(self) -> bool:
        return bool(self._running)

    def take(self) -> None:
        unit = self.worker.take(lambda kind: True)
        assert unit is not None
        self._running.append((unit, iter(self._tree.spawned_by(unit))))
        self.must_speak = True

    def run(self, index: int) -> None:
        """Lets one running unit spawn some children, or finish if it has none left."""
        unit, children = self._running[index % len(self._running)]
        spawned = list(islice(children, _SPAWNED_AT_ONCE))
        if spawned:
            self.worker.add(spawned)
        else:
            self._running.remove((unit, children))
            self.worker.finish(unit)
            self.ran[unit.payload] += 1
        self.must_speak = True

    def run_to_end(self) -> None:
        while self._running:
            self.run(0)

    def speak(self, due: bool = False) -> list[Send]:
        self.must_speak = False
        return self.worker.speak(np.array([self.ran.total()]), due)


class Network:
    """Ranks 0 (coordinator) to ``workers``, and what is in flight between them."""

    def __init__(self, tree: Tree, workers: int, room: int = 1, roots: Iterable[Unit] | None = None) -> None:
        roots = [tree.root] if roots is None else list(roots)
        self.coordinator = Coordinator(range(1, workers + 1), roots)
        self.nodes = {rank: Node(tree, room) for rank in range(1, workers + 1)}
        self.messages = 0
        self._channels: defaultdict[tuple[int, int], deque[bytes]] = defaultdict(deque)

    @property
    def finished(self) -> bool:
        return all(node.worker.finished for node in self.nodes.values())

    @property
    def ran(self) -> Counter[bytes]:
        """How often each unit was run, by payload."""
        return sum((node.ran for node in self.nodes.values()), Counter())

    def actions(self) -> list[Callable[[], None]]:
        """All that can happen next; empty only if the farm has finished or hangs."""
        actions: list[Callable[[], None]] = []
        actions += [lambda pair=pair: self.deliver(*pair) for pair, channel in self._channels.items() if channel]
        for rank, node in self.nodes.items():
            if node.can_take:
                actions.append(node.take)
            if node.can_run:
                actions.append(lambda node=node: node.run(self.messages))
            if node.must_speak:
                actions.append(lambda rank=rank, node=node: self.post(rank, node.speak(due=self.messages % 2 == 0)))
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
            for pair, channel in list(self._channels.items()):
                while channel:
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

    def deliver(self, source: int, destination: int) -> None:
        message = self._channels[source, destination].popleft()
        if destination == 0:
            self.post(0, self.coordinator.receive(source, message))
            return
        node = self.nodes[destination]
        node.must_speak = True
        self.post(destination, node.worker.receive(source, message))

    def post(self, source: int, sends: list[Send]) -> None:
        if any(isinstance(decode(send.payload), Finish) for send in sends):
            in_flight = [decode(message) for channel in self._channels.values() for message in channel]
            assert all(isinstance(message, Stop) for message in in_flight)
        for send in sends:
            self._channels[source, send.destination].append(send.payload)
            self.messages += 1
