"""Names of objects and collections: making collections, moving things, the trash. All inside a transaction.

A file in a vault moves with its object: it gets a second name first, and loses the old one after the commit, so
that there is a file under the path in the catalog whenever the server is killed. What moves something returns the
old names, for who calls it to remove then.
"""

from __future__ import annotations

import os
import secrets

from mpingest.zone import vault
from mpingest.zone.api.lookup import replicas_at, require_collection, require_level, sees, writable_collection
from mpingest.zone.catalog.collections import (
    Collection,
    add_collection,
    find_collection,
    rename_collection,
    subtree,
    touch_collection,
)
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.objects import (
    Replica,
    move_object,
    replicas_in,
    replicas_of,
    update_replica,
)
from mpingest.zone.paths import check_object_name, split_path
from mpingest.zone.session import Session
from mpingest.zone.statuses import Status, ZoneError


def make_collection(session: Session, path: str, *, recursive: bool) -> Collection:
    """A new collection; ``recursive``: with its parents, and it may be there already.

    Who sees none of the parents climbs up beyond the zone, and is told that this is no path.
    """
    db = session.zone.db
    existing = find_collection(db, path)
    if existing and recursive and sees(db, session.client, existing.coll_id):
        return existing
    if recursive and split_path(path)[0] == "/":
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM)
    if existing and not recursive:
        raise ZoneError(Status.CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME)
    if replicas_at(db, path):
        raise ZoneError(Status.CAT_NAME_EXISTS_AS_DATAOBJ)
    parent_path, name = split_path(path)
    if recursive:
        make_collection(session, parent_path, recursive=True)
    parent = writable_collection(db, session.client, parent_path)
    check_object_name(name)
    touch_collection(db, parent.coll_id)
    return add_collection(db, path, parent, session.client)


def move_object_to(session: Session, source: str, replicas: list[Replica], path: str) -> list[str]:
    """Give the object ``source`` another path."""
    db = session.zone.db
    replica = replicas[0]
    parent_path, name = split_path(path)
    _refuse_taken(session, source, path)
    parent = writable_collection(db, session.client, parent_path)
    require_level(db, session.client, replica.data_id, Level.DELETE_OBJECT)
    check_object_name(name)
    if session.zone.writers.of(replica.data_id):
        raise ZoneError(Status.LOCKED_DATA_OBJECT_ACCESS)
    move_object(db, replica.data_id, parent, name)
    for coll_id in {replica.coll_id, parent.coll_id}:
        touch_collection(db, coll_id)
    return _move_files(session, replicas_of(db, replica.data_id), path)


def move_collection_to(session: Session, collection: Collection, path: str) -> list[str]:
    """Give a collection, and all below it, another path."""
    db = session.zone.db
    _refuse_taken(session, collection.name, path)
    if path.startswith(collection.name + "/"):
        raise ZoneError(Status.CAT_UNKNOWN_COLLECTION)
    parent = writable_collection(db, session.client, split_path(path)[0])
    require_level(db, session.client, collection.coll_id, Level.DELETE_OBJECT)
    rename_collection(db, collection, path, parent.name)
    touch_collection(db, parent.coll_id)
    touch_collection(db, require_collection(db, collection.parent).coll_id)
    old: list[str] = []
    for member in subtree(db, require_collection(db, path)):
        for replica in replicas_in(db, member):
            old += _move_files(session, [replica], f"{member.name}/{replica.name}")
    return old


def trash_object(session: Session, path: str, replicas: list[Replica]) -> list[str]:
    """Move an object into its user's trash, under a name that is free there."""
    return move_object_to(session, path, replicas, _free_trash_path(session, path))


def trash_collection(session: Session, collection: Collection) -> list[str]:
    """Move a collection into its user's trash, under a name that is free there."""
    return move_collection_to(session, collection, _free_trash_path(session, collection.name))


def _move_files(session: Session, replicas: list[Replica], path: str) -> list[str]:
    db = session.zone.db
    movable = [replica for replica in replicas if replica.in_vault and os.path.isfile(replica.path)]
    for replica in movable:
        update_replica(db, replica, path=vault.link_file(replica.path, vault.vault_path(replica.vault, path)))
    return [replica.path for replica in movable]


def _refuse_taken(session: Session, source: str, target: str) -> None:
    """Raises ZoneError where the new path is taken, or the new name in the old collection: a move goes by that."""
    for path in (f"{split_path(source)[0]}/{split_path(target)[1]}", target):
        if path == source:
            continue
        if find_collection(session.zone.db, path):
            raise ZoneError(Status.CAT_NAME_EXISTS_AS_COLLECTION)
        if replicas_at(session.zone.db, path):
            raise ZoneError(Status.CAT_NAME_EXISTS_AS_DATAOBJ)


def _free_trash_path(session: Session, path: str) -> str:
    zone, user = session.zone, session.client.name
    relative = path.removeprefix(f"/{zone.name}/").removeprefix("home/").removeprefix(f"{user}/")
    wanted = f"/{zone.name}/trash/home/{user}/{relative}"
    make_collection(session, split_path(wanted)[0], recursive=True)
    candidate = wanted
    while find_collection(zone.db, candidate) or replicas_at(zone.db, candidate):
        candidate = f"{wanted}.{secrets.randbelow(1 << 32)}"
    return candidate
