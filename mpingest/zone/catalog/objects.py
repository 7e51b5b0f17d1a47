"""Data objects: one row for each replica."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum

from mpingest.zone.catalog.access import forget_object, grant_new_object
from mpingest.zone.catalog.collections import Collection
from mpingest.zone.catalog.database import Database, now
from mpingest.zone.catalog.users import User


class ReplicaStatus(IntEnum):
    """State of a replica, as the catalog holds it."""

    STALE = 0
    GOOD = 1
    INTERMEDIATE = 2
    """Being written."""
    WRITE_LOCKED = 4
    """A sibling is being written."""


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica. path: of the file on its resource; modified: eleven digits."""

    data_id: int
    coll_id: int
    name: str
    number: int
    size: int
    resc_id: int
    path: str
    status: int
    checksum: str
    type: str
    hierarchy: str
    vault: str
    modified: str

    @property
    def locked(self) -> bool:
        """Whether it or a sibling is being written, as far as the catalog knows."""
        return self.status in {ReplicaStatus.INTERMEDIATE, ReplicaStatus.WRITE_LOCKED}

    @property
    def in_vault(self) -> bool:
        """Whether the file lies in the vault of its resource, rather than registered where it was."""
        return os.path.normpath(self.path).startswith(self.vault.rstrip("/") + "/")


@dataclass(frozen=True, slots=True)
class NewReplica:
    """What a new replica's row is made of."""

    name: str
    size: int
    resc_id: int
    path: str
    status: ReplicaStatus = ReplicaStatus.GOOD
    checksum: str = ""
    type: str = "generic"
    mode: str = ""
    modified: str | None = None


_COLUMNS = (
    "r.data_id, r.coll_id, r.name, r.number, r.size, r.resc_id, r.path, r.status, r.checksum, r.type,"
    " s.hierarchy, s.vault, r.modified"
)
_FROM = "FROM replicas r JOIN resources s ON s.resc_id = r.resc_id"


def find_replicas(db: Database, collection: str, name: str) -> list[Replica]:
    """All replicas of an object, in order of their numbers; none where there is no such object."""
    rows = db.rows(
        f"SELECT {_COLUMNS} {_FROM} WHERE r.coll_id = (SELECT coll_id FROM collections WHERE name = ?) AND r.name = ?"
        " ORDER BY r.number",
        *(collection, name),
    )
    return [Replica(*row) for row in rows]


def replicas_of(db: Database, data_id: int) -> list[Replica]:
    """All replicas of an object by its id."""
    rows = db.rows(f"SELECT {_COLUMNS} {_FROM} WHERE r.data_id = ? ORDER BY r.number", data_id)
    return [Replica(*row) for row in rows]


def replicas_in(db: Database, collection: Collection) -> list[Replica]:
    """All replicas of all objects directly in a collection."""
    rows = db.rows(f"SELECT {_COLUMNS} {_FROM} WHERE r.coll_id = ?", collection.coll_id)
    return [Replica(*row) for row in rows]


def add_object(db: Database, collection: Collection, owner: User, new: NewReplica) -> Replica:
    """A new data object with its first replica."""
    data_id = db.new_id()
    _insert(db, (data_id, collection.coll_id, 0), owner, new)
    grant_new_object(db, data_id, owner, collection.coll_id, collection.inherit)
    return replicas_of(db, data_id)[0]


def add_replica(db: Database, siblings: list[Replica], owner: User, new: NewReplica) -> Replica:
    """One more replica of an object that has some."""
    number = max(replica.number for replica in siblings) + 1
    _insert(db, (siblings[0].data_id, siblings[0].coll_id, number), owner, new)
    return replicas_of(db, siblings[0].data_id)[-1]


def update_replica(db: Database, replica: Replica, **columns: str | int) -> None:
    """Set columns of one replica."""
    assignments = ", ".join(f"{column} = ?" for column in columns)
    db.execute(
        f"UPDATE replicas SET {assignments} WHERE coll_id = ? AND name = ? AND number = ?",
        *(*columns.values(), replica.coll_id, replica.name, replica.number),
    )


def lock_object(db: Database, replica: Replica) -> None:
    """One replica is being written, the others must not be; what they were is kept."""
    db.execute(
        "UPDATE replicas SET data_status = status, status = CASE number WHEN ? THEN ? ELSE ? END WHERE data_id = ?",
        *(replica.number, ReplicaStatus.INTERMEDIATE, ReplicaStatus.WRITE_LOCKED, replica.data_id),
    )


def unlock_object(db: Database, data_id: int) -> None:
    """All replicas are again what they were before the lock."""
    db.execute(
        "UPDATE replicas SET status = CAST(data_status AS INTEGER), data_status = ''"
        " WHERE data_id = ? AND data_status <> ''",
        data_id,
    )


def stale_siblings(db: Database, replica: Replica) -> None:
    """The other replicas no longer hold what the object is."""
    db.execute(
        "UPDATE replicas SET status = ?, data_status = '' WHERE data_id = ? AND number <> ?",
        *(ReplicaStatus.STALE, replica.data_id, replica.number),
    )


def remove_replica(db: Database, replica: Replica) -> None:
    """Take one replica out of the catalog, and the object with its last one."""
    db.execute(
        "DELETE FROM replicas WHERE coll_id = ? AND name = ? AND number = ?",
        *(replica.coll_id, replica.name, replica.number),
    )
    if db.row("SELECT 1 FROM replicas WHERE data_id = ? LIMIT 1", replica.data_id) is None:
        forget_object(db, replica.data_id)


def move_object(db: Database, data_id: int, collection: Collection, name: str) -> None:
    """Give an object another name or collection; the latter counts as a modification."""
    db.execute(
        "UPDATE replicas SET coll_id = ?, name = ?, modified = CASE coll_id WHEN ? THEN modified ELSE ? END"
        " WHERE data_id = ?",
        *(collection.coll_id, name, collection.coll_id, now(), data_id),
    )


def _insert(db: Database, key: tuple[int, int, int], owner: User, new: NewReplica) -> None:
    data_id, coll_id, number = key
    time = now()
    db.execute(
        "INSERT INTO replicas (data_id, coll_id, name, number, type, size, resc_id, path, owner_name, owner_zone,"
        " status, checksum, mode, created, modified, accessed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(data_id, coll_id, new.name, number, new.type, new.size, new.resc_id, new.path, owner.name, owner.zone),
        *(new.status, new.checksum, new.mode, time, new.modified or time, time),
    )
