"""One entry, from what is known of it to its outcome: handler, requests, the look back at the file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mpingest.handler.load import Handler, HandlerFailure, Logger
from mpingest.handler.meta import JobFacts, entry_meta
from mpingest.handler.operations import DeleteMode, Operation
from mpingest.ingest.actions import ACTIONS, Hook, Request, Situation
from mpingest.ingest.catalog import Catalog, Replica
from mpingest.ingest.content import SourceError
from mpingest.ingest.delete import COMPATIBLE, Deletion
from mpingest.ingest.names import UnusableName, logical_path, text
from mpingest.ingest.put import Upload, put_as
from mpingest.ingest.register import Conflict, Registration, registered_as
from mpingest.ingest.retry import RetryPolicy
from mpingest.ingest.statuses import COLLECTION_NOT_EMPTY, RequestError, Verdict
from mpingest.manifest.states import Outcome
from mpingest.scan.entries import stat_row


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an entry.

    code: an iRODS error, or the number of the replica that is ours; reason: for people; sent: bytes of content
    """

    outcome: Outcome
    code: int = 0
    reason: str = ""
    sent: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an entry. replica: number of ours; size: bytes, when it was last ingested."""

    situation: Situation
    replica: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Finding:
    """How an entry compares with what the catalog has under its name.

    adopted: it is all that its operation wants there; replica: number of ours
    """

    adopted: bool
    situation: Situation = Situation.FOUND
    replica: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    path: bytes
    logical: str
    row: np.void
    meta: dict[str, Any]
    operation: Operation


REFUSALS = (UnusableName, HandlerFailure, SourceError, Conflict)
"""Why an entry fails before, or whatever, the zone says."""


@dataclass(frozen=True, slots=True)
class EntryIngestor:
    """Brings the entries of one job into the catalog, one at a time. Safe for several threads."""

    job: JobFacts
    handler: Handler
    catalog: Catalog
    retry: RetryPolicy
    logger: Logger
    default_resource: str | None

    def ingest(self, relative: bytes, row: np.void, known: Known) -> Result:
        """Do about the entry what its operation wants done. Raises ZoneGone, Interrupted, nothing else."""
        try:
            entry = self._entry(relative, row)
            if reason := _nothing_to_send(entry):
                self.logger.info("skipped", path=entry.meta["path"], reason=reason)
                return Result(Outcome.SKIPPED, reason=reason)
            done = self._act(entry, known)
        except REFUSALS as error:
            return Result(Outcome.FAILED, reason=str(error))
        except RequestError as error:
            return Result(Outcome.FAILED, error.status, str(error))
        if not _unchanged(entry.path, row):
            return replace(done, outcome=Outcome.UNSETTLED, reason="changed while it was ingested")
        return done

    def compare(self, relative: bytes, row: np.void, replicas: list[Replica]) -> Finding:
        """How the entry compares with what the catalog has under its name."""
        try:
            entry = self._entry(relative, row)
            if entry.operation is Operation.NO_OP:
                return Finding(adopted=False)
            if entry.operation.sends_content:
                return _compare_content(entry, replicas)
            return _compare_registration(row, self._physical_path(entry), replicas)
        except REFUSALS:
            return Finding(adopted=False)  # it is refused again, and then reported, when it is ingested

    def remove(self, relative: bytes, row: np.void, size: int) -> Result:
        """Delete the object of an entry that is gone, as its delete mode says. Raises ZoneGone, Interrupted.

        size: bytes, when it was last ingested
        """
        try:
            entry = self._entry(relative, row)
            mode = self._delete_mode(entry)
            if mode is DeleteMode.DO_NOT_DELETE:
                return Result(Outcome.GONE)
            physical = self._physical_path(entry)
            self.handler.delete_hook("pre_data_obj_delete", self.catalog.session, entry.meta)
            self.retry.run(Deletion(self.catalog, mode, entry.logical, physical, size).perform)
            self.handler.delete_hook("post_data_obj_delete", self.catalog.session, entry.meta)
        except REFUSALS as error:
            return Result(Outcome.FAILED, reason=str(error))
        except RequestError as error:
            return Result(Outcome.FAILED, error.status, str(error))
        return Result(Outcome.REMOVED)

    def remove_collection(self, relative: bytes, row: np.void) -> Result:
        """Remove the collection of a directory that is gone, if it is empty. Raises ZoneGone, Interrupted."""
        try:
            entry = self._entry(relative, row)
            if self._delete_mode(entry) is DeleteMode.DO_NOT_DELETE:
                return Result(Outcome.GONE)
            self.handler.delete_hook("pre_coll_delete", self.catalog.session, entry.meta)
            self.retry.run(lambda: self.catalog.remove_collection(entry.logical))
            self.handler.delete_hook("post_coll_delete", self.catalog.session, entry.meta)
        except REFUSALS as error:
            return Result(Outcome.FAILED, reason=str(error))
        except RequestError as error:
            if error.status == COLLECTION_NOT_EMPTY:
                self.logger.info("kept", path=entry.meta["path"], reason="its collection holds what is not ours")
                return Result(Outcome.GONE)
            if error.verdict not in (Verdict.ABSENT, Verdict.NO_COLLECTION):
                return Result(Outcome.FAILED, error.status, str(error))
        return Result(Outcome.REMOVED)

    def _delete_mode(self, entry: _Entry) -> DeleteMode:
        mode = self.handler.delete_mode(entry.meta)
        if mode not in COMPATIBLE[entry.operation]:
            raise Conflict(f"delete mode {mode.name} does not fit operation {entry.operation.name}")
        return mode

    def make_collection(self, relative: bytes, row: np.void) -> bool:
        """Create the directory's collection, below one that exists; False if it was there already.

        Raises RequestError, UnusableName, HandlerFailure, ZoneGone.
        """
        path = self.path(relative)
        logical = logical_path(self.job.target, relative)
        meta = entry_meta(self.job, path, logical, row)
        # Only a script that wants to know before makes it worth a query; else the answer to the request tells.
        if self.handler.has("pre_coll_create") and self.retry.run(lambda: self.catalog.collection_exists(logical)):
            return False
        self.handler.hook("pre_coll_create", self.logger, self.catalog.session, meta)
        created = self.retry.run(lambda: self.catalog.make_collection(logical))
        if created:
            self.handler.hook("post_coll_create", self.logger, self.catalog.session, meta)
        return created

    def operation(self, relative: bytes, row: np.void) -> Operation:
        """What is to be done about an entry. Raises UnusableName, HandlerFailure."""
        return self._entry(relative, row).operation

    def listing(self, relative: bytes) -> dict[bytes, list[Replica]]:
        """The replicas in the directory's collection by name. Raises RequestError, ZoneGone."""
        logical = logical_path(self.job.target, relative)
        found: dict[bytes, list[Replica]] = {}
        for replica in self.retry.run(lambda: list(self.catalog.listing(logical))):
            found.setdefault(os.fsencode(replica.name), []).append(replica)
        return found

    def _entry(self, relative: bytes, row: np.void) -> _Entry:
        path = self.path(relative)
        logical = logical_path(self.job.target, relative)
        meta = entry_meta(self.job, path, logical, row)
        operation = self.handler.operation(self.catalog.session, meta)
        return _Entry(path, logical, row, meta, operation)

    def _act(self, entry: _Entry, known: Known) -> Result:
        action = ACTIONS[entry.operation][known.situation]
        if action.hook is Hook.NONE:
            return self._send(action.request, entry, known)
        extra = (entry.operation,) if entry.operation.sends_content else ()
        session = self.catalog.session
        self.handler.hook(f"pre_{action.hook.value}", self.logger, session, entry.meta, *extra)
        done = self._send(action.request, entry, known)
        self.handler.hook(f"post_{action.hook.value}", self.logger, session, entry.meta, *extra)
        return done

    def _send(self, request: Request, entry: _Entry, known: Known) -> Result:
        if request is Request.NOTHING:
            return Result(Outcome.DONE, known.replica)
        try:
            return self._request(request, entry, known)
        except RequestError as error:
            if error.verdict is not Verdict.NO_COLLECTION:
                raise
        # Someone removed the collection since we made it.
        self.retry.run(lambda: self.catalog.make_collections(entry.logical.rpartition("/")[0]))
        return self._request(request, entry, known)

    def _request(self, request: Request, entry: _Entry, known: Known) -> Result:
        catalog, retry = self.catalog, self.retry
        resource = self.handler.to_resource(catalog.session, entry.meta) or self.default_resource
        if entry.operation.sends_content:
            keeps_existing = entry.operation is Operation.PUT
            upload = Upload(catalog, retry, entry.logical, entry.path, resource, keeps_existing, known.size)
            upload.perform(request)
            return Result(Outcome.DONE, sent=upload.sent)
        physical = self._physical_path(entry)
        as_replica = entry.operation is Operation.REGISTER_AS_REPLICA_SYNC
        registration = Registration(
            catalog, retry, entry.logical, physical, entry.row, resource, as_replica, known.replica
        )
        registration.perform(request)
        return Result(Outcome.DONE, registration.number)

    def path(self, relative: bytes) -> bytes:
        """The absolute path of an entry."""
        return os.path.join(self.job.root, relative) if relative else self.job.root

    def _physical_path(self, entry: _Entry) -> str:
        return self.handler.target_path(self.catalog.session, entry.meta) or text(entry.path)


