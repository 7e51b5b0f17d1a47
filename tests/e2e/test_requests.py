"""What an entry may cost in requests, as the zone counts them."""

from __future__ import annotations

from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.bench.requests import BY_NAME, Bench

MOST = {
    "register new": 1,
    "update: size or mtime changed": 1,
    "unchanged": 0,
    "put new, 1 kB": 1,
    "put new, 32 MiB": 1,
    "put_sync: changed, 1 kB": 1,
    "new collection": 1,
    "symbolic link registered": 2,
}


@pytest.mark.parametrize("name", MOST)
def test_an_entry_costs_no_more(zone: EmbeddedZone, session: iRODSSession, tmp_path: Path, name: str) -> None:
    cost = Bench(zone, session, tmp_path).cost(BY_NAME[name])
    assert cost.total() <= MOST[name], cost
