"""Files registered as one more replica of an object that is there, or as its first."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpingest.handler.operations import Operation
from tests.e2e.scenarios.bench import (
    DEFAULT_RESOURCE,
    MOUNT,
    Bench,
    Replica,
    Scenario,
    Setting,
    State,
    assert_failed,
    assert_none_failed,
    rewrite,
)

AS_REPLICA = Operation.REGISTER_AS_REPLICA_SYNC


def put_before(setting: Setting) -> None:
    """The files are put by someone, then they change."""
    _put(setting, DEFAULT_RESOURCE)
    rewrite(setting.directory)


def put_to_the_leaf(setting: Setting) -> None:
    """The same, on the very leaf; only while it stands alone anyone can put to it."""
    manager, (leaf, _) = setting.session.resources, setting.resources.leaves
    manager.remove_child(setting.resources.middle, leaf)
    _put(setting, leaf)
    manager.add_child(setting.resources.middle, leaf)
    rewrite(setting.directory)


def _put(setting: Setting, resource: str) -> None:
    setting.session.collections.create(setting.collection)
    for path in setting.directory.iterdir():
        setting.session.data_objects.put(str(path), f"{setting.collection}/{path.name}", destRescName=resource)


ADDED = (
    Scenario("leaf", AS_REPLICA, "leaf", before=put_before),
    Scenario("root", AS_REPLICA, "root", before=put_before),
    Scenario("mapped", AS_REPLICA, "leaf", MOUNT, put_before),
)
FIRST = (
    Scenario("first-on-leaf", AS_REPLICA, "leaf"),
    Scenario("first-on-root", AS_REPLICA, "root"),
    Scenario("first-mapped", AS_REPLICA, "leaf", MOUNT),
)
MIDDLE = Scenario("middle", AS_REPLICA, "middle", before=put_before, fails="HIERARCHY_ERROR", files=2)
OCCUPIED = Scenario("occupied", AS_REPLICA, "leaf", before=put_to_the_leaf)
SCENARIOS = (*ADDED, *FIRST, MIDDLE, OCCUPIED)


def assert_ours(bench: Bench, state: State, scenario: Scenario, name: str, number: int) -> None:
    file, replica = state.files[name], state.replicas[name][number]
    assert replica == Replica(number, replica.resource, scenario.mount + file.path, len(file.content), "1", file.mtime)
    assert replica.resource in bench.resources.used(scenario.place)
    if not scenario.mount:
        assert state.contents[name] == file.content


@pytest.mark.parametrize("scenario", ADDED, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("run", ["first", "second"])
def test_the_new_replica_is_good_and_the_old_one_stale(bench: Bench, scenario: Scenario, run: str) -> None:
    state: State = getattr(bench, run)
    assert_none_failed(state, scenario)
    for name in state.of(scenario):
        old, _ = state.replicas[name]
        assert (old.number, old.resource, old.status) == (0, DEFAULT_RESOURCE, "0")
        assert old == bench.first.replicas[name][0]
        assert_ours(bench, state, scenario, name, 1)
        assert Path(old.path).read_bytes() != state.files[name].content


@pytest.mark.parametrize("scenario", FIRST, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("run", ["first", "second"])
def test_the_first_replica_is_registered_as_any_file(bench: Bench, scenario: Scenario, run: str) -> None:
    state: State = getattr(bench, run)
    assert_none_failed(state, scenario)
    for name in state.of(scenario):
        assert len(state.replicas[name]) == 1
        assert_ours(bench, state, scenario, name, 0)


def test_a_middle_node_is_refused(bench: Bench) -> None:
    for state in (bench.first, bench.second):
        assert_failed(state, MIDDLE)
        assert {len(state.replicas[name]) for name in state.of(MIDDLE)} == {1}


def test_a_resource_that_has_another_replica_is_refused(bench: Bench) -> None:
    for state in (bench.first, bench.second):
        for name in state.of(OCCUPIED):
            assert "has another replica of the object already" in state.failures[name]["reason"]
            (replica,) = state.replicas[name]
            assert (replica.resource, replica.size) == (bench.resources.leaves[0], int(Path(name).name))


def test_nothing_else_fails(bench: Bench) -> None:
    for state in (bench.first, bench.second):
        assert set(state.failures) == {name for scenario in (MIDDLE, OCCUPIED) for name in state.of(scenario)}
