"""The gate of a rank: how many are inside, and how many connections stay open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from irods.session import iRODSSession

from mpingest.ingest.catalog import Catalog, NewReplica
from mpingest.ingest.retry import Interrupted
from mpingest.ingest.traffic import Full, Kind, Traffic
from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api

HOME = "/tempZone/home"


@contextmanager
def another(zone: EmbeddedZone) -> Iterator[iRODSSession]:
    with iRODSSession(irods_env_file=str(zone.environment_file)) as session:
        yield session


def waits(traffic: Traffic) -> None:
    while traffic.gate.inside_or_waiting < 2:
        threading.Event().wait(0.001)


def test_who_finds_no_slot_waits_for_one(session: iRODSSession) -> None:
    catalog = Catalog(session, Traffic(slots=1))
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(catalog.collection_exists(HOME)))
    with catalog.lease():
        thread.start()
        waits(catalog.traffic)
        assert catalog.traffic.gate.crowded
        with pytest.raises(Full), catalog.lease(waits=False):
            pass
        assert not found
    thread.join()
    assert found == [True]


def test_more_slots_let_those_in_who_wait(session: iRODSSession) -> None:
    catalog = Catalog(session, Traffic(slots=0))
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(catalog.collection_exists(HOME)))
    thread.start()
    while not catalog.traffic.gate.is_withheld:
        threading.Event().wait(0.001)
    catalog.traffic.gate.resize(1)
    thread.join()
    assert found == [True]


def test_nobody_waits_once_closed(session: iRODSSession) -> None:
    catalog = Catalog(session, Traffic(slots=0))
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            catalog.collection_exists(HOME)
        except Interrupted as error:
            ended.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    catalog.traffic.close()
    thread.join()
    assert len(ended) == 1


def test_with_fewer_slots_connections_are_closed(session: iRODSSession) -> None:
    catalog = Catalog(session, Traffic(slots=4))
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(catalog.lease())
        catalog.traffic.gate.resize(2)
        assert catalog.traffic.gate.used == 4, "who is inside stays there"
    assert catalog.traffic.gate.used == len(session.pool.idle) == 2
    catalog.traffic.gate.resize(0)
    assert catalog.traffic.gate.used == len(session.pool.idle) == 0


def test_sessions_of_several_users_share_the_slots(zone: EmbeddedZone, session: iRODSSession) -> None:
    with another(zone) as other:
        own = Catalog(session, Traffic(slots=2))
        theirs = own.for_client(other)
        with own.lease(), own.lease():
            pass
        assert (len(session.pool.idle), len(other.pool.idle)) == (2, 0)
        with theirs.lease():
            assert own.traffic.gate.used == 2
        assert (len(session.pool.idle), len(other.pool.idle)) == (1, 1)


def test_what_was_done_is_counted_by_kind(zone: EmbeddedZone, session: iRODSSession, target: str) -> None:
    catalog = Catalog(session)
    catalog.make_collection(target)
    catalog.register(NewReplica(f"{target}/registered", "/data/file", 10, 0), None)
    catalog.put(f"{target}/small", b"content", None, overwrite=False)
    catalog.put(f"{target}/large", bytes(2**20), None, overwrite=False)
    counts = catalog.traffic.counts
    assert counts.done.tolist() == [1, 1, 2**20, 0, 1]
    assert (counts.took > 0).tolist() == [True, True, True, False, True]
    assert counts.overloads == 0


def test_what_fails_is_not_done(zone: EmbeddedZone, session: iRODSSession) -> None:
    catalog = Catalog(session)
    zone.inject("fail", Api.PHY_PATH_REG_AN, status=-118000)
    with pytest.raises(Exception, match="MAX_CONNECT"):
        catalog.register(NewReplica(f"{HOME}/rods/object", "/data/file", 10, 0), None)
    assert catalog.traffic.counts.done[Kind.REGISTER] == 0
    assert catalog.traffic.counts.overloads == 1
