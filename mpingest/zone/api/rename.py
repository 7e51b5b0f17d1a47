"""Renaming and moving objects and collections."""

from __future__ import annotations

from mpingest.zone.api.lookup import replicas_at, sees, sees_object
from mpingest.zone.api.namespace import move_collection_to, move_object_to
from mpingest.zone.catalog.collections import find_collection
from mpingest.zone.messages import CopyInput
from mpingest.zone.paths import check_path
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError
from mpingest.zone.vault import remove_files

_OBJECT, _COLLECTION = 11, 12


def rename(session: Session, request: Request) -> Reply:
    """DATA_OBJ_RENAME: of what the operation says, or of whatever the source is."""
    wanted = CopyInput.read(request.body)
    source = check_path(wanted.source.path, session.zone.name)
    target = check_path(wanted.destination.path, session.zone.name)
    if source == target:
        raise ZoneError(Status.SAME_SRC_DEST_PATHS_ERR)
    operation = wanted.source.operation
    db = session.zone.db
    with db.transaction():
        replicas = replicas_at(db, source) if operation != _COLLECTION else []
        collection = find_collection(db, source) if operation != _OBJECT else None
        if replicas and sees_object(db, session.client, replicas[0]):
            old_files = move_object_to(session, source, replicas, target)
        elif collection and sees(db, session.client, collection.coll_id):
            old_files = move_collection_to(session, collection, target)
        else:
            raise ZoneError(Status.CAT_NO_ROWS_FOUND)
    remove_files(old_files)
    return Reply()
