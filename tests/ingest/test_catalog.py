"""Every status of the retry table, answered by a zone, and what the request layer and the retries make of it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.ingest.catalog import Catalog, NewReplica
from mpingest.ingest.retry import Breaker, RetryPolicy
from mpingest.ingest.statuses import LISTED, NETWORK_FAILURE, PASSING, RequestError, Verdict
from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api

CODES = [(status.verdict, code) for code, status in LISTED.items() if code != NETWORK_FAILURE]
RETRIED = {Verdict.TRANSIENT, *PASSING}


@pytest.fixture
def catalog(session: iRODSSession, target: str) -> Catalog:
    session.collections.create(target)
    return Catalog(session)


class Impatient:
    """Waits a thousandth of the time that it is asked to."""

    def wait(self, timeout: float) -> bool:
        return threading.Event().wait(timeout / 1000)

    def is_set(self) -> bool:
        return False


def register(catalog: Catalog, path: str, file: Path) -> None:
    breaker = Breaker(lambda: catalog.collection_exists(path), 60, Impatient())
    RetryPolicy(breaker).run(lambda: catalog.register(NewReplica(path, str(file), 7, 1_000_000_000), None))


@pytest.mark.parametrize(("verdict", "code"), CODES)
def test_a_status_is_tried_again_or_told(
    catalog: Catalog, zone: EmbeddedZone, target: str, tmp_path: Path, verdict: Verdict, code: int
) -> None:
    zone.inject("fail", Api.PHY_PATH_REG_AN, status=code - 13, times=2)
    try:
        if verdict in RETRIED:
            register(catalog, f"{target}/file", tmp_path / "file")
            assert [replica.size for replica in catalog.replicas(f"{target}/file")] == [7]
            assert catalog.traffic.counts.changes == 3
        else:
            with pytest.raises(RequestError) as caught:
                register(catalog, f"{target}/file", tmp_path / "file")
            assert (caught.value.status, caught.value.verdict) == (code - 13, verdict)
            assert catalog.traffic.counts.requests == 1
    finally:
        zone.clear_faults()


@pytest.mark.parametrize("when", ["drop-before", "drop-after"])
def test_a_broken_connection_is_replaced_and_none_leaks(
    catalog: Catalog, zone: EmbeddedZone, session: iRODSSession, target: str, tmp_path: Path, when: str
) -> None:
    zone.inject(when, Api.PHY_PATH_REG_AN)
    if when == "drop-before":
        register(catalog, f"{target}/file", tmp_path / "file")
    else:
        # It was done, but nobody said so: asked for again, it is there already.
        with pytest.raises(RequestError) as caught:
            register(catalog, f"{target}/file", tmp_path / "file")
        assert caught.value.verdict is Verdict.ALREADY
    assert len(catalog.replicas(f"{target}/file")) == 1
    assert (len(session.pool.active), len(session.pool.idle)) == (0, 1)


def test_failures_leak_no_connection(
    catalog: Catalog, zone: EmbeddedZone, session: iRODSSession, target: str, tmp_path: Path
) -> None:
    for _ in range(50):
        with pytest.raises(RequestError):
            catalog.put(f"{target}/missing/file", b"content", None, overwrite=False)
    assert (len(session.pool.active), len(session.pool.idle)) == (0, 1)
    assert zone.stats()["connections"] <= 2
