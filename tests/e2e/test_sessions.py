"""How much a job does at a time, and a second: over any number of ranks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import CommandLine
from tests.e2e.checking import objects_below

MakeTree = Callable[[dict[str, bytes]], Path]
MIB = 1024 * 1024


@pytest.fixture
def slow_zone(zone: EmbeddedZone) -> Iterator[EmbeddedZone]:
    zone.inject("delay", Api.PHY_PATH_REG_AN, seconds=0.02, times=None)
    yield zone
    zone.clear_faults()


@contextmanager
def connections(zone: EmbeddedZone) -> Iterator[list[int]]:
    """How many there were, seen again and again."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.005):
            seen.append(zone.stats()["connections"])

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def names(directories: int, files: int) -> dict[str, bytes]:
    return {f"dir{number}/file{other}": b"" for number in range(directories) for other in range(files)}


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_connections_than_allowed(
    slow_zone: EmbeddedZone, mpingest: CommandLine, make_tree: MakeTree, target: str, most: int
) -> None:
    """Four ranks that would have three each. The server may count one that is closing."""
    before = slow_zone.stats()["connections"]
    root = make_tree(names(12, 20))
    with connections(slow_zone) as seen:
        summary = mpingest.start(root, target, "--sessions-per-rank", "3", "--max-connections", str(most), ranks=5)
    assert summary["total"]["outcome_done"] == 240
    assert max(seen) - before <= most + 1
    assert sum(count - before > most for count in seen) <= len(seen) / 20
    assert max(seen) - before >= most, "what is allowed is used"


def test_one_rank_uses_what_it_is_allowed(
    slow_zone: EmbeddedZone, mpingest: CommandLine, make_tree: MakeTree, target: str
) -> None:
    """Small directories, too, are ingested over all connections."""
    before = slow_zone.stats()["connections"]
    root = make_tree(names(60, 4))
    with connections(slow_zone) as seen:
        mpingest.start(root, target, "--sessions", "6")
    assert max(seen) - before == 6


def test_collections_are_made_over_all_connections(
    zone: EmbeddedZone, mpingest: CommandLine, make_tree: MakeTree, target: str
) -> None:
    """A tree of directories without files."""
    before = zone.stats()["connections"]
    root = make_tree({})
    for number in range(80):
        (root / f"dir{number % 8}" / f"dir{number}").mkdir(parents=True)
    zone.inject("delay", Api.COLL_CREATE_AN, seconds=0.03, times=None)
    try:
        with connections(zone) as seen:
            summary = mpingest.start(root, target, "--sessions", "5")
    finally:
        zone.clear_faults()
    assert summary["total"]["collections_made"] == 89
    assert max(seen) - before == 5


@pytest.mark.parametrize("ranks", [None, 4])
def test_requests_a_second(
    zone: EmbeddedZone, mpingest: CommandLine, make_tree: MakeTree, target: str, ranks: int | None
) -> None:
    root = make_tree(names(3, 20))
    summary = mpingest.start(root, target, "--max-requests-rate", "40", ranks=ranks)
    requests = summary["total"]["requests"]
    assert requests >= 64
    # Each rank may begin with one at once.
    assert summary["seconds"] >= (requests - 4) / 40 * 0.9


@pytest.mark.parametrize("ranks", [None, 4])
def test_bytes_a_second(
    zone: EmbeddedZone, mpingest: CommandLine, make_tree: MakeTree, target: str, ranks: int | None
) -> None:
    files = {f"dir{number % 3}/file{number}": bytes(MIB) for number in range(6)}
    options = ("--operation", "put", "--bundle", "never", "--max-bytes-rate", "4MiB/s")
    summary = mpingest.start(make_tree(files), target, *options, ranks=ranks)
    assert summary["total"]["bytes_sent"] == 6 * MIB
    assert summary["seconds"] >= 6 / 4 * 0.8


def test_content_of_bundles_counts_too(
    zone: EmbeddedZone, mpingest: CommandLine, make_tree: MakeTree, target: str
) -> None:
    files = {f"file{number}": bytes(MIB // 8) for number in range(32)}
    options = ("--operation", "put", "--bundle", "always", "--max-bytes-rate", "4MB")
    summary = mpingest.start(make_tree(files), target, *options)
    assert summary["total"]["bundled"] == 32
    assert summary["seconds"] >= 0.8


def test_what_is_found_out_is_told(zone: EmbeddedZone, mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    zone.limit(max_parallel=4)
    zone.inject("delay", Api.PHY_PATH_REG_AN, seconds=0.02, times=None)
    try:
        mpingest.start(make_tree(names(4, 150)), target, "--max-connections", "16", ranks=3)
    finally:
        zone.clear_faults()
    log = (mpingest.last_run() / "log" / "rank00000.jsonl").read_text().splitlines()
    lines = [line for line in map(json.loads, log) if line["event"] == "sessions"]
    assert [(line["before"], line["limit"]) for line in lines[:1]] == [(2, 4)]
    assert lines[0]["why"] == "slow start"
    assert lines[0]["requests_per_second"] > 0
    assert lines[0]["latency_ms"] > 15
    assert all(1 <= line["limit"] <= 16 for line in lines)
    progress = json.loads((mpingest.last_run() / "progress.json").read_text())
    assert progress["sessions"] == lines[-1]["limit"]
    assert [step["limit"] for step in progress["sessions_trail"]] == [line["limit"] for line in lines]


def test_a_large_file_goes_over_several_connections(
    zone: EmbeddedZone, session: iRODSSession, mpingest: CommandLine, tmp_path: Path, target: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with open(root / "sparse", "wb") as file:
        file.write(b"begin")
        file.seek(96 * MIB)
        file.write(b"end")
    zone.inject("delay", Api.DATA_OBJ_WRITE_AN, seconds=0.1, times=12)
    summary = mpingest.start(root, target, "--operation", "put", "--checksum", "--sessions", "4", ranks=2)
    assert summary["total"]["bytes_sent"] == 96 * MIB + 3
    assert zone.counts()["REPLICA_CLOSE_APN"] >= 1
    assert [found.size for found in objects_below(session, target).values()] == [96 * MIB + 3]
    with open(root / "sparse", "ab") as file:
        file.write(b"more")
    summary = mpingest.start(root, target, "--operation", "put_append", "--checksum")
    assert summary["total"]["bytes_sent"] == 4


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--sessions", "0", "neither auto nor a number from 1"),
        ("--sessions", "many", "neither auto nor a number from 1"),
        ("--max-bytes-rate", "fast", "such as 500MB/s"),
        ("--max-bytes-rate", "0", "such as 500MB/s"),
        ("--max-bytes-rate", "-1MB", "such as 500MB/s"),
        ("--max-bytes-rate", "1XB", "such as 500MB/s"),
        ("--max-requests-rate", "0", "x>0"),
        ("--max-connections", "0", "1<=x"),
    ],
)
def test_bad_amounts(mpingest: CommandLine, tmp_path: Path, target: str, option: str, value: str, said: str) -> None:
    done = mpingest("start", option, value, tmp_path, target)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
