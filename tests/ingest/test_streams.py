"""Large content: over one connection or several, always whole."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.ingest import put as put_module
from mpingest.ingest import streams
from mpingest.ingest.actions import Request
from mpingest.ingest.catalog import DATA_OBJ_OPEN, INTERMEDIATE, STALE, Catalog
from mpingest.ingest.checksums import is_of, sha2
from mpingest.ingest.content import SourceError, open_source
from mpingest.ingest.messages import object_message
from mpingest.ingest.put import Upload
from mpingest.ingest.retry import Breaker, RetryPolicy
from mpingest.ingest.statuses import RequestError, Verdict
from mpingest.ingest.streams import append, put_stream
from mpingest.ingest.traffic import Traffic
from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api

CHUNK = 64 * 1024
SIZE = 40 * CHUNK + 123


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "WRITE_SIZE", CHUNK)
    for module in (streams, put_module):
        monkeypatch.setattr(module, "SINGLE_MESSAGE_LIMIT", 4 * CHUNK)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(random.Random(0).randbytes(SIZE))
    return path


@pytest.fixture
def path(session: iRODSSession, target: str) -> str:
    session.collections.create(target)
    return f"{target}/object"


@pytest.fixture
def slow_zone(zone: EmbeddedZone) -> Iterator[EmbeddedZone]:
    """Writes take long enough for others to join in."""
    zone.inject("delay", Api.DATA_OBJ_WRITE_AN, seconds=0.01, times=None)
    zone.reset_counts()
    yield zone
    zone.clear_faults()


def make_upload(catalog: Catalog, path: str, file: Path, *, keeps_existing: bool = False) -> Upload:
    retry = RetryPolicy(Breaker(lambda: None, 10, threading.Event()))
    return Upload(catalog, retry, path, os.fsencode(file), None, keeps_existing, 0)


def put(catalog: Catalog, path: str, file: Path, *, checksum: bool = False) -> tuple[int, str]:
    with open_source(os.fsencode(file)) as source:
        source.digest = hashlib.sha256()
        sent = put_stream(catalog, path, source, None)
        return sent, sha2(source.digest)


def content(session: iRODSSession, path: str) -> bytes:
    with session.data_objects.open(path, "r") as opened:
        return opened.read()


def test_several_connections_write_one_replica(
    slow_zone: EmbeddedZone, session: iRODSSession, path: str, file: Path
) -> None:
    catalog = Catalog(session, Traffic(slots=4))
    sent, digest = put(catalog, path, file)
    counts = slow_zone.counts()
    assert sent == SIZE
    assert content(session, path) == file.read_bytes()
    assert is_of(digest, file.read_bytes()), "the digest is that of the whole, in order"
    assert counts["DATA_OBJ_WRITE_AN"] == 41
    assert counts["DATA_OBJ_OPEN_AN"] == 1 + counts["REPLICA_CLOSE_APN"] == 4
    assert counts["GET_FILE_DESCRIPTOR_INFO_APN"] == counts["DATA_OBJ_CLOSE_AN"] == 1
    assert catalog.traffic.gate.used <= 4
    [replica] = catalog.replicas(path)
    assert replica.good
    assert replica.size == SIZE


def test_one_slot_is_one_connection(zone: EmbeddedZone, session: iRODSSession, path: str, file: Path) -> None:
    zone.reset_counts()
    put(Catalog(session, Traffic(slots=1)), path, file)
    counts = zone.counts()
    assert content(session, path) == file.read_bytes()
    assert counts["DATA_OBJ_OPEN_AN"] == 1
    assert counts["GET_FILE_DESCRIPTOR_INFO_APN"] == counts["DATA_OBJ_LSEEK_AN"] == 0


@pytest.mark.parametrize(
    ("api", "skip"), [(Api.GET_FILE_DESCRIPTOR_INFO_APN, 0), (Api.DATA_OBJ_OPEN_AN, 1)], ids=["no token", "no opening"]
)
def test_a_server_that_lets_no_others_in(
    slow_zone: EmbeddedZone, session: iRODSSession, path: str, file: Path, api: Api, skip: int
) -> None:
    slow_zone.inject("fail", api, status=-405000, skip=skip, times=None)
    put(Catalog(session, Traffic(slots=4)), path, file)
    slow_zone.clear_faults()
    assert content(session, path) == file.read_bytes()
    assert slow_zone.counts()["REPLICA_CLOSE_APN"] == 0


@pytest.mark.parametrize(
    ("action", "api"), [("drop-before", Api.DATA_OBJ_WRITE_AN), ("fail", Api.REPLICA_CLOSE_APN)], ids=["write", "close"]
)
def test_where_one_connection_fails_all_is_sent_anew(
    slow_zone: EmbeddedZone, session: iRODSSession, path: str, file: Path, action: str, api: Api
) -> None:
    skip = 7 if api is Api.DATA_OBJ_WRITE_AN else 0
    slow_zone.inject(action, api, status=-154000, skip=skip)
    catalog = Catalog(session, Traffic(slots=4))
    with open_source(os.fsencode(file)) as source, pytest.raises(RequestError):
        put_stream(catalog, path, source, None)
    assert not any(replica.good for replica in catalog.replicas(path))
    upload = make_upload(catalog, path, file)
    upload.perform(Request.OVERWRITE)
    assert content(session, path) == file.read_bytes()
    assert upload.sent == SIZE


def test_nothing_is_left_of_a_longer_object(zone: EmbeddedZone, session: iRODSSession, path: str, file: Path) -> None:
    """Such as a run that was killed has left, of a file that is shorter now."""
    catalog = Catalog(session, Traffic(slots=1))
    zone.inject("fail", Api.DATA_OBJ_WRITE_AN, status=-154000, skip=30)
    with open_source(os.fsencode(file)) as source, pytest.raises(RequestError):
        put_stream(catalog, path, source, None)
    assert [(found.good, found.size) for found in catalog.replicas(path)] == [(False, 30 * CHUNK)]
    os.truncate(file, 10 * CHUNK)
    make_upload(catalog, path, file).perform(Request.PUT)
    assert content(session, path) == file.read_bytes()
    with open_source(os.fsencode(file)) as source:
        source.seek(3 * CHUNK)
        put_stream(catalog, path, source, None)
    assert content(session, path) == file.read_bytes()[3 * CHUNK :]


def test_a_good_object_is_kept(zone: EmbeddedZone, session: iRODSSession, path: str, file: Path) -> None:
    catalog = Catalog(session, Traffic(slots=1))
    catalog.put(path, b"somebody's", None, overwrite=False)
    upload = make_upload(catalog, path, file, keeps_existing=True)
    upload.perform(Request.PUT)
    assert not upload.written
    assert content(session, path) == b"somebody's"


@pytest.mark.parametrize("size", [CHUNK, SIZE], ids=["small", "large"])
def test_what_is_there_after_a_lost_reply_is_our_own(
    zone: EmbeddedZone, session: iRODSSession, path: str, file: Path, size: int
) -> None:
    os.truncate(file, size)
    zone.reset_counts()
    zone.inject("drop-after", Api.DATA_OBJ_PUT_AN)
    zone.inject("drop-after", Api.DATA_OBJ_CLOSE_AN)
    upload = make_upload(Catalog(session, Traffic(slots=1)), path, file, keeps_existing=True)
    upload.perform(Request.PUT)
    zone.clear_faults()
    assert upload.written
    assert zone.counts()["DATA_OBJ_WRITE_AN"] == (41 if size == SIZE else 0), "it is not sent again"
    assert content(session, path) == file.read_bytes()


def test_what_an_agent_that_dies_leaves_locked_is_put_anew(
    zone: EmbeddedZone, session: iRODSSession, path: str, file: Path
) -> None:
    catalog = Catalog(session, Traffic(slots=1))
    zone.inject("die", Api.DATA_OBJ_WRITE_AN, skip=3)
    upload = make_upload(catalog, path, file)
    upload.perform(Request.PUT)
    assert upload.made
    assert content(session, path) == file.read_bytes()
    assert [replica.good for replica in catalog.replicas(path)] == [True]


def test_an_object_that_was_there_before_is_not_removed_for_a_dead_agent(
    zone: EmbeddedZone, session: iRODSSession, path: str, file: Path
) -> None:
    """It may have metadata. Servers refuse to have it overwritten until they are restarted."""
    catalog = Catalog(session, Traffic(slots=1))
    catalog.put(path, b"before", None, overwrite=False)
    (before,) = catalog.replicas(path)
    zone.inject("die", Api.DATA_OBJ_WRITE_AN, skip=3)
    with pytest.raises(RequestError, match="SYS_INTERNAL_ERR"):
        make_upload(catalog, path, file).perform(Request.OVERWRITE)
    assert [(replica.object_id, replica.status) for replica in catalog.replicas(path)] == [(before.object_id, STALE)]


@pytest.mark.parametrize("says", [None, -1803000], ids=["locked", "hierarchy"])
def test_what_somebody_else_may_write_is_left_to_a_rodsadmin(
    zone: EmbeddedZone, session: iRODSSession, path: str, file: Path, says: int | None
) -> None:
    """Whatever the server says of it."""
    catalog = Catalog(session, Traffic(slots=1))
    catalog.put(path, b"somebody's", None, overwrite=False)
    with catalog.lease() as lease:  # a writer
        message = object_message(path, {}, flags=os.O_WRONLY)
        catalog.send(lease, DATA_OBJ_OPEN, message)
        lease.clean = False
        if says:
            zone.inject("fail", Api.DATA_OBJ_OPEN_AN, status=says, times=None)
        upload = make_upload(Catalog(session, Traffic(slots=1)), path, file)
        command = f"a rodsadmin has to say iadmin modrepl logical_path {path} replica_number 0 DATA_REPL_STATUS 0"
        with pytest.raises(RequestError, match=command) as caught:
            upload.perform(Request.OVERWRITE)
        zone.clear_faults()
        assert caught.value.verdict is Verdict.LOCKED
        assert [replica.status for replica in upload.catalog.replicas(path)] == [INTERMEDIATE]


def test_a_file_that_cannot_be_read_on(
    slow_zone: EmbeddedZone, session: iRODSSession, path: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(session, Traffic(slots=4))
    with open_source(os.fsencode(file)) as source:
        read, chunks = source.read, iter(range(9))

        def fail_later(size: int) -> bytes:
            if next(chunks, None) is None:
                raise SourceError("cannot be read: Input/output error")
            return read(size)

        monkeypatch.setattr(source, "read", fail_later)
        with pytest.raises(SourceError):
            put_stream(catalog, path, source, None)
    assert threading.active_count() == len([t for t in threading.enumerate() if t.name != "stream"])
    assert not any(replica.good for replica in catalog.replicas(path))


def test_helpers_leave_for_those_who_wait(
    slow_zone: EmbeddedZone, session: iRODSSession, path: str, file: Path
) -> None:
    """Another request of the same rank comes in between, though the writing would take all slots to its end."""
    catalog = Catalog(session, Traffic(slots=4))
    writing = threading.Thread(target=put, args=(catalog, path, file))
    writing.start()
    while slow_zone.counts()["DATA_OBJ_OPEN_AN"] < 4:
        assert writing.is_alive()
    assert catalog.collection_exists(path.rpartition("/")[0])
    was_under_way = writing.is_alive()
    writing.join()
    assert was_under_way
    assert content(session, path) == file.read_bytes()


def test_only_the_tail_is_appended(slow_zone: EmbeddedZone, session: iRODSSession, path: str, file: Path) -> None:
    catalog = Catalog(session, Traffic(slots=4))
    put(catalog, path, file)
    with open(file, "ab") as grown:
        grown.write(b"tail" * 3 * CHUNK)
    slow_zone.reset_counts()
    with open_source(os.fsencode(file)) as source:
        source.seek(SIZE)
        assert append(catalog, path, source, SIZE, None) == 12 * CHUNK
    assert slow_zone.counts()["DATA_OBJ_WRITE_AN"] == 12
    assert content(session, path) == file.read_bytes()
