"""One entry, from what is known of it to its outcome: handler, requests, the look back at the file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpingest.handler.calls import Handler, HandlerFailure, Logger
from mpingest.handler.meta import JobFacts, entry_meta
from mpingest.handler.operations import Operation
from mpingest.ingest.actions import ACTIONS, Hook, Request, Situation
from mpingest.ingest.catalog import Catalog, Replica
from mpingest.ingest.content import SourceError
from mpingest.ingest.names import UnusableName, logical_path, text
from mpingest.ingest.put import Upload, put_as
from mpingest.ingest.register import Conflict, Registration, registered_as
from mpingest.ingest.retry import RetryPolicy
from mpingest.ingest.statuses import RequestError, Verdict
from mpingest.manifest.states import Outcome
from mpingest.scan.entries import stat_row


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an entry. code: iRODS status or 0; reason: for people; sent: bytes of content."""

    outcome: Outcome
    code: int = 0
    reason: str = ""
    sent: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    path: bytes
    logical: str
    row: np.void
    meta: dict[str, Any]
    operation: Operation


class UnavailableOperation(Exception):
    """The handler asks for an operation that this version doesn't have."""


REFUSALS = (UnusableName, HandlerFailure, SourceError, Conflict, UnavailableOperation)
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

    def ingest(self, relative: bytes, row: np.void, situation: Situation) -> Result:
        """Do about the entry what its operation wants done. Raises ZoneGone, nothing else."""
        try:
            entry = self._entry(relative, row)
            if reason := _nothing_to_send(entry):
                self.logger.info("skipped", path=entry.meta["path"], reason=reason)
                return Result(Outcome.SKIPPED, reason=reason)
            sent = self._act(entry, situation)
        except REFUSALS as error:
            return Result(Outcome.FAILED, reason=str(error))
        except RequestError as error:
            return Result(Outcome.FAILED, error.status, str(error))
        if not _unchanged(entry.path, row):
            return Result(Outcome.UNSETTLED, reason="changed while it was ingested", sent=sent)
        return Result(Outcome.DONE, sent=sent)

    def adopts(self, relative: bytes, row: np.void, replicas: list[Replica]) -> bool:
        """Whether what the catalog has under the entry's name is all that its operation wants there."""
        try:
            entry = self._entry(relative, row)
            if entry.operation is Operation.NO_OP:
                return False
            if entry.operation is Operation.PUT:
                return any(replica.good for replica in replicas)
            if entry.operation.sends_content:
                return any(put_as(replica, row, entry.path) for replica in replicas)
            physical = self._physical_path(entry)
        except REFUSALS:
            return False
        return any(registered_as(replica, row, physical) for replica in replicas)

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
        """What is to be done about an entry. Raises UnusableName, HandlerFailure, UnavailableOperation."""
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
        if operation not in ACTIONS:
            raise UnavailableOperation(f"operation {operation.name} is not available in this version")
        return _Entry(path, logical, row, meta, operation)

    def _act(self, entry: _Entry, situation: Situation) -> int:
        action = ACTIONS[entry.operation][situation]
        if action.hook is Hook.NONE:
            return self._send(action.request, entry)
        extra = (entry.operation,) if entry.operation.sends_content else ()
        session = self.catalog.session
        self.handler.hook(f"pre_{action.hook.value}", self.logger, session, entry.meta, *extra)
        sent = self._send(action.request, entry)
        self.handler.hook(f"post_{action.hook.value}", self.logger, session, entry.meta, *extra)
        return sent

    def _send(self, request: Request, entry: _Entry) -> int:
        if request is Request.NOTHING:
            return 0
        try:
            return self._request(request, entry)
        except RequestError as error:
            if error.verdict is not Verdict.NO_COLLECTION:
                raise
        # Someone removed the collection since we made it.
        self.retry.run(lambda: self.catalog.make_collections(entry.logical.rpartition("/")[0]))
        return self._request(request, entry)

    def _request(self, request: Request, entry: _Entry) -> int:
        resource = self.handler.to_resource(self.catalog.session, entry.meta) or self.default_resource
        if not entry.operation.sends_content:
            physical = self._physical_path(entry)
            Registration(self.catalog, self.retry, entry.logical, physical, entry.row, resource).perform(request)
            return 0
        keeps_existing = entry.operation is Operation.PUT
        upload = Upload(self.catalog, self.retry, entry.logical, entry.path, resource, keeps_existing)
        upload.perform(request)
        return upload.sent

    def path(self, relative: bytes) -> bytes:
        """The absolute path of an entry."""
        return os.path.join(self.job.root, relative) if relative else self.job.root

    def _physical_path(self, entry: _Entry) -> str:
        return self.handler.target_path(self.catalog.session, entry.meta) or text(entry.path)


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
