"""Throughput of the embedded zone: ``python -m tests.bench.zone``. Prints, never asserts."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path

from irods.models import Collection, DataObject
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.zone.wire import Wire, make_session, object_input

CLIENTS = 4
SECONDS = 4.0
LISTED = 100_000
HOME = "/tempZone/home/rods"
CONTENT = b"x" * 1024


def register(wire: Wire, path: str) -> int:
    keywords = {"filePath": "/data/file", "dataSize": "1024", "dataModify": "01700000000", "resc_hier": "demoResc"}
    return wire.call(630, object_input(path, **keywords)).status


def put(wire: Wire, path: str) -> int:
    keywords = {"dataIncluded": "", "resc_hier": "demoResc"}
    return wire.call(606, object_input(path, size=len(CONTENT), operation=1, **keywords), CONTENT).status


def client(
    work: Callable[[Wire, str], int], environment: Path, collection: str, results: multiprocessing.Queue
) -> None:
    """Make objects in a collection of its own for a while; report how many."""
    with make_session(environment) as session:
        session.collections.create(collection)
        wire = Wire(session)
        count, end = 0, time.monotonic() + SECONDS
        while time.monotonic() < end:
            assert work(wire, f"{collection}/object{count}") == 0
            count += 1
    results.put(count)


def rate(zone: EmbeddedZone, work: Callable[[Wire, str], int]) -> float:
    """Requests a second of all clients together."""
    results: multiprocessing.Queue = multiprocessing.Queue()
    clients = [
        multiprocessing.Process(
            target=client, args=(work, zone.environment_file, f"{HOME}/{work.__name__}{number}", results)
        )
        for number in range(CLIENTS)
    ]
    for process in clients:
        process.start()
    counts = [results.get() for _ in clients]
    for process in clients:
        process.join()
    return sum(counts) / SECONDS


def fill(session: iRODSSession, collection: str) -> None:
    """Register many objects, many requests in flight."""
    session.collections.create(collection)
    wire = Wire(session)
    for start in range(0, LISTED, 100):
        for number in range(start, start + 100):
            keywords = {"filePath": "/data/file", "dataSize": "1", "resc_hier": "demoResc"}
            wire.send(630, object_input(f"{collection}/object{number:06}", **keywords))
        assert all(wire.receive().status == 0 for _ in range(100))


def listing(session: iRODSSession, collection: str) -> tuple[int, float]:
    """Rows of a listing, and the seconds that it took."""
    start = time.monotonic()
    query = session.query(DataObject.name, DataObject.replica_number, DataObject.replica_status, DataObject.size)
    rows = sum(1 for _ in query.filter(Collection.name == collection))
    return rows, time.monotonic() - start


def main() -> None:
    """Run everything against one zone."""
    with EmbeddedZone() as zone:
        for work in (register, put):
            print(f"{work.__name__}: {rate(zone, work):.0f}/s with {CLIENTS} clients")
        with make_session(zone.environment_file) as session:
            start = time.monotonic()
            fill(session, f"{HOME}/many")
            print(f"pipelined register: {LISTED / (time.monotonic() - start):.0f}/s on one connection")
            rows, seconds = listing(session, f"{HOME}/many")
            print(f"listing {rows} objects: {seconds:.2f} s")


if __name__ == "__main__":
    main()
