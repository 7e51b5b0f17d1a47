"""Several clients want the same thing at the same time: one gets it, the others are told."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import GOOD, listing
from tests.zone.wire import Wire, collection_input, object_input

CLIENTS = 4
ROUNDS = 10


def race(session: iRODSSession, work: Callable[[Wire, int], int]) -> list[list[int]]:
    """Statuses of all clients, by round."""
    barrier = Barrier(CLIENTS)
    wires = [Wire(session) for _ in range(CLIENTS)]

    def run(wire: Wire) -> list[int]:
        results = []
        for number in range(ROUNDS):
            barrier.wait(60)
            results.append(work(wire, number))
        return results

    with ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(run, wires))
    for wire in wires:
        wire.connection.release(destroy=True)
    return [sorted(statuses) for statuses in zip(*results, strict=True)]


def test_the_same_object_is_registered_once(session: iRODSSession, home: str) -> None:
    def register(wire: Wire, number: int) -> int:
        return wire.call(630, object_input(f"{home}/object{number}", filePath="/f", dataSize="1")).status

    expected = [statuses.CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME] * (CLIENTS - 1) + [0]
    assert race(session, register) == [expected] * ROUNDS
    assert len(listing(session, home)) == ROUNDS


def test_the_same_collection_is_made_once(session: iRODSSession, home: str) -> None:
    def create(wire: Wire, number: int) -> int:
        return wire.call(681, collection_input(f"{home}/{number}/a/b/c", recursiveOpr="")).status

    assert race(session, create) == [[0] * CLIENTS] * ROUNDS
    assert session.collections.exists(f"{home}/{ROUNDS - 1}/a/b/c")


def test_objects_of_one_collection(session: iRODSSession, home: str) -> None:
    def put(wire: Wire, number: int) -> int:
        path = f"{home}/object{number}-{id(wire)}"
        return wire.call(606, object_input(path, size=5, operation=1, dataIncluded=""), b"hello").status

    assert race(session, put) == [[0] * CLIENTS] * ROUNDS
    assert [replica.status for replica in listing(session, home)] == [GOOD] * CLIENTS * ROUNDS
