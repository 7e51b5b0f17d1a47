"""One batch at a time: what comes in together, and what is left to requests of its own."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from irods.session import iRODSSession

from mpingest.handler.calls import Defaults, Handler
from mpingest.handler.meta import JobFacts
from mpingest.handler.operations import Operation
from mpingest.ingest.actions import Situation
from mpingest.ingest.batches import MOST_FILES, Batcher
from mpingest.ingest.bundles import File
from mpingest.ingest.catalog import Catalog, NewReplica
from mpingest.ingest.entry import EntryIngestor, IngestOptions, Result
from mpingest.ingest.messages import object_message
from mpingest.ingest.names import MAX_PATH, Naming
from mpingest.ingest.retry import Breaker, RetryPolicy
from mpingest.ingest.subject import Subjects
from mpingest.ingest.traffic import Kind
from mpingest.ingest.users import Users
from mpingest.manifest.states import Outcome
from mpingest.scan.entries import entry_row
from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api

DONE = Result(Outcome.DONE)
ALONE = Situation.ABSENT


@dataclass
class Bench:
    root: Path
    target: str
    catalog: Catalog

    def batcher(self, operation: Operation = Operation.REGISTER_SYNC, **options: Any) -> Batcher:
        root = os.fsencode(self.root)
        subjects = Subjects(
            JobFacts(root, self.target, "job", False, False),
            Handler(Defaults(operation)),
            Naming(root, self.target),
            Users(self.catalog, lambda _: None),
            logger=None,  # type: ignore[arg-type]
        )
        retry = RetryPolicy(Breaker(lambda: None, 60, threading.Event()))
        return Batcher(EntryIngestor(subjects, retry, IngestOptions(**options)))

    def file(self, name: bytes, content: bytes = b"content") -> File:
        path = os.path.join(os.fsencode(self.root), name)
        Path(os.fsdecode(path)).write_bytes(content)
        os.utime(path, (1e9, 1e9))
        return File(name, entry_row(os.lstat(path)))

    def files(self, count: int = MOST_FILES) -> list[File]:
        return [self.file(b"file%02d" % number, b"x" * number) for number in range(count)]

    def listed(self) -> dict[str, tuple[str, int, int]]:
        """Physical path, size and mtime, by name."""
        replicas = self.catalog.listing(self.target)
        return {replica.name: (replica.path, replica.size, replica.mtime) for replica in replicas}


@pytest.fixture
def bench(session: iRODSSession, zone: EmbeddedZone, tmp_path: Path, target: str) -> Bench:
    session.collections.create(target)
    root = tmp_path / "root"
    root.mkdir()
    return Bench(root, target, Catalog(session))


def test_all_are_registered_as_they_are(bench: Bench) -> None:
    files = bench.files()
    assert bench.batcher().ingest(files) == [DONE] * MOST_FILES
    assert bench.listed() == {
        f"file{number:02}": (str(bench.root / f"file{number:02}"), number, 10**9) for number in range(MOST_FILES)
    }


def test_each_file_is_one_request_and_all_go_over_one_connection(bench: Bench, zone: EmbeddedZone) -> None:
    files = bench.files()
    zone.reset_counts()
    assert bench.batcher().ingest(files) == [DONE] * MOST_FILES
    assert zone.counts()["PHY_PATH_REG_AN"] == MOST_FILES
    counts = bench.catalog.traffic.counts
    assert counts.requests == counts.changes == counts.done[Kind.REGISTER] == MOST_FILES
    assert len(bench.catalog.session.pool.idle) == 1


def test_no_more_go_out_together_than_the_rate_allows(bench: Bench) -> None:
    files, requests = bench.files(), bench.catalog.traffic.requests
    requests.set(100)
    began = time.monotonic()
    assert bench.batcher().ingest(files) == [DONE] * MOST_FILES
    assert time.monotonic() - began > (MOST_FILES - 3) / 100
    requests.close()
    assert bench.batcher().ingest([bench.file(b"one"), bench.file(b"two")]) == [ALONE, ALONE]


def test_what_fails_goes_alone(bench: Bench, zone: EmbeddedZone) -> None:
    files = bench.files()
    zone.inject("fail", Api.PHY_PATH_REG_AN, status=-809000, skip=3)
    answers = bench.batcher().ingest(files)
    assert answers == [ALONE if place == 3 else DONE for place in range(MOST_FILES)]
    assert "file03" not in bench.listed()


@pytest.mark.parametrize("action", ["drop-before", "drop-after"])
def test_where_the_connection_breaks_the_rest_goes_alone(bench: Bench, zone: EmbeddedZone, action: str) -> None:
    files = bench.files()
    zone.inject(action, Api.PHY_PATH_REG_AN, skip=5)
    batcher = bench.batcher()
    answers = batcher.ingest(files)
    assert answers == [DONE] * 5 + [ALONE] * (MOST_FILES - 5)
    assert not bench.catalog.session.pool.idle, "nobody may read the replies that are still to come"
    assert batcher.ingest(files[5:]).count(ALONE) == (action == "drop-after")
    assert len(bench.listed()) == MOST_FILES


def test_without_a_connection_all_go_alone(bench: Bench, zone: EmbeddedZone) -> None:
    files = bench.files()
    bench.catalog.session.cleanup()
    zone.limit(refuse_logins=True)
    try:
        assert bench.batcher().ingest(files) == [ALONE] * MOST_FILES
    finally:
        zone.clear_faults()


def test_names_that_need_more_go_alone(bench: Bench) -> None:
    odd = [bench.file(b"not-utf8-\xff"), bench.file("ünüsual ' & < \n".encode()), bench.file(b"plain")]
    assert bench.batcher().ingest(odd) == [ALONE, DONE, DONE]
    assert set(bench.listed()) == {"ünüsual ' & < \n", "plain"}


def test_a_file_that_changes_meanwhile_is_looked_at_again(bench: Bench) -> None:
    files = bench.files(3)
    bench.file(b"file01", b"something else")
    first, second, third = bench.batcher().ingest(files)
    assert (first, third) == (DONE, DONE)
    assert isinstance(second, Result)
    assert second.outcome is Outcome.UNSETTLED


@pytest.mark.parametrize(
    ("operation", "fits"),
    [
        (Operation.REGISTER_SYNC, True),
        (Operation.REGISTER_AS_REPLICA_SYNC, True),
        (Operation.PUT, False),
        (Operation.PUT_SYNC, False),
        (Operation.NO_OP, False),
    ],
)
def test_what_fits(bench: Bench, operation: Operation, fits: bool) -> None:
    """Nothing where the server is to read the files: that may take long, and nobody could stop after one of them."""
    bench.file(b"file")
    (bench.root / "link").symlink_to("file")
    os.mkfifo(bench.root / "pipe")
    names = ("file", "link", "pipe", "file")
    rows = [entry_row((bench.root / name).lstat()) for name in names]
    situations = [Situation.ABSENT, Situation.ABSENT, Situation.ABSENT, Situation.CHANGED]
    found = bench.batcher(operation).fitting(np.array(rows), np.array(situations, np.uint8))
    assert found.tolist() == [fits, False, False, False]
    assert not bench.batcher(operation, checksum=True).fitting(np.array(rows), np.array(situations, np.uint8)).any()


@given(st.integers(1, 4), st.integers(0, 5))
def test_the_longest_names_do_not_fill_a_connection(element: int, spare: int) -> None:
    """All of a batch is sent before any reply is read."""
    path = ("/" + "&" * element) * (MAX_PATH // (element + 1)) + "x" * spare
    new = NewReplica(path[:MAX_PATH], path[:MAX_PATH], 2**63 - 1, 2**33)
    message = object_message(new.path, {"filePath": new.physical})
    assert MOST_FILES * len(message) < 256 * 1024


def test_what_is_there_before_is_left_as_it_is(bench: Bench) -> None:
    files = bench.files(4)
    bench.catalog.register(NewReplica(f"{bench.target}/file02", "/elsewhere/file02", 1, 1), None)
    assert bench.batcher().ingest(files) == [DONE, DONE, ALONE, DONE]
    assert bench.listed()["file02"][0] == "/elsewhere/file02"
