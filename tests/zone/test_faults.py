"""Faults that are asked for happen, where they were asked for and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from irods import exception
from irods.session import iRODSSession

from mpingest.errors import MpingestError
from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.faults import Action
from mpingest.zone.numbers import Api
from tests.zone.contract.catalog import names
from tests.zone.wire import Wire, make_session, object_input


@pytest.fixture(autouse=True)
def clean(zone: EmbeddedZone) -> Iterator[None]:
    yield
    zone.clear_faults()


def register(wire: Wire, collection: str, number: int) -> int:
    return wire.call(630, object_input(f"{collection}/object{number}", filePath="/f", dataSize="1")).status


def test_the_next_request_fails(zone: EmbeddedZone, zone_session: iRODSSession, collection: str) -> None:
    zone.inject(Action.FAIL, Api.PHY_PATH_REG_AN, status=-806000)
    wire = Wire(zone_session)
    assert [register(wire, collection, number) for number in range(3)] == [-806000, 0, 0]
    assert names(zone_session, collection) == {"object1", "object2"}


def test_the_nth_and_every_kth(zone: EmbeddedZone, zone_session: iRODSSession, collection: str) -> None:
    zone.inject(Action.FAIL, Api.PHY_PATH_REG_AN, status=-115000, skip=2, every=3, times=2)
    wire = Wire(zone_session)
    statuses = [register(wire, collection, number) for number in range(10)]
    assert [number for number, status in enumerate(statuses) if status] == [2, 5]


def test_other_requests_go_on(zone: EmbeddedZone, zone_session: iRODSSession, collection: str) -> None:
    zone.inject("fail", Api.DATA_OBJ_PUT_AN, status=-806000, times=None)
    assert register(Wire(zone_session), collection, 0) == 0


def test_any_request(zone: EmbeddedZone, zone_session: iRODSSession, collection: str) -> None:
    wire = Wire(zone_session)
    zone.inject(Action.FAIL, status=-154000)
    assert [register(wire, collection, number) for number in range(2)] == [-154000, 0]


@pytest.mark.parametrize(("action", "done"), [(Action.DROP_BEFORE, set()), (Action.DROP_AFTER, {"object0"})])
def test_a_connection_drops(
    zone: EmbeddedZone, zone_session: iRODSSession, collection: str, action: Action, done: set[str]
) -> None:
    zone.inject(action, Api.PHY_PATH_REG_AN)
    with pytest.raises(OSError):
        register(Wire(zone_session), collection, 0)
    assert names(zone_session, collection) == done


def test_a_crash() -> None:
    with EmbeddedZone() as zone:
        with make_session(zone.environment_file) as session:
            zone.inject(Action.CRASH, Api.PHY_PATH_REG_AN, skip=1)
            path, wire = f"/{zone.zone}/home/{zone.user}", Wire(session)
            assert register(wire, path, 0) == 0
            assert not zone.has_ended()
            with pytest.raises(OSError):
                register(wire, path, 1)
        zone.kill()
        assert zone.has_ended()
        zone.start()
        assert not zone.has_ended()
        with make_session(zone.environment_file) as session:
            assert names(session, path) == {"object0", "object1"}


def test_a_delay(zone: EmbeddedZone, zone_session: iRODSSession, collection: str) -> None:
    zone.inject(Action.DELAY, Api.PHY_PATH_REG_AN, seconds=0.3)
    start = time.monotonic()
    assert register(Wire(zone_session), collection, 0) == 0
    assert time.monotonic() - start >= 0.3


def test_logins_are_refused(zone: EmbeddedZone) -> None:
    zone.limit(refuse_logins=True)
    with pytest.raises(exception.CAT_INVALID_AUTHENTICATION), make_session(zone.environment_file) as session:
        session.collections.exists("/tempZone")
    zone.clear_faults()
    with make_session(zone.environment_file) as session:
        assert session.collections.exists("/tempZone")


def test_connections_are_capped(zone: EmbeddedZone) -> None:
    with make_session(zone.environment_file) as session:
        first = session.pool.get_connection()
        zone.limit(max_connections=zone.stats()["connections"])
        with pytest.raises(KeyError, match="-118000"):
            session.pool.get_connection()
        zone.clear_faults()
        assert session.pool.get_connection() is not first


def test_counts(zone: EmbeddedZone, zone_session: iRODSSession, collection: str) -> None:
    wire = Wire(zone_session)
    zone.reset_counts()
    statuses = [register(wire, collection, number) for number in (0, 1, 1)]
    assert statuses == [0, 0, -809000]
    zone_session.collections.exists(collection)
    assert zone.counts()["PHY_PATH_REG_AN"] == 3
    assert zone.catalog_changes() == {"PHY_PATH_REG_AN": 2}
    assert zone.stats()["connections"] >= 1


def test_nonsense_is_refused(zone: EmbeddedZone) -> None:
    with pytest.raises(ValueError, match="bogus"):
        zone.inject("bogus")


def test_a_zone_that_is_not_there(tmp_path) -> None:
    with pytest.raises(MpingestError, match="no embedded zone runs"):
        EmbeddedZone(tmp_path).counts()
