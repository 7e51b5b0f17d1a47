"""What an entry may cost in requests, as the zone counts them."""

from __future__ import annotations

from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.ingest import costs
from mpingest.ingest.actions import Request
from mpingest.zone.embedded import EmbeddedZone
from tests.bench.requests import BY_NAME, Bench

COSTS = {
    "register new": costs.REQUESTS[Request.REGISTER],
    "update: size or mtime changed": costs.REQUESTS[Request.UPDATE],
    "unchanged": costs.REQUESTS[Request.NOTHING],
    "put new, 1 kB": costs.REQUESTS[Request.PUT],
    "put new, 32 MiB": costs.REQUESTS[Request.PUT],
    "put_sync: changed, 1 kB": costs.REQUESTS[Request.OVERWRITE],
    "new collection": costs.COLLECTION,
    "symbolic link registered": costs.REQUESTS[Request.REGISTER] + costs.NEW_METADATA,
}


@pytest.mark.parametrize("name", COSTS)
def test_an_entry_costs_what_is_said(zone: EmbeddedZone, session: iRODSSession, tmp_path: Path, name: str) -> None:
    cost = Bench(zone, session, tmp_path).cost(BY_NAME[name])
    assert cost.total() == COSTS[name], cost


def test_the_promises() -> None:
    """Round trips that users are told of."""
    assert list(COSTS.values()) == [1, 1, 0, 1, 1, 1, 1, 2]
