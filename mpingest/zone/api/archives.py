"""STRUCT_FILE_EXT_AND_REG: members of a tar file that lies in the zone, become objects of a collection."""

from __future__ import annotations

import os
import tarfile
from dataclasses import dataclass
from typing import BinaryIO

from mpingest.zone import vault
from mpingest.zone.api.finalize import abandon, finalize
from mpingest.zone.api.lookup import replicas_at, require_collection, require_level, require_replicas
from mpingest.zone.api.namespace import make_collection
from mpingest.zone.api.opening import open_to_write
from mpingest.zone.catalog.levels import Level
from mpingest.zone.messages import Keywords, read_keywords
from mpingest.zone.paths import check_path
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError, file_error

_TAR = "tar file"
_MOST_ARCHIVES = 15


@dataclass(frozen=True, slots=True)
class _Target:
    collection: str
    keywords: Keywords
    force: bool


def extract_and_register(session: Session, request: Request) -> Reply:
    """Extract every member below a collection, which is made, to the resource that the archive is on.

    Like the server that this follows, in a locale without UTF-8: the first member whose name only a PAX header can
    tell ends the extraction, and the status is 0 all the same; and an agent has room for so many archives, no more.
    """
    body = request.body
    keywords = read_keywords(body)
    path = check_path(body.string("objPath"), session.zone.name)
    collection = check_path(body.string("collection"), session.zone.name)
    db = session.zone.db
    session.archives += 1
    if session.archives > _MOST_ARCHIVES:
        raise ZoneError(Status.SYS_OUT_OF_FILE_DESC)
    with db.transaction():
        replica = require_replicas(db, session.client, path, Level.READ_OBJECT, Status.OBJ_PATH_DOES_NOT_EXIST)[0]
        if replica.type != _TAR:
            raise ZoneError(Status.SYS_ZIP_FORMAT_NOT_SUPPORTED)
        make_collection(session, collection, recursive=True)
        made = require_collection(db, collection)
        require_level(db, session.client, made.coll_id, Level.DELETE_OBJECT)
    target = _Target(collection, {"resc_hier": replica.hierarchy}, "forceFlag" in keywords)
    try:
        with open(replica.path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            is_complete = _extract(session, archive, target)
    except tarfile.TarError:
        raise ZoneError(Status.SYS_TAR_EXTRACT_ALL_ERR) from None
    except OSError as error:
        raise file_error(Status.UNIX_FILE_OPEN_ERR, error) from None
    if not is_complete:
        raise ZoneError(Status.SYS_COPY_ALREADY_IN_RESC)
    return Reply()


def _extract(session: Session, archive: tarfile.TarFile, target: _Target) -> bool:
    """Extract what can be; whether no member found its name taken."""
    is_complete = True
    for member in archive:
        if "path" in member.pax_headers and not member.name.isascii():
            break
        relative = os.path.normpath(member.name.lstrip("/"))
        if relative.startswith("..") or "\0" in relative:
            raise ZoneError(Status.SYS_TAR_EXTRACT_ALL_ERR, "member outside of the archive")
        if relative == ".":
            continue
        path = check_path(f"{target.collection}/{relative}", session.zone.name)
        if member.isdir():
            with session.zone.db.transaction():
                make_collection(session, path, recursive=True)
        elif member.isfile():
            content = archive.extractfile(member)
            assert content is not None
            is_complete &= _store(session, path, content, target)  # type: ignore[arg-type]
    return is_complete


def _store(session: Session, path: str, content: BinaryIO, target: _Target) -> bool:
    """Make an object; whether its name wasn't taken, or may be."""
    with session.zone.db.transaction():
        make_collection(session, path.rpartition("/")[0], recursive=True)
        exists = bool(replicas_at(session.zone.db, path))
    if exists and not target.force:
        return False
    opened = open_to_write(session, path, target.keywords, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        while chunk := content.read(1 << 20):
            vault.write_all(opened.file, chunk)
        opened.changed = True
    except BaseException:
        abandon(session, opened)
        raise
    finalize(session, opened)
    return True
