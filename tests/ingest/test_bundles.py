"""One bundle at a time, with a server whose vault can be tampered with behind its back."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
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
from mpingest.ingest.bundle_mode import BundleMode
from mpingest.ingest.bundles import MOST_BYTES, MOST_FILES, Bundler, File, portions
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.entry import EntryIngestor, IngestOptions, Result
from mpingest.ingest.names import Naming
from mpingest.ingest.retry import Breaker, Interrupted, RetryPolicy
from mpingest.ingest.subject import Subjects
from mpingest.ingest.users import Users
from mpingest.manifest.states import Outcome
from mpingest.scan.entries import entry_row
from mpingest.zone.embedded import EmbeddedZone


class Log:
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, event: str, **_: Any) -> None:
        self.said.append(event)

    debug = info = warning = error = note


@dataclass
class Notes:
    open: dict[str, set[bytes]] = field(default_factory=dict)

    def begun(self, tar: str, _user: object, directories: Iterable[bytes]) -> None:
        self.open[tar] = set(directories)

    def ended(self, tar: str) -> None:
        del self.open[tar]


@dataclass(frozen=True)
class Tampered(Catalog):
    """Does something between the extraction and the look at what came out."""

    meanwhile: Callable[[Tampered, str], None] = lambda *_: None

    def extract(self, path: str, collection: str, members: int) -> None:
        Catalog.extract(self, path, collection, members)
        self.meanwhile(self, collection)


@dataclass
class Bench:
    root: Path
    target: str
    catalog: Catalog
    ending: threading.Event
    notes: Notes = field(default_factory=Notes)
    log: Log = field(default_factory=Log)

    def bundler(self, mode: BundleMode = BundleMode.ALWAYS, **options: Any) -> Bundler:
        root = os.fsencode(self.root)
        users = Users(self.catalog, lambda _: None)
        handler = Handler(Defaults(Operation.PUT_SYNC))
        subjects = Subjects(
            JobFacts(root, self.target, "job", False, False), handler, Naming(root, self.target), users, self.log
        )
        ingestor = EntryIngestor(
            subjects, RetryPolicy(Breaker(lambda: None, 60, self.ending)), IngestOptions(**options)
        )
        return Bundler(ingestor, mode, self.notes, ".mpingest-bundle-test")

    def file(self, name: str, content: bytes) -> File:
        path = self.root / name
        path.write_bytes(content)
        return File(name.encode(), entry_row(path.lstat()))

    def names(self) -> set[str]:
        return {replica.name for replica in self.catalog.listing(self.target)}


@pytest.fixture
def make_bench(session: iRODSSession, zone: EmbeddedZone, tmp_path: Path, target: str) -> Callable[..., Bench]:
    def make(meanwhile: Callable[[Catalog, str], None] | None = None) -> Bench:
        session.collections.create(target)
        root = tmp_path / "root"
        root.mkdir()
        catalog = Tampered(session, meanwhile=meanwhile) if meanwhile else Catalog(session)
        return Bench(root, target, catalog, threading.Event())

    return make


MakeBench = Callable[..., Bench]


def test_all_is_well(make_bench: MakeBench) -> None:
    bench = make_bench()
    files = [bench.file(f"file{number}", b"%d" % number) for number in range(10)]
    assert bench.bundler().ingest(files, fresh=True) == [Result(Outcome.DONE, sent=1)] * 10
    assert bench.names() == {f"file{number}" for number in range(10)}
    assert bench.notes.open == {}


def test_files_that_changed_since_the_scan_go_alone(make_bench: MakeBench) -> None:
    bench = make_bench()
    files = [bench.file(f"file{number}", b"content") for number in range(4)]
    (bench.root / "file1").write_bytes(b"longer content")
    (bench.root / "file2").unlink()
    answers = bench.bundler().ingest(files, fresh=True)
    assert answers == [Result(Outcome.DONE, sent=7), Situation.ABSENT, Situation.ABSENT, Result(Outcome.DONE, sent=7)]
    assert bench.names() == {"file0", "file3"}


def test_a_file_that_changes_later_is_unsettled(make_bench: MakeBench) -> None:
    bench = make_bench(lambda *_: (bench.root / "file1").write_bytes(b"changed"))
    files = [bench.file(f"file{number}", b"content") for number in range(3)]
    answers = bench.bundler().ingest(files, fresh=True)
    assert [answer.outcome for answer in answers] == [Outcome.DONE, Outcome.UNSETTLED, Outcome.DONE]


def fill_up(*names: str) -> Callable[[Catalog, str], None]:
    """What a full vault does to the last members: they have their size, and zeros in them."""

    def meanwhile(catalog: Catalog, collection: str) -> None:
        for replica in catalog.listing(collection):
            if replica.name in names:
                Path(replica.path).write_bytes(bytes(replica.size))

    return meanwhile


def test_a_vault_that_fills_up_is_found_out(make_bench: MakeBench) -> None:
    bench = make_bench(fill_up("file3", "file5"))
    files = [bench.file(f"file{number}", b"content") for number in range(6)]
    bundler = bench.bundler()
    done = Result(Outcome.DONE, sent=7)
    assert bundler.ingest(files, fresh=True) == [done, done, done, Situation.FOUND, done, Situation.FOUND]
    assert "bundle distrusted" in bench.log.said
    assert not bundler.is_on


def test_with_checksums_each_one_is_compared(make_bench: MakeBench) -> None:
    bench = make_bench(fill_up("file1"))
    files = [bench.file(f"file{number}", b"content") for number in range(3)]
    done = Result(Outcome.DONE, sent=7)
    assert bench.bundler(checksum=True).ingest(files, fresh=True) == [done, Situation.FOUND, done]


def shorten(catalog: Catalog, collection: str) -> None:
    catalog.put(f"{collection}/file1", b"short", None, overwrite=True)
    catalog.unlink(f"{collection}/file2", force=True)


def test_what_the_listing_does_not_say_is_not_believed(make_bench: MakeBench) -> None:
    bench = make_bench(shorten)
    files = [bench.file(f"file{number}", b"content") for number in range(4)]
    done = Result(Outcome.DONE, sent=7)
    assert bench.bundler().ingest(files, fresh=True) == [done, Situation.FOUND, Situation.ABSENT, done]


def test_what_was_there_is_neither_overwritten_nor_taken_for_ours(make_bench: MakeBench) -> None:
    bench = make_bench()
    files = [bench.file(f"file{number}", b"content") for number in range(4)]
    bench.catalog.put(f"{bench.target}/file1", b"another", None, overwrite=False)
    bundler = bench.bundler()
    done = Result(Outcome.DONE, sent=7)
    assert bundler.ingest(files, fresh=False) == [done, Situation.ABSENT, done, done]
    assert bundler.ingest(files[:2], fresh=False) == [Situation.ABSENT] * 2
    assert bench.catalog.checksum(f"{bench.target}/file1") != bench.catalog.checksum(f"{bench.target}/file0")


def test_an_end_takes_it_back(make_bench: MakeBench) -> None:
    bench = make_bench()
    files = [bench.file("file", b"content")]
    bench.ending.set()
    with pytest.raises(Interrupted):
        bench.bundler().ingest(files, fresh=True)
    assert bench.names() == set()
    assert bench.notes.open == {}


def test_bundles_that_fail_are_given_up(make_bench: MakeBench, zone: EmbeddedZone) -> None:
    bench = make_bench()
    bundler = bench.bundler()
    zone.inject("fail", 665, status=-818000, times=None)
    try:
        for number in range(3):
            assert bundler.is_on
            assert bundler.ingest([bench.file(f"file{number}", b"x")], fresh=True) == [Situation.ABSENT]
    finally:
        zone.clear_faults()
    assert not bundler.pays(1000)
    assert "no more bundles" in bench.log.said
    assert bench.names() == set()


def test_more_bundles_than_an_agent_extracts(make_bench: MakeBench) -> None:
    bench = make_bench()
    bundler = bench.bundler()
    for number in range(40):
        answer = bundler.ingest([bench.file(f"file{number}", b"x")], fresh=True)
        assert answer == [Result(Outcome.DONE, sent=1)]


def test_what_fits(make_bench: MakeBench) -> None:
    bench = make_bench()
    (bench.root / "directory").mkdir()
    (bench.root / "link").symlink_to("small")
    (bench.root / "large").touch()
    os.truncate(bench.root / "large", 5 * 1024 * 1024)
    bench.file("small", b"x")
    names = ["small", "large", "link", "directory", "small"]
    rows = np.array([entry_row((bench.root / name).lstat()) for name in names])
    situations = np.array([Situation.ABSENT] * 4 + [Situation.FOUND], np.uint8)
    assert bench.bundler().fitting(rows, situations).tolist() == [True, False, False, False, False]
    assert not bench.bundler(BundleMode.NEVER).fitting(rows, situations).any()


@given(st.lists(st.integers(0, 4 * 1024 * 1024), max_size=3000))
def test_portions_hold_all_in_order_and_none_too_much(sizes: list[int]) -> None:
    parts = list(portions(np.arange(len(sizes)), np.array(sizes, np.int64)))
    assert [index for part in parts for index in part.tolist()] == list(range(len(sizes)))
    for part in parts:
        assert 0 < len(part) <= MOST_FILES
        assert sum(sizes[index] for index in part) <= MOST_BYTES
