"""What has to be right before anything is written, found out on one rank."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from irods.exception import NetworkException, iRODSException
from irods.models import Collection, CollectionAccess, Group, User

from mpingest.errors import MpingestError
from mpingest.handler.calls import Handler, HandlerFailure
from mpingest.handler.operations import Operation
from mpingest.ingest.delete import COMPATIBLE
from mpingest.ingest.names import MAX_PATH
from mpingest.ingest.proof import RELEASING
from mpingest.ingest.resources import Resources
from mpingest.ingest.statuses import login_error, status_name
from mpingest.jobs.directory import JobDirectory
from mpingest.jobs.disposal import After, Disposal
from mpingest.jobs.spec import JobSpec, RunOptions

_MODIFY_OBJECT = 1120
"""Number of the permission that creating objects in a collection takes (tokens of access_type)."""


@contextmanager
def _asking() -> Iterator[None]:
    """Raises MpingestError where the zone refuses to answer, or doesn't."""
    try:
        yield
    except (NetworkException, OSError, iRODSException, KeyError) as error:  # a KeyError is a code without a class
        code = login_error(error).status
        raise MpingestError(
            f"the zone was asked and gave no answer: {status_name(code)} ({code}): try again"
        ) from error


def checked_target(target: str, zone: str | None = None) -> str:
    """The target collection, normalised. Raises MpingestError where it can't be one of the zone, or of any."""
    try:
        size = len(target.encode())
    except UnicodeEncodeError as error:
        raise MpingestError(f"target {target!r}: is not valid UTF-8") from error
    if size > MAX_PATH:
        raise MpingestError(f"target of {size} bytes: iRODS holds paths of up to {MAX_PATH}")
    if not target.startswith("/"):
        raise MpingestError(f"target {target}: must be an absolute path such as /{zone or 'tempZone'}/home/…")
    parts = [part for part in target.split("/") if part]
    if {".", ".."} & set(parts):
        raise MpingestError(f"target {target}: must not contain . or ..")
    if len(parts) < 2:
        raise MpingestError(f"target {target}: must be a collection below /{zone or 'tempZone'}")
    if zone not in (None, parts[0]):
        raise MpingestError(f"target {target}: is in zone {parts[0]}, but the session is one of zone {zone}")
    return "/" + "/".join(parts)


def checked_jobs_directory(path: str, root: bytes) -> str:
    """The absolute jobs directory. Raises MpingestError where it would be ingested itself, or isn't given."""
    if not path:
        raise MpingestError("jobs directory: the option is empty; is a variable of the script not set?")
    real = os.path.realpath(path)
    if (os.fsencode(real) + b"/").startswith(root.rstrip(b"/") + b"/"):
        raise MpingestError(f"jobs directory {path}: lies in the root, it would be ingested itself: choose another")
    return real


@_asking()
def check_writable(session: Any, target: str) -> None:
    """Raises MpingestError where the user can't write to the target, or to its nearest parent that exists."""
    if session.data_objects.exists(target):
        raise MpingestError(f"target {target}: is a data object, not a collection")
    existing = target
    while not session.collections.exists(existing):
        existing = existing.rpartition("/")[0]
        if existing.count("/") < 2:
            raise MpingestError(f"target {target}: nothing of it exists or may be seen by {session.username}")
    user = (User.name == session.username, User.zone == session.zone)
    identities = {row[Group.id] for row in session.query(Group.id).filter(*user)}
    granted = session.query(CollectionAccess.type, CollectionAccess.user_id).filter(Collection.name == existing)
    levels = [row[CollectionAccess.type] for row in granted if row[CollectionAccess.user_id] in identities]
    if max(levels, default=0) < _MODIFY_OBJECT:
        raise MpingestError(f"target {target}: user {session.username} may not write to {existing}")


