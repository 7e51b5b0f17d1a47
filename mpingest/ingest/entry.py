"""One entry, from what is known of it to its outcome: handler, requests, the look back at the file."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from mpingest.handler.calls import Handler, HandlerFailure, Logger, object_options
from mpingest.handler.meta import deletion_meta, rename_meta
from mpingest.handler.operations import DeleteMode, Operation
from mpingest.ingest.actions import ACTIONS, Hook, Request, Situation
from mpingest.ingest.attributes import Attributes, AttributeWriter
from mpingest.ingest.catalog import Catalog, Replica
from mpingest.ingest.compare import Finding, compare_content, compare_registration
from mpingest.ingest.content import SourceError, Vanished, VanishedMidway
from mpingest.ingest.deadline import TookTooLong
from mpingest.ingest.delete import COMPATIBLE, Deletion
from mpingest.ingest.kinds import is_gone, is_unchanged, kind_avus, kind_of, reason_to_skip
from mpingest.ingest.names import Name, UnusableName, text
from mpingest.ingest.put import Upload
from mpingest.ingest.register import NANOSECONDS, Conflict, Registration
from mpingest.ingest.rename import Rename, Source
from mpingest.ingest.retry import RetryPolicy
from mpingest.ingest.routes import KnownCollections
from mpingest.ingest.statuses import COLLECTION_NOT_EMPTY, RequestError, Verdict
from mpingest.ingest.subject import Entry, Subjects, UnusableUser
from mpingest.ingest.unknown import is_unknown
from mpingest.manifest.states import Outcome


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an entry.

    code: an iRODS error, or the number of the replica that is ours; reason: for people; sent: bytes of content
    source: path of the vanished entry whose object it has taken over; empty if there is none
    unrecorded: what is recorded stays as it is, so that the next run can go on from that
    holds: bytes that the object has, where that is another size than the entry's
    """

    outcome: Outcome
    code: int = 0
    reason: str = ""
    sent: int = 0
    source: bytes = b""
    unrecorded: bool = False
    holds: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an entry's object. replica: number of ours; size: bytes, when it was last ingested."""

    situation: Situation
    replica: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How entries are ingested.

    resource:         where to, if the handler doesn't say; None for the server's choice
    hierarchies:      of resources that have a single leaf below them, by name, down to that
    checksum:         the catalog is to have a checksum of each object, verified where content is sent
    preserve_mtime:   objects whose content is sent get the modify time of their files
    register_special: register sockets, pipes and devices, too
    takes_away:       files go once their objects are proven to hold them: that proof tells of those that ``put`` leaves
    """

    resource: str | None = None
    hierarchies: Mapping[str, str] = field(default_factory=dict)
    checksum: bool = False
    preserve_mtime: bool = False
    register_special: bool = False
    takes_away: bool = False


REFUSALS = (UnusableName, HandlerFailure, SourceError, Conflict, UnusableUser, TookTooLong)
"""Why an entry fails before, or whatever, the zone says."""


def failed(error: Exception) -> Result:
    """What becomes of an entry that ended with one of REFUSALS, a RequestError or an OSError."""
    code = error.status if isinstance(error, RequestError) else 0
    reason = error.strerror if isinstance(error, OSError) else ""
    return Result(Outcome.FAILED, code, reason or str(error))


def changed_meanwhile(result: Result) -> Result:
    """What becomes of an entry that is no longer what was scanned: the next run takes it again."""
    return replace(result, outcome=Outcome.UNSETTLED, reason="changed while it was ingested")


@dataclass(frozen=True, slots=True)
class EntryIngestor:
    """Brings the entries of one job into the catalog, one at a time. Safe for several threads."""

    subjects: Subjects
    retry: RetryPolicy
    options: IngestOptions
    collections: KnownCollections = field(default_factory=KnownCollections)

    @property
    def handler(self) -> Handler:
        """The script, if there is one."""
        return self.subjects.handler

    @property
    def logger(self) -> Logger:
        """The rank's."""
        return self.subjects.logger

    @property
    def catalog(self) -> Catalog:
        """That of the user who runs the job."""
        return self.subjects.users.own

    def resource_of(self, entry: Entry) -> str | None:
        """Where an entry's object is to be, None for the server's choice. Raises HandlerFailure."""
        return self.resource(self.handler.to_resource(entry.session, entry.meta))

    def resource(self, name: str | None) -> str | None:
        """The resource of that name, or the usual one: as requests are to name it."""
        name = name or self.options.resource
        return self.options.hierarchies.get(name, name) if name else None

    # What there is to do about an entry.

    def ingest(self, relative: bytes, row: np.void, known: Known) -> Result:
        """Do about the entry what its operation wants done. Raises ZoneGone, Interrupted, nothing else."""
        try:
            return self.subjects.work_on(relative, row, lambda entry: self._ingest(entry, known))
        except (RequestError, *REFUSALS) as error:
            path = self.subjects.path(relative)
            # Of a file that the server was to read, only a look tells whether it is still there.
            if isinstance(error, Vanished) or (isinstance(error, RequestError) and is_gone(path)):
                self.logger.info("skipped", path=os.fsdecode(path), reason=str(error))
                if isinstance(error, VanishedMidway):
                    return Result(Outcome.UNSETTLED, reason=str(error))
                # What is recorded stays: there may be an object, which is to go now as that of any other file.
                return Result(Outcome.SKIPPED, reason=str(error), unrecorded=True)
            # Of an object that moved along with its collection, only what is recorded tells the replica to relocate.
            moved = known.situation in (Situation.MOVED, Situation.MOVED_CHANGED)
            return replace(failed(error), unrecorded=moved)

    def rename(self, relative: bytes, row: np.void, source: Source) -> Result | None:
        """Have the object of a vanished entry follow its file to this one; None where it can't.

        Raises ZoneGone, Interrupted.
        """
        try:
            return self.subjects.work_on(relative, row, lambda entry: self._rename(entry, source))
        except (RequestError, *REFUSALS) as error:
            return replace(failed(error), unrecorded=True)

    def rename_collection(self, relative: bytes, row: np.void, source: Source) -> bool:
        """Have the collection of a vanished directory, with all below it, follow to this one; whether it has.

        Raises ZoneGone, Interrupted.
        """
        try:
            return self.subjects.work_on(relative, row, lambda entry: self._rename_collection(entry, source))
        except REFUSALS:
            return False

    def next_try(self, relative: bytes, row: np.void, tries: int) -> float | None:
        """Seconds until an entry that failed ``tries`` times is to be tried again; None: it has failed for good."""
        if not self.handler.has("max_retries"):
            return None
        try:
            meta = self.subjects.meta(relative, row)
            if tries > self.handler.max_retries(self.logger, meta):
                return None
            return self.handler.delay(self.logger, meta, tries)
        except REFUSALS as error:
            self.logger.error("not tried again", path=os.fsdecode(self.subjects.path(relative)), reason=str(error))
            return None

    def compare(self, relative: bytes, row: np.void, replicas: list[Replica], *, doubtful: bool) -> Finding:
        """How the entry compares with what the catalog has under its name. Raises ZoneGone, Interrupted.

        doubtful: that may be what is left of a bundle that was cut off
        """
        try:
            return self.subjects.work_on(relative, row, lambda entry: self._compare(entry, replicas, doubtful))
        except (RequestError, *REFUSALS):
            return Finding(adopted=False)  # it is refused again, and then reported, when it is ingested

    def remove(self, relative: bytes, row: np.void, known: Known) -> Result:
        """Delete the object of an entry that is gone, as its delete mode says. Raises ZoneGone, Interrupted."""
        try:
            return self.subjects.work_on(relative, row, lambda entry: self._remove(as_gone(entry), known))
        except (RequestError, *REFUSALS) as error:
            return failed(error)

    def remove_collection(self, relative: bytes, row: np.void) -> Result:
        """Remove the collection of a directory that is gone, if it is empty. Raises ZoneGone, Interrupted."""
        try:
            return self.subjects.work_on(relative, row, lambda entry: self._remove_collection(as_gone(entry)))
        except REFUSALS as error:
            return failed(error)
        except RequestError as error:
            if error.status == COLLECTION_NOT_EMPTY:
                path = os.fsdecode(self.subjects.path(relative))
                self.logger.info("kept", path=path, reason="its collection holds what is not ours")
                return Result(Outcome.GONE)
            if error.verdict not in (Verdict.ABSENT, Verdict.NO_COLLECTION):
                return failed(error)
            return Result(Outcome.REMOVED)

    def operation(self, relative: bytes, row: np.void) -> Operation:
        """What is to be done about a directory. Raises one of REFUSALS, also where its delete mode doesn't fit."""
        return self.subjects.work_on(relative, row, self._directory_operation)

    def make_collection(self, relative: bytes, row: np.void) -> bool:
        """Create the directory's collection, below one that exists; False if it was there already.

        Raises RequestError, ZoneGone, one of REFUSALS.
        """
        return self.subjects.work_on(relative, row, self._make_collection)

    def note_collection(self, relative: bytes, row: np.void) -> None:
        """Tell the handler of a directory that is new here, and for which nothing is to be made.

        Raises RequestError, ZoneGone, one of REFUSALS.
        """
        if self.handler.wants_new_directories or self.handler.wants_changed_directories:
            self.subjects.work_on(relative, row, self._note_collection)

    def modify_collection(self, relative: bytes, row: np.void) -> None:
        """Tell the handler of a directory that has changed, and whose collection was there before.

        Raises one of REFUSALS.
        """
        if self.handler.wants_changed_directories:
            self.subjects.work_on(relative, row, self._modify_collection)

    def listing(self, relative: bytes) -> dict[str, list[Replica]]:
        """The replicas in the directory's collection by logical path. Raises RequestError, ZoneGone, UnusableName."""
        return self.objects_in(self.subjects.naming.of(relative).path)

    def objects_in(self, collection: str) -> dict[str, list[Replica]]:
        """The replicas in a collection by logical path. Raises RequestError, ZoneGone."""
        found: dict[str, list[Replica]] = {}
        for replica in self.retry.run(lambda: list(self.catalog.listing(collection))):
            found.setdefault(f"{collection}/{replica.name}", []).append(replica)
        return found

    def subcollections(self, relative: bytes) -> set[str]:
        """Names of the collections directly in the directory's. Raises RequestError, ZoneGone, UnusableName."""
        collection = self.subjects.naming.of(relative).path
        return self.retry.run(lambda: self.catalog.subcollections(collection))

    def close_idle(self, seconds: float) -> None:
        """Close connections that nobody has used for that long."""
        self.subjects.users.close_idle(seconds)

    # The steps.

    def _operation(self, entry: Entry) -> Operation:
        return self.handler.operation(entry.session, entry.meta)

    def _directory_operation(self, entry: Entry) -> Operation:
        operation = self._operation(entry)
        _check_fit(operation, self.handler.delete_mode(entry.meta))
        return operation

    def _ingest(self, entry: Entry, known: Known) -> Result:
        operation = self._operation(entry)
        special = self.options.register_special
        if reason := reason_to_skip(entry.path, entry.row, operation, register_special=special):
            self.logger.info("skipped", path=os.fsdecode(entry.path), reason=reason)
            return Result(Outcome.SKIPPED, reason=reason)
        done = self._act(entry, operation, known)
        if not is_unchanged(entry.path, entry.row):
            return changed_meanwhile(done)
        return done

    def _rename(self, entry: Entry, source: Source) -> Result | None:
        operation = self._operation(entry)
        try:
            with self.subjects.entry(source.relative, source.row) as was:
                if not self._stays_alike(entry, was, operation):
                    return None
                rename = self._rename_of(entry, was, operation, source)
        except REFUSALS:
            return None  # whatever that says of the new name is said again when it is ingested
        if operation is Operation.REGISTER_AS_REPLICA_SYNC and source.replica:
            return None  # the object was there before us, and is not ours to rename
        entry = _as_renamed(entry, was)
        options = object_options(operation)
        self.handler.hook("pre_data_obj_modify", self.logger, entry.session, entry.meta, **options)
        if not rename.perform():
            return None
        if source.settled:
            done = Result(Outcome.DONE)
            if operation.sends_content and self.options.preserve_mtime:
                self._set_mtime(entry)  # a move to another collection has made it that of the move
            self._give(entry, self._attributes(entry, operation), made=False)
        else:
            known = Known(Situation.UNSETTLED, rename.number, int(source.row["size"]))
            done = self._send(ACTIONS[operation][known.situation].request, entry, operation, known)
        self.handler.hook("post_data_obj_modify", self.logger, entry.session, entry.meta, **options)
        outcome = Outcome.DONE if is_unchanged(entry.path, entry.row) else Outcome.UNSETTLED
        return replace(done, outcome=outcome, code=rename.number, source=source.relative)

    def _rename_of(self, entry: Entry, was: Entry, operation: Operation, source: Source) -> Rename:
        if self.handler.has("collection_for"):
            self.collections.ensure(entry.catalog, self.retry, entry.logical.rpartition("/")[0])
        registers = not operation.sends_content
        return Rename(
            entry.catalog,
            self.retry,
            self.logger,
            was.logical,
            entry.logical,
            entry.row,
            source.replica,
            self._physical_path(was) if registers else "",
            self._physical_path(entry) if registers else "",
        )

    def _rename_collection(self, entry: Entry, source: Source) -> bool:
        operation = self._operation(entry)
        with self.subjects.entry(source.relative, source.row) as was:
            if self.handler.has("collection_for") or not self._stays_alike(entry, was, operation):
                return False
        try:
            self.retry.run(lambda: entry.catalog.rename(was.logical, entry.logical, collection=True))
        except RequestError as error:
            self.logger.info("not renamed", source=was.logical, target=entry.logical, reason=str(error))
            return False
        return True

    def _stays_alike(self, entry: Entry, was: Entry, operation: Operation) -> bool:
        """Whether what is to be of an entry differs from what it was, under its old path, in nothing but the path."""
        before = self._operation(was)
        return (
            Operation.NO_OP not in (operation, before)
            and operation.sends_content == before.sends_content
            and entry.name.reason == was.name.reason
            and entry.session is was.session
            and self.resource_of(entry) == self.resource_of(was)
        )

    def _compare(self, entry: Entry, replicas: list[Replica], doubtful: bool) -> Finding:
        operation = self._operation(entry)
        if operation is Operation.NO_OP:
            return Finding(adopted=False)
        if operation.sends_content:
            finding = compare_content(
                entry.row,
                entry.path,
                operation,
                replicas,
                lambda: self.retry.run(lambda: entry.catalog.checksum(entry.logical)),
                doubtful=doubtful,
            )
            if finding.by_content and self.options.preserve_mtime:
                self._set_mtime(entry)
        else:
            finding = compare_registration(entry.row, self._physical_path(entry), replicas)
        if finding.adopted:
            # A run that was cut off may have made the object, and no more.
            self._give(entry, self._attributes(entry, operation), made=False)
        return finding

    def _make_collection(self, entry: Entry) -> bool:
        if entry.logical == self.subjects.job.target and self.handler.wants_new_directories:
            self._make_parents_with_hooks(entry)
        # Only a script that wants to know before makes it worth a query; else the answer to the request tells.
        if self.handler.has("pre_coll_create"):
            if self.retry.run(lambda: entry.catalog.collection_exists(entry.logical)):
                return False
            self.handler.hook("pre_coll_create", self.logger, entry.session, entry.meta)
        created = self._create_collection(entry)
        if created:
            if entry.name.avus:
                AttributeWriter(entry.catalog, self.retry, entry.logical, "collection").add(Attributes(entry.name.avus))
            self.handler.hook("post_coll_create", self.logger, entry.session, entry.meta)
        return created

    def _create_collection(self, entry: Entry) -> bool:
        try:
            return self.retry.run(lambda: entry.catalog.make_collection(entry.logical))
        except RequestError as error:
            if error.verdict is not Verdict.NO_COLLECTION:
                raise
        self.retry.run(lambda: entry.catalog.make_collections(entry.logical.rpartition("/")[0]))
        return self.retry.run(lambda: entry.catalog.make_collection(entry.logical))

    def _make_parents_with_hooks(self, entry: Entry) -> None:
        """Has what the target lacks above it, each with its hooks, for which path and target climb in step."""
        above = _above(entry)
        if self.retry.run(lambda: above.catalog.collection_exists(above.logical)):
            return
        self._make_parents_with_hooks(above)
        self.handler.hook("pre_coll_create", self.logger, above.session, above.meta)
        self.retry.run(lambda: above.catalog.make_collection(above.logical))
        self.handler.hook("post_coll_create", self.logger, above.session, above.meta)

    def _note_collection(self, entry: Entry) -> None:
        exists = self.retry.run(lambda: entry.catalog.collection_exists(entry.logical))
        for when in ("pre", "post"):
            self.handler.hook(f"{when}_coll_{'modify' if exists else 'create'}", self.logger, entry.session, entry.meta)

    def _modify_collection(self, entry: Entry) -> None:
        self.handler.hook("pre_coll_modify", self.logger, entry.session, entry.meta)
        self.handler.hook("post_coll_modify", self.logger, entry.session, entry.meta)

    def _remove(self, entry: Entry, known: Known) -> Result:
        mode = self._delete_mode(entry)
        if mode is DeleteMode.DO_NOT_DELETE:
            return Result(Outcome.GONE)
        unknown = bool(is_unknown(entry.row))
        physical = self._physical_path(entry) if mode is DeleteMode.UNREGISTER and not unknown else ""

        def announce() -> None:
            self.handler.delete_hook("pre_data_obj_delete", entry.session, entry.meta)

        in_doubt = known.situation is Situation.UNSETTLED
        deletion = Deletion(
            entry.catalog, mode, entry.logical, physical, known.size, announce, self._was_ours, unknown, in_doubt
        )
        self.retry.run(deletion.perform)
        if deletion.announced:
            self.handler.delete_hook("post_data_obj_delete", entry.session, entry.meta)
        return Result(Outcome.REMOVED)

    def _remove_collection(self, entry: Entry) -> Result:
        if self._delete_mode(entry) is DeleteMode.DO_NOT_DELETE:
            return Result(Outcome.GONE)
        # Only a script that wants to know before makes it worth queries; else the answer to the request tells.
        if self.handler.has("pre_coll_delete"):
            if not self.retry.run(lambda: entry.catalog.collection_exists(entry.logical)):
                return Result(Outcome.REMOVED)
            if self.retry.run(lambda: entry.catalog.collection_holds_anything(entry.logical)):
                raise RequestError(COLLECTION_NOT_EMPTY)
        self.handler.delete_hook("pre_coll_delete", entry.session, entry.meta)
        self.retry.run(lambda: entry.catalog.remove_collection(entry.logical))
        self.handler.delete_hook("post_coll_delete", entry.session, entry.meta)
        return Result(Outcome.REMOVED)

    def _delete_mode(self, entry: Entry) -> DeleteMode:
        mode = self.handler.delete_mode(entry.meta)
        _check_fit(self._operation(entry), mode)
        return mode

    def _act(self, entry: Entry, operation: Operation, known: Known) -> Result:
        action = ACTIONS[operation][known.situation]
        if action.hook is Hook.NONE:
            return self._send(action.request, entry, operation, known)
        sends = action.request is not Request.NOTHING
        extra = (operation,) if operation.sends_content and sends else ()
        options = object_options(operation, one_more_replica=action.request is Request.REGISTER_REPLICA)
        self.handler.hook(f"pre_{action.hook.value}", self.logger, entry.session, entry.meta, *extra, **options)
        done = self._send(action.request, entry, operation, known)
        if not sends and operation is not Operation.NO_OP:
            self._give(entry, self._attributes(entry, operation), made=False)
        self.handler.hook(f"post_{action.hook.value}", self.logger, entry.session, entry.meta, *extra, **options)
        return done

    def _send(self, request: Request, entry: Entry, operation: Operation, known: Known) -> Result:
        if request is Request.KEEP and not self.options.takes_away:
            return Result(Outcome.SKIPPED, known.replica, unrecorded=True)
        if request in (Request.NOTHING, Request.KEEP):
            return Result(Outcome.DONE, known.replica)
        collection = entry.logical.rpartition("/")[0]
        if self.handler.has("collection_for"):
            self.collections.ensure(entry.catalog, self.retry, collection)
        try:
            return self._request(request, entry, operation, known)
        except RequestError as error:
            if error.verdict is not Verdict.NO_COLLECTION:
                raise
        # Someone removed the collection since we made it.
        self.retry.run(lambda: entry.catalog.make_collections(collection))
        return self._request(request, entry, operation, known)

    def _request(self, request: Request, entry: Entry, operation: Operation, known: Known) -> Result:
        catalog, retry, attributes = entry.catalog, self.retry, self._attributes(entry, operation)
        resource = self.resource_of(entry)
        if operation.sends_content:
            keeps_existing = operation is Operation.PUT
            included = attributes.keywords()
            exclusive = self.handler.has("collection_for")
            upload = Upload(
                catalog,
                retry,
                entry.logical,
                entry.path,
                resource,
                keeps_existing,
                known.size,
                self.options.checksum,
                included,
                exclusive,
            )
            upload.perform(request)
            if upload.written and self.options.preserve_mtime:
                self._set_mtime(entry)
            self._give(entry, attributes.left_behind() if upload.carried else attributes, made=upload.made)
            holds = upload.holds if upload.holds != int(entry.row["size"]) else None
            return Result(Outcome.DONE, sent=upload.sent, holds=holds)
        physical = self._physical_path(entry)
        as_replica = operation is Operation.REGISTER_AS_REPLICA_SYNC
        registration = Registration(
            catalog,
            retry,
            entry.logical,
            physical,
            entry.row,
            resource,
            as_replica,
            known.replica,
            # Whatever else is registered may have no content, or one that doesn't end.
            self.options.checksum and kind_of(entry.row) == stat.S_IFREG,
            self._was_ours,
        )
        registration.perform(request)
        self._give(entry, attributes, made=registration.made)
        return Result(Outcome.DONE, registration.number)

    def _set_mtime(self, entry: Entry) -> None:
        mtime = int(entry.row["mtime_ns"]) // NANOSECONDS
        self.retry.run(lambda: entry.catalog.set_mtime(entry.logical, mtime))

    def _attributes(self, entry: Entry, operation: Operation) -> Attributes:
        avus = entry.name.avus
        if not operation.sends_content and operation is not Operation.NO_OP:
            avus += kind_avus(entry.path, entry.row)
        if self.handler.module is None:
            return Attributes(avus)
        return Attributes((*avus, *self.handler.metadata(entry.meta)), self.handler.acl(entry.meta))

    def _give(self, entry: Entry, attributes: Attributes, *, made: bool) -> None:
        if not attributes:
            return
        writer = AttributeWriter(entry.catalog, self.retry, entry.logical)
        if made:
            writer.add(attributes)
        else:
            writer.replace(attributes)

    def _was_ours(self, physical: str) -> bool:
        """Whether a file that is registered was below the root, and is no longer there, as far as paths tell that."""
        if self.handler.has("target_path"):
            return False
        path = os.fsencode(physical)
        return path.startswith(os.path.join(self.subjects.job.root, b"")) and is_gone(path)

    def _physical_path(self, entry: Entry) -> str:
        return self.handler.target_path(entry.session, entry.meta) or text(entry.path)


def _check_fit(operation: Operation, mode: DeleteMode) -> None:
    if mode not in COMPATIBLE[operation]:
        raise Conflict(f"delete mode {mode.name} does not fit operation {operation.name}")


def _above(entry: Entry) -> Entry:
    """The directory and the collection that hold those of ``entry``."""
    path, logical = os.path.dirname(entry.path), entry.logical.rpartition("/")[0]
    return replace(
        entry, path=path, name=Name(logical), meta=entry.meta | {"path": os.fsdecode(path), "target": logical}
    )


def _as_renamed(entry: Entry, was: Entry) -> Entry:
    return replace(entry, meta=rename_meta(entry.meta, was.meta)) if entry.meta else entry


def as_gone(entry: Entry) -> Entry:
    """The entry as handler methods get to see it that are asked about a deletion."""
    return replace(entry, meta=deletion_meta(entry.meta)) if entry.meta else entry
