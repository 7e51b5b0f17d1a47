"""Files registered in place, updated, and touched in nothing but their ctime."""

from __future__ import annotations

import pytest

from mpingest.handler.operations import Operation
from tests.e2e.scenarios.bench import (
    Bench,
    Replica,
    Scenario,
    State,
    assert_failed,
    assert_none_failed,
    touch_mode,
)

REGISTER = Operation.REGISTER_SYNC
UPDATED = (
    Scenario("default", REGISTER),
    Scenario("leaf", REGISTER, "leaf"),
    Scenario("root", REGISTER, "root"),
)
TOUCHED = (
    Scenario("default-ctime", REGISTER, change=touch_mode),
    Scenario("leaf-ctime", REGISTER, "leaf", change=touch_mode),
    Scenario("root-ctime", REGISTER, "root", change=touch_mode),
)
MIDDLE = Scenario("middle", REGISTER, "middle", fails="HIERARCHY_ERROR", files=2)
SCENARIOS = (*UPDATED, *TOUCHED, MIDDLE)
by_name = pytest.mark.parametrize("scenario", [*UPDATED, *TOUCHED], ids=lambda scenario: scenario.name)


def assert_in_place(bench: Bench, state: State, scenario: Scenario) -> None:
    assert_none_failed(state, scenario)
    for name in state.of(scenario):
        file, (replica,) = state.files[name], state.replicas[name]
        assert replica == Replica(0, replica.resource, file.path, len(file.content), "1", file.mtime)
        assert replica.resource in bench.resources.used(scenario.place)
        assert state.contents[name] == file.content


@by_name
def test_registered(bench: Bench, scenario: Scenario) -> None:
    assert_in_place(bench, bench.first, scenario)


@by_name
def test_size_and_mtime_follow_the_file(bench: Bench, scenario: Scenario) -> None:
    assert_in_place(bench, bench.second, scenario)


@pytest.mark.parametrize("scenario", TOUCHED, ids=lambda scenario: scenario.name)
def test_a_touched_mode_changes_nothing(bench: Bench, scenario: Scenario) -> None:
    for name in bench.first.of(scenario):
        assert bench.second.replicas[name] == bench.first.replicas[name]


def test_only_updates_are_sent(bench: Bench) -> None:
    assert bench.second.summary["total"]["change_metadata"] == sum(scenario.files for scenario in TOUCHED)
    assert bench.second.summary["total"]["change_modified"] == sum(scenario.files for scenario in UPDATED)


def test_a_middle_node_is_refused(bench: Bench) -> None:
    for state in (bench.first, bench.second):
        assert_failed(state, MIDDLE)
        assert set(state.failures) == set(state.of(MIDDLE))
        assert not set(state.of(MIDDLE)) & set(state.replicas)
