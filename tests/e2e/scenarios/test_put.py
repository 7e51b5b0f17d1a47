"""Files copied into vaults: once, again when they change, and only their new end."""

from __future__ import annotations

import pytest

from mpingest.handler.operations import Operation
from tests.e2e.scenarios.bench import Bench, Scenario, State, assert_failed, assert_none_failed

ONCE = (Scenario("put", Operation.PUT), Scenario("put-root", Operation.PUT, "root"))
FOLLOWED = (
    Scenario("sync", Operation.PUT_SYNC),
    Scenario("sync-root", Operation.PUT_SYNC, "root"),
    Scenario("append", Operation.PUT_APPEND),
    Scenario("append-root", Operation.PUT_APPEND, "root"),
)
REFUSED = tuple(
    Scenario(f"{operation.name.lower()}-{place}", operation, place, fails="DIRECT_CHILD_ACCESS", files=3)
    for operation in (Operation.PUT, Operation.PUT_SYNC, Operation.PUT_APPEND)
    for place in ("leaf", "middle")
)
SCENARIOS = (*ONCE, *FOLLOWED, *REFUSED)


def assert_put(bench: Bench, state: State, content_of: State, scenario: Scenario) -> None:
    assert_none_failed(state, scenario)
    for name in state.of(scenario):
        (replica,), content = state.replicas[name], content_of.files[name].content
        assert (replica.number, replica.size, replica.status) == (0, len(content), "1")
        assert replica.resource in bench.resources.used(scenario.place)
        assert replica.path != state.files[name].path
        assert state.contents[name] == content


@pytest.mark.parametrize("scenario", [*ONCE, *FOLLOWED], ids=lambda scenario: scenario.name)
def test_put(bench: Bench, scenario: Scenario) -> None:
    assert_put(bench, bench.first, bench.first, scenario)


@pytest.mark.parametrize("scenario", ONCE, ids=lambda scenario: scenario.name)
def test_put_leaves_what_has_changed(bench: Bench, scenario: Scenario) -> None:
    assert_put(bench, bench.second, bench.first, scenario)
    for name in bench.second.of(scenario):
        assert bench.second.contents[name] != bench.second.files[name].content


@pytest.mark.parametrize("scenario", FOLLOWED, ids=lambda scenario: scenario.name)
def test_what_has_changed_follows(bench: Bench, scenario: Scenario) -> None:
    assert_put(bench, bench.second, bench.second, scenario)


def test_appends_send_only_the_end(bench: Bench) -> None:
    grown = sum(
        len(bench.second.files[name].content) - len(bench.first.files[name].content) * scenario.name.startswith("app")
        for scenario in FOLLOWED
        for name in bench.second.of(scenario)
    )
    assert bench.second.summary["total"]["bytes_sent"] == grown


@pytest.mark.parametrize("scenario", REFUSED, ids=lambda scenario: scenario.name)
def test_nothing_is_put_beside_the_root_of_a_tree(bench: Bench, scenario: Scenario) -> None:
    for state in (bench.first, bench.second):
        assert_failed(state, scenario)
        assert not set(state.of(scenario)) & set(state.replicas)


def test_nothing_else_fails(bench: Bench) -> None:
    for state in (bench.first, bench.second):
        assert set(state.failures) == {name for scenario in REFUSED for name in state.of(scenario)}
