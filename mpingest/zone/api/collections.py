"""Making and removing collections."""

from __future__ import annotations

from mpingest.zone.api.lookup import require_level, sees
from mpingest.zone.api.namespace import make_collection, trash_collection
from mpingest.zone.api.removal import UNREGISTER, discard
from mpingest.zone.catalog.collections import (
    Collection,
    find_collection,
    is_empty,
    remove_collection,
    subtree,
    touch_collection,
)
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.objects import replicas_in
from mpingest.zone.messages import CollectionInput
from mpingest.zone.pack import leaf, pack
from mpingest.zone.paths import check_path
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError
from mpingest.zone.vault import remove_files


def create(session: Session, request: Request) -> Reply:
    """COLL_CREATE: one collection, or with ``recursiveOpr`` its parents too, which may then exist."""
    wanted = CollectionInput.read(request.body)
    path = check_path(wanted.path, session.zone.name)
    with session.zone.db.transaction():
        make_collection(session, path, recursive="recursiveOpr" in wanted.keywords)
    return Reply()


def remove(session: Session, request: Request) -> Reply:
    """RM_COLL: an empty collection, or with ``recursiveOpr`` a full one: to the trash, or for good if forced."""
    wanted = CollectionInput.read(request.body)
    path = check_path(wanted.path, session.zone.name)
    recursive, force = "recursiveOpr" in wanted.keywords, "forceFlag" in wanted.keywords
    unregister = wanted.operation == UNREGISTER
    db = session.zone.db
    doomed: list[str] = []
    with db.transaction():
        collection = find_collection(db, path)
        if collection is None or (recursive and not sees(db, session.client, collection.coll_id)):
            missing = Status.USER_FILE_DOES_NOT_EXIST if recursive else Status.CAT_UNKNOWN_COLLECTION
            raise ZoneError(missing, f"collection '{path}' is unknown")
        require_level(db, session.client, collection.coll_id, Level.DELETE_OBJECT)
        if is_empty(db, collection):
            remove_collection(db, collection)
        elif not recursive:
            raise ZoneError(Status.CAT_COLLECTION_NOT_EMPTY)
        elif force or unregister or path.startswith(f"/{session.zone.name}/trash/"):
            doomed = _remove_all(session, collection, unregister=unregister)
        else:
            doomed = trash_collection(session, collection)
        parent = find_collection(db, collection.parent)
        if parent:
            touch_collection(db, parent.coll_id)
    remove_files(doomed)
    return Reply(message=_statistics(path))


def _remove_all(session: Session, collection: Collection, *, unregister: bool) -> list[str]:
    db = session.zone.db
    doomed: list[str] = []
    for member in reversed(subtree(db, collection)):
        require_level(db, session.client, member.coll_id, Level.DELETE_OBJECT)
        for replica in replicas_in(db, member):
            doomed += discard(session, replica, unregister=unregister)
        remove_collection(db, member)
    return doomed


def _statistics(path: str) -> bytes:
    return pack(
        "CollOprStat_PI",
        leaf("filesCnt", 1),
        leaf("totalFileCnt", 1),
        leaf("bytesWritten", 0),
        leaf("lastObjPath", path),
    ).encode()
