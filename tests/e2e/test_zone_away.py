"""A zone that goes away while a run is under way, and connections that break: nothing fails of it, nothing is left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import FULL, CommandLine, only_full
from tests.e2e.checking import assert_put, assert_registered
from tests.e2e.stopping import Running

MakeTree = Callable[[dict[str, bytes]], Path]

AWAY_SECONDS = 30.0 if FULL else 2.0
FILES = 150
API = {"put_sync": Api.DATA_OBJ_PUT_AN, "register_sync": Api.PHY_PATH_REG_AN}
SESSIONS = 4


@pytest.mark.parametrize(
    ("ranks", "operation"),
    [
        (3, "put_sync"),
        pytest.param(1, "put_sync", marks=only_full),
        pytest.param(4, "register_sync", marks=only_full),
    ],
)
def test_a_zone_that_is_restarted_costs_nothing_but_time(
    mpingest: CommandLine, make_tree: MakeTree, own_zone: EmbeddedZone, target: str, ranks: int, operation: str
) -> None:
    root = make_tree({f"dir{number % 7}/file{number}": b"x" * number for number in range(FILES)})
    own_zone.inject("delay", API[operation], seconds=0.05, times=None)
    options = ("--operation", operation, "--bundle", "never", "--sessions", "4", "--slice-size", "20")
    run = Running(mpingest, *options, root, target, ranks=ranks, environment={})
    run.wait_for(lambda: own_zone.counts()[API[operation].name] >= 30)
    own_zone.kill()
    threading.Event().wait(AWAY_SECONDS)
    assert run.process.poll() is None, "it waits"
    own_zone.start()
    code, out, err = run.end(120)
    assert code == 0, out + err
    summary = mpingest.summary()
    assert summary["total"]["outcome_failed"] == summary["total"]["directories_failed"] == 0
    assert mpingest.failures() == []
    check = assert_put if operation == "put_sync" else assert_registered
    with iRODSSession(irods_env_file=str(own_zone.environment_file)) as session:
        assert check(session, root, target) == FILES
    again = mpingest.start(root, target, *options, ranks=ranks)["total"]
    assert again["change_unchanged"] == FILES


def test_who_is_let_in_no_more_waits_and_then_stops(
    mpingest: CommandLine, make_tree: MakeTree, own_zone: EmbeddedZone, target: str
) -> None:
    """Logins are refused with a status that is else permanent: no entry is to fail of it."""
    root = make_tree({f"file{number}": b"x" for number in range(FILES)})
    own_zone.inject("delay", Api.DATA_OBJ_PUT_AN, seconds=0.05, times=None)
    options = ("--operation", "put_sync", "--bundle", "never", "--sessions", "4", "--zone-timeout", "1")
    run = Running(mpingest, *options, root, target, ranks=3, environment={})
    run.wait_for(lambda: own_zone.counts()["DATA_OBJ_PUT_AN"] >= 30)
    own_zone.limit(refuse_logins=True)
    own_zone.inject("drop-before", Api.DATA_OBJ_PUT_AN, times=None)
    code, _, err = run.end(60)
    assert code == 75, err
    assert "the zone has not answered for " in err
    assert "run the same line again" in err
    assert "Traceback" not in err
    total = mpingest.summary()["total"]
    assert total["outcome_failed"] == 0
    assert mpingest.failures() == []
    assert not (mpingest.job() / "lock").exists()
    own_zone.clear_faults()
    again = mpingest.start(root, target, "--operation", "put_sync", ranks=3)["total"]
    assert again["change_unchanged"] >= total["outcome_done"]


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=only_full), 3])
def test_failing_puts_leave_no_connection_behind(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, target: str, ranks: int
) -> None:
    """One in three fails for good, one in three breaks its connection off."""
    count = 30_000 if FULL else 300
    root = make_tree({f"dir{number % 10}/file{number:05d}": b"x" for number in range(count)})
    allowed = SESSIONS + 1  # and one of rank 0, which looks at the zone first
    before = zone.stats()["connections"]
    zone.inject("fail", Api.DATA_OBJ_PUT_AN, status=-818000, every=3, times=None)
    zone.inject("drop-after", Api.DATA_OBJ_PUT_AN, every=3, skip=1, times=1000 if FULL else 20)
    options = ("--operation", "put_sync", "--bundle", "never", "--sessions", str(SESSIONS))
    most = 0
    try:
        run = Running(mpingest, *options, root, target, ranks=ranks, environment={})
        while run.process.poll() is None:
            most = max(most, zone.stats()["connections"])
            threading.Event().wait(0.02)
        code, _, err = run.end()
    finally:
        zone.clear_faults()
    assert code == 3, err
    failures = mpingest.failures()
    assert count // 6 < len(failures) < count
    assert {failure["error"] for failure in failures} == {"CAT_NO_ACCESS_PERMISSION"}
    assert most - before <= allowed
    assert zone.stats()["connections"] == before
    assert mpingest.start(root, target, *options, ranks=ranks)["exit_code"] == 0
