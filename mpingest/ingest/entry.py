"""One entry, from what is known of it to its outcome: handler, requests, the look back at the file."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpingest.handler.load import Handler, HandlerFailure, Logger
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


_REFUSALS = (UnusableName, HandlerFailure, SourceError, Conflict, UnavailableOperation)


@dataclass(frozen=True, slots=True)
class EntryIngestor:
    """Brings the entries of one job into the catalog, one at a time. Safe for several threads."""

    job: JobFacts
    handler: Handler
    catalog: Catalog
    retry: RetryPolicy
    logger: Logger

    def ingest(self, relative: bytes, row: np.void, situation: Situation) -> Result:
        """Do about the entry what its operation wants done. Raises ZoneGone, nothing else."""
        try:
            entry = self._entry(relative, row)
            if reason := _nothing_to_send(entry):
                return Result(Outcome.SKIPPED, reason=reason)
            sent = self._act(entry, situation)
        except _REFUSALS as error:
            return Result(Outcome.FAILED, reason=str(error))
        except RequestError as error:
            return Result(Outcome.FAILED, error.status, str(error))
        if not _same_as(entry.path, row, follow=entry.operation.sends_content):
            return Result(Outcome.UNSETTLED, reason="changed while it was ingested", sent=sent)
        return Result(Outcome.DONE, sent=sent)

    def adopts(self, relative: bytes, row: np.void, replicas: list[Replica]) -> bool:
        """Whether what is in the catalog under the entry's name is the entry, so that nothing is to be sent."""
        try:
            entry = self._entry(relative, row)
            if entry.operation is Operation.NO_OP:
                return False
            if entry.operation.sends_content:
                return any(put_as(replica, row, entry.path) for replica in replicas)
            physical = self._physical_path(entry)
        except _REFUSALS:
            return False
        return any(registered_as(replica, row, physical) for replica in replicas)

    def make_collection(self, relative: bytes, row: np.void) -> bool:
        """Create the directory's collection, below one that exists; False if it was there already.

        Raises RequestError, UnusableName, HandlerFailure, ZoneGone.
        """
        path = os.path.join(self.job.root, relative) if relative else self.job.root
        logical = logical_path(self.job.target, relative)
        meta = entry_meta(self.job, path, logical, row)
        self.handler.hook("pre_coll_create", self.logger, self.catalog.session, meta)
        created = False

        def create() -> None:
            nonlocal created
            created = self.catalog.make_collection(logical)

        self.retry.run(create)
        if created:
            self.handler.hook("post_coll_create", self.logger, self.catalog.session, meta)
        return created

    def listing(self, relative: bytes) -> dict[bytes, list[Replica]]:
        """The replicas in the directory's collection by name. Raises RequestError, ZoneGone."""
        found: dict[bytes, list[Replica]] = {}

        def read() -> None:
            found.clear()
            for replica in self.catalog.listing(logical_path(self.job.target, relative)):
                found.setdefault(os.fsencode(replica.name), []).append(replica)

        self.retry.run(read)
        return found

    def _entry(self, relative: bytes, row: np.void) -> _Entry:
        path = os.path.join(self.job.root, relative)
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
        resource = self.handler.to_resource(self.catalog.session, entry.meta)
        if not entry.operation.sends_content:
            physical = self._physical_path(entry)
            Registration(self.catalog, self.retry, entry.logical, physical, entry.row, resource).perform(request)
            return 0
        keeps_existing = entry.operation is Operation.PUT
        upload = Upload(self.catalog, self.retry, entry.logical, entry.path, resource, keeps_existing)
        upload.perform(request)
        return upload.sent

    def _physical_path(self, entry: _Entry) -> str:
        return self.handler.target_path(self.catalog.session, entry.meta) or text(entry.path)


def _nothing_to_send(entry: _Entry) -> str:
    kind = stat.S_IFMT(int(entry.row["mode"]))
    if kind not in (stat.S_IFREG, stat.S_IFLNK):
        return "a special file: neither regular nor a link"
    if kind == stat.S_IFLNK and entry.operation.sends_content and not os.path.isfile(entry.path):
        return "a link to no regular file: nothing to put"
    return ""


def _same_as(path: bytes, row: np.void, *, follow: bool) -> bool:
    try:
        status = os.stat(path) if follow else os.lstat(path)
    except OSError:
        return False
    return stat_row(status)[4:7] == (int(row["inode"]), int(row["size"]), int(row["mtime_ns"]))