def check_delete_mode(handler: Handler, session: Any, meta: dict[str, Any]) -> None:
    """Raises MpingestError where the delete mode of the root doesn't fit its operation."""
    try:
        mode, operation = handler.delete_mode(meta), handler.operation(session, meta)
    except HandlerFailure as error:
        raise MpingestError(f"event handler: {error}") from error
    fitting = COMPATIBLE[operation]
    if mode not in fitting:
        names = " or ".join(sorted(fit.name.lower() for fit in fitting))
        raise MpingestError(
            f"delete mode {mode.name.lower()} does not fit operation {operation.name.lower()}: it takes {names}"
        )


@_asking()
def check_may_relocate(handler: Handler, session: Any, meta: dict[str, Any]) -> None:
    """Raises MpingestError where files are registered, but the user may not say that they have another path now."""
    kind = session.users.get(session.username, session.zone).type
    if kind != "rodsadmin" and not handler.operation(session, meta).sends_content:
        raise MpingestError(
            f"--detect-renames: user {session.username} is a {kind}: of a registered file that was renamed only a "
            "rodsadmin may change the path in the catalog"
        )


def check_delete_unknown(handler: Handler) -> None:
    """Raises MpingestError where the file of an object can't be told from its name, or nothing is to be deleted."""
    if not handler.may_delete:
        raise MpingestError("--delete-unknown: deletes nothing without --delete-mode")
    for method in ("character_map", "collection_for"):
        if handler.has(method):
            raise MpingestError(f"--delete-unknown: does not go with {method}(): names do not tell which file is whose")


def check_no_twin_runs(jobs_directory: str, spec: JobSpec) -> None:
    """Raises MpingestError where another job of the same root and target is being run."""
    for other in JobDirectory.all(jobs_directory):
        holder = other.held() if other.name != spec.name else None
        if holder is None or not holder.lives:
            continue
        kept = other.spec()
        if (kept.root, kept.target) == (spec.root, spec.target):
            raise MpingestError(
                f"job {other.name} has the same root and target, and is being run by {holder}: wait for it, or stop it "
                "first"
            )


def check_never_released(job: JobDirectory) -> None:
    """Raises MpingestError where what has no file may be all that there is of it."""
    if job.has_released:
        raise MpingestError(
            f"--delete-unknown: job {job.name} has taken files away after their ingest: of these it would delete the "
            "objects, too"
        )


def check_after_ingest(handler: Handler, options: RunOptions, root: bytes) -> None:
    """Raises MpingestError where files must not be taken away, or can't be moved to where they are to go."""
    after = options.after_ingest
    if not after.takes_away:
        return
    if handler.may_delete:
        raise MpingestError(
            f"--after-ingest {after}: does not go with deletions, by --delete-mode or delete_mode(): choose one"
        )
    if not handler.has("operation") and handler.defaults.operation not in RELEASING:
        raise MpingestError(f"--after-ingest {after}: only after a put: give --operation put or put_sync")
    if after.after is After.MOVE:
        _check_move(after, root)


def _check_move(after: Disposal, root: bytes) -> None:
    if not os.path.isdir(after.directory):
        raise MpingestError(f"--after-ingest {after}: no such directory: make it, or mount what it is on")
    if not os.access(after.directory, os.W_OK | os.X_OK):
        raise MpingestError(f"--after-ingest {after}: cannot be written to")
    real, top = (os.path.join(os.path.realpath(path), b"") for path in (after.directory, root))
    if real.startswith(top) or top.startswith(real):
        raise MpingestError(f"--after-ingest {after}: one of it and ROOT lies in the other: choose a directory apart")


@_asking()
def checked_hierarchies(session: Any, name: str | None, operation: Operation) -> dict[str, str]:
    """Ways down to leaves (see ``Resources.hierarchies``).

    Raises MpingestError where the zone has no resource ``name``, or it takes no objects under that name.
    """
    resources = Resources.of(session)
    if name is None:
        return resources.hierarchies()
    if name not in resources.parents:
        raise MpingestError(f"resource {name}: zone {session.zone} has no such resource")
    if resources.parents[name] and name in resources.children:
        raise MpingestError(f"resource {name}: is in the middle of a hierarchy: name the resource at its top")
    if resources.parents[name] and operation.sends_content:
        raise MpingestError(f"resource {name}: is part of a hierarchy: to put, name the resource at its top")
    return resources.hierarchies()
