"""The protocol as a state machine that hypothesis drives, looking for a schedule that breaks an invariant."""

from __future__ import annotations

from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mpingest.farm.limits import Limits, Rates

from .network import Network
from .test_protocol import NIGHTLY, most_steps, trees
from .trees import Tree

_ANY = st.integers(0, 10**6)


class Farm(RuleBasedStateMachine):
    """Any interleaving of messages, units that run, spawn and get stuck, allotments and a stop."""

    @initialize(tree=trees, workers=st.integers(1, 5), room=st.integers(1, 3))
    def begin(self, tree: Tree, workers: int, room: int) -> None:
        self.tree = tree
        self.network = Network(tree, workers, room)
        self.may_drop = False
        self.most_slots = 0

    @precondition(lambda self: self.network.pairs)
    @rule(which=_ANY)
    def deliver(self, which: int) -> None:
        pairs = self.network.pairs
        self.network.deliver(*pairs[which % len(pairs)])

    @rule(which=_ANY)
    def take(self, which: int) -> None:
        if nodes := [node for node in self.network.nodes.values() if node.can_take]:
            nodes[which % len(nodes)].take()

    @rule(which=_ANY, unit=_ANY)
    def run(self, which: int, unit: int) -> None:
        if nodes := [node for node in self.network.nodes.values() if node.can_run]:
            nodes[which % len(nodes)].run(unit)

    @rule(which=_ANY, due=st.booleans(), quiet=st.booleans())
    def speak(self, which: int, due: bool, quiet: bool) -> None:
        rank = 1 + which % len(self.network.nodes)
        self.network.post(rank, self.network.nodes[rank].speak(due, quiet))

    @rule(which=_ANY)
    def get_stuck(self, which: int) -> None:
        if nodes := [node for node in self.network.nodes.values() if node.can_run]:
            nodes[which % len(nodes)].is_stuck = True

    @rule(which=_ANY)
    def notice_stall(self, which: int) -> None:
        if ranks := [rank for rank, node in self.network.nodes.items() if node.can_stall]:
            rank = ranks[which % len(ranks)]
            self.network.post(rank, self.network.nodes[rank].stall())
            self.may_drop = True

    @rule(slots=st.integers(0, 9), per_second=st.floats(0, 1e9))
    def allot(self, slots: int, per_second: float) -> None:
        self.network.allot(Limits(slots, Rates(stats=per_second)))
        self.most_slots = max(self.most_slots, slots)

    @rule(which=_ANY, slots=st.integers(0, 9))
    def use_slots(self, which: int, slots: int) -> None:
        self.network.nodes[1 + which % len(self.network.nodes)].use(slots)

    @rule()
    def stop(self) -> None:
        self.network.stop()
        self.may_drop = True

    @invariant()
    def nothing_runs_twice(self) -> None:
        if hasattr(self, "network"):
            assert self.network.ran <= self.tree.all()

    @invariant()
    def no_more_slots_are_used_than_there_were_at_most(self) -> None:
        if hasattr(self, "network"):
            assert sum(node.used for node in self.network.nodes.values()) <= self.most_slots

    def teardown(self) -> None:
        """Whatever has happened, the rest comes to its end: every unit was run once, or dropped once after a stop."""
        if not hasattr(self, "network"):
            return
        self.may_drop |= any(node.is_stuck for node in self.network.nodes.values())
        self.network.run(Random(0), most_steps(self.tree, len(self.network.nodes)))
        assert self.network.finished
        shares = [self.network.coordinator.share, *(node.worker.share for node in self.network.nodes.values())]
        ended = sum(share.units_finished + share.units_dropped for share in shares)
        assert sum(share.units_created for share in shares) == ended
        if not self.may_drop:
            assert self.network.ran == self.tree.all()
            assert sum(share.weight_finished for share in shares) == sum(unit.weight for unit in self.tree.units)


Farm.TestCase.settings = settings(
    max_examples=1000 if NIGHTLY else 100,
    stateful_step_count=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestFarm = Farm.TestCase
