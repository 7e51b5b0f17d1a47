"""Finding what a path names, with the rights that a request needs."""

from __future__ import annotations

from mpingest.zone.catalog.access import level_of
from mpingest.zone.catalog.collections import Collection, find_collection
from mpingest.zone.catalog.database import Database
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.objects import Replica, find_replicas
from mpingest.zone.catalog.users import User
from mpingest.zone.paths import split_path
from mpingest.zone.statuses import Status, ZoneError


def require_level(db: Database, user: User, object_id: int, level: Level, message: str = "") -> None:
    """Raises ZoneError where the user has less than ``level`` on an object."""
    if level_of(db, user, object_id) < level:
        raise ZoneError(Status.CAT_NO_ACCESS_PERMISSION, message)


def require_collection(db: Database, name: str) -> Collection:
    """A collection by name. Raises ZoneError."""
    collection = find_collection(db, name)
    if collection is None:
        raise ZoneError(Status.CAT_UNKNOWN_COLLECTION, f"collection '{name}' is unknown")
    return collection


def writable_collection(db: Database, user: User, name: str) -> Collection:
    """A collection in which the user may make things. Raises ZoneError."""
    collection = require_collection(db, name)
    message = f"no permission to update collection '{name}'"
    require_level(db, user, collection.coll_id, Level.MODIFY_OBJECT, message)
    return collection


def replicas_matching(replicas: list[Replica], number: int | None, root: str | None) -> list[Replica]:
    """Those with a number and below a root resource, None for any. Raises ZoneError where there is none."""
    chosen = [
        replica
        for replica in replicas
        if number in {None, replica.number} and root in {None, replica.hierarchy.split(";")[0]}
    ]
    if not chosen:
        raise ZoneError(Status.SYS_REPLICA_DOES_NOT_EXIST)
    return chosen


def replicas_at(db: Database, path: str) -> list[Replica]:
    """All replicas of the object at a path; none where there is no such object."""
    return find_replicas(db, *split_path(path))


def sees(db: Database, user: User, object_id: int) -> bool:
    """Whether the user knows of a collection or object at all: administrators know of everything."""
    return user.is_admin or level_of(db, user, object_id) >= Level.READ_OBJECT


def sees_object(db: Database, user: User, replica: Replica) -> bool:
    """Whether the user knows of an object: who can't read its collection doesn't."""
    return sees(db, user, replica.data_id) and sees(db, user, replica.coll_id)


def require_replicas(
    db: Database, user: User, path: str, level: Level, missing: Status = Status.CAT_NO_ROWS_FOUND
) -> list[Replica]:
    """All replicas of the object at a path. Raises ZoneError, ``missing`` where the user sees no such object."""
    replicas = replicas_at(db, path)
    if not replicas or not sees_object(db, user, replicas[0]):
        raise ZoneError(missing)
    require_level(db, user, replicas[0].data_id, level)
    return replicas


def refuse_collection_at(db: Database, path: str) -> None:
    """Raises ZoneError where the path is a collection."""
    if find_collection(db, path) is not None:
        raise ZoneError(Status.CAT_NAME_EXISTS_AS_COLLECTION, "collection exists")
