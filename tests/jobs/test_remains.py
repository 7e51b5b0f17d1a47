"""What is found out about the bundles of a run that was killed, whatever the zone answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.errors import MpingestError
from mpingest.handler.calls import User
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.retry import Breaker, RetryPolicy
from mpingest.jobs.directory import JobDirectory
from mpingest.jobs.ending import Ending
from mpingest.jobs.remains import BundleNotes, settle_remains
from mpingest.jobs.spec import JobSpec
from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api

CAT_NO_ACCESS_PERMISSION = -818000


class Killed:
    """A job of which each run is cut off while a bundle of ``directory`` is put."""

    def __init__(self, session: iRODSSession, target: str, jobs: Path) -> None:
        self.catalog = Catalog(session)
        self.job = JobDirectory.of(str(jobs), JobSpec("lab", b"/data", target))
        self.target, self.directory = target, b"one/two"
        self.tars: list[str] = []

    def begin(self) -> int:
        """A run as far as its tar file; the id of that."""
        run = self.job.new_run()
        self.tars.append(f"{self.target}/{run.number}.tar")
        BundleNotes(run, 0).begun(self.tars[-1], None, [self.directory])
        self.catalog.put(self.tars[-1], b"members", None, overwrite=False)
        return self.catalog.replicas(self.tars[-1])[0].object_id

    def settle(self) -> tuple[dict[bytes, int], list[str]]:
        """The doubts of the next run, and its notes."""

        def catalog_of(_: User | None) -> Catalog:
            return self.catalog

        earlier, notes = self.job.runs(), list[str]()
        retry = RetryPolicy(Breaker(lambda: None, 60, Ending()))
        return settle_remains(earlier, self.job.new_run(), catalog_of, retry, notes), notes

    def left(self) -> list[str]:
        """Tar files that are still there."""
        return [tar for tar in self.tars if self.catalog.replicas(tar)]


@pytest.fixture
def killed(session: iRODSSession, target: str, tmp_path: Path) -> Killed:
    session.collections.create(target)
    return Killed(session, target, tmp_path / "jobs")


def test_what_came_out_of_any_of_them_is_doubtful(killed: Killed) -> None:
    first = killed.begin()
    killed.begin()
    doubts, notes = killed.settle()
    assert doubts == {killed.directory: first}
    assert notes == [f"removed what an unfinished bundle had left: {tar}" for tar in killed.tars]
    assert killed.left() == []
    assert killed.settle() == (doubts, []), "until a run has come to its end"


def test_a_broken_connection_does_not_matter(killed: Killed, zone: EmbeddedZone) -> None:
    first = killed.begin()
    zone.inject("drop-before", Api.GEN_QUERY_AN)
    assert killed.settle()[0] == {killed.directory: first}
    assert killed.left() == []


def test_there_is_no_run_where_the_zone_refuses_to_tell(killed: Killed, zone: EmbeddedZone) -> None:
    first, second = killed.begin(), killed.begin()
    assert first < second
    for skip in (0, 1):
        zone.inject("fail", Api.GEN_QUERY_AN, status=CAT_NO_ACCESS_PERMISSION, skip=skip)
        with pytest.raises(
            MpingestError, match=rf"^{killed.tars[skip]}: what .* cannot be looked at: .*; run the same line again$"
        ):
            killed.settle()
    assert killed.left() == killed.tars[1:]
    assert killed.settle()[0] == {killed.directory: first}
    assert killed.left() == []
