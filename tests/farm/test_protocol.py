"""The protocol under random schedules: every unit once, an exact end, a fair share."""

from __future__ import annotations

import os
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpingest.farm.units import Unit, UnitKind

from .network import Network
from .trees import Tree, below_one, chain, flat

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
schedules = settings(max_examples=2000 if NIGHTLY else 200, deadline=None)

kinds = st.sampled_from(UnitKind)
random_trees = st.lists(st.tuples(st.integers(0, 10**6), kinds), max_size=60).map(
    lambda draws: Tree.from_parents([(where % (i + 1), kind) for i, (where, kind) in enumerate(draws)])
)
trees = st.one_of(
    random_trees,
    st.integers(0, 60).map(flat),
    st.integers(0, 30).map(chain),
    st.builds(below_one, st.integers(0, 5), st.integers(2, 4), st.integers(1, 3)),
)


def most_steps(tree: Tree, workers: int) -> int:
    """Far more than any run takes, far less than for ever."""
    return 1000 + 100 * len(tree) * workers


@schedules
@given(trees, st.integers(1, 8), st.integers(1, 3), st.integers())
def test_every_unit_runs_once_whatever_the_schedule(tree: Tree, workers: int, room: int, seed: int) -> None:
    network = Network(tree, workers, room)
    network.run(Random(seed), most_steps(tree, workers))
    assert network.finished
    assert network.ran == tree.all()


@schedules
@given(trees, st.integers(1, 8), st.integers(1, 3), st.integers(), st.integers(0, 200))
def test_stop_drops_what_has_not_begun(tree: Tree, workers: int, room: int, seed: int, steps: int) -> None:
    network, random = Network(tree, workers, room), Random(seed)
    for _ in range(steps):
        if actions := network.actions():
            random.choice(actions)()
    network.stop()
    network.run(random, most_steps(tree, workers))
    assert network.finished
    assert network.ran <= tree.all()
    shares = [network.coordinator.share, *(node.worker.share for node in network.nodes.values())]
    ended = sum(share.units_finished + share.units_dropped for share in shares)
    assert sum(share.units_created for share in shares) == ended


@schedules
@given(st.integers(0, 40), st.integers(1, 8), st.integers())
def test_many_roots(count: int, workers: int, seed: int) -> None:
    tree = Tree(tuple(Unit(UnitKind.SUBTREE, 0, 1, b"%d" % i) for i in range(count)), ((),) * count)
    network = Network(tree, workers, roots=tree.units)
    network.run(Random(seed), most_steps(tree, workers))
    assert network.finished
    assert network.ran == tree.all()


def run_in_step(tree: Tree, workers: int) -> Network:
    """Every unit takes the same time, messages take none."""
    network = Network(tree, workers)
    network.settle()
    while not network.finished:
        for node in network.nodes.values():
            node.run_to_end()
            node.must_speak = True
        network.settle()
    return network


@pytest.mark.parametrize(
    "tree", [below_one(3, 3, 4), flat(50), below_one(0, 2, 6)], ids=["one deep subtree", "flat", "binary"]
)
def test_no_worker_does_twice_its_share(tree: Tree) -> None:
    network = run_in_step(tree, workers=4)
    assert network.ran == tree.all()
    most = max(node.ran.total() for node in network.nodes.values())
    assert most < 2 * tree.all().total() / 4


def test_reports_grow_with_the_logarithm_of_the_backlog() -> None:
    few, many = (run_in_step(flat(slices), workers=4).messages for slices in (100, 10_000))
    assert many < 3 * few