def _compare_content(entry: _Entry, replicas: list[Replica]) -> Finding:
    if entry.operation is Operation.PUT:
        return Finding(adopted=any(replica.good for replica in replicas))
    return Finding(adopted=any(put_as(replica, entry.row, entry.path) for replica in replicas))


def _compare_registration(row: np.void, physical: str, replicas: list[Replica]) -> Finding:
    ours = next((replica for replica in replicas if replica.path == physical), None)
    if ours is None:
        return Finding(adopted=False, situation=Situation.ELSEWHERE)
    return Finding(registered_as(ours, row, physical), Situation.FOUND, ours.number)


def _nothing_to_send(entry: _Entry) -> str:
    kind = stat.S_IFMT(int(entry.row["mode"]))
    if kind not in (stat.S_IFREG, stat.S_IFLNK):
        return "a special file: neither regular nor a link"
    if kind == stat.S_IFLNK and entry.operation.sends_content and not os.path.isfile(entry.path):
        return "a link to no regular file: nothing to put"
    return ""


def _unchanged(path: bytes, row: np.void) -> bool:
    """Whether the file is still as it was scanned; a link may have been described by itself or by its target."""
    known = (int(row["inode"]), int(row["size"]), int(row["mtime_ns"]))
    try:
        if stat_row(os.lstat(path))[4:7] == known:
            return True
        return stat.S_ISLNK(int(row["mode"])) and stat_row(os.stat(path))[4:7] == known
    except OSError:
        return False
