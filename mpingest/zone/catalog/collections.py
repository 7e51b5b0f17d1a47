"""Collections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mpingest.zone.catalog.access import forget_object, grant_new_object, set_level
from mpingest.zone.catalog.database import Database, now
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.users import User


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection; ``inherit`` says whether new members get its rights."""

    coll_id: int
    name: str
    parent: str
    inherit: bool


def find_collection(db: Database, name: str) -> Collection | None:
    """A collection by its whole name."""
    row = db.row("SELECT coll_id, name, parent, inherit FROM collections WHERE name = ?", name)
    return Collection(row[0], row[1], row[2], row[3] == "1") if row else None


def add_collection(db: Database, name: str, parent: Collection | None, owner: User) -> Collection:
    """A new collection; inherits rights and the flag itself where its parent hands them down."""
    coll_id, time = db.new_id(), now()
    inherit = parent is not None and parent.inherit
    parent_name = parent.name if parent else "/"
    db.execute(
        "INSERT INTO collections (coll_id, name, parent, owner_name, owner_zone, inherit, created, modified)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        *(coll_id, name, parent_name, owner.name, owner.zone, "1" if inherit else "", time, time),
    )
    if parent:
        grant_new_object(db, coll_id, owner, parent.coll_id, inherit)
    else:
        set_level(db, owner, coll_id, Level.OWN)
    return Collection(coll_id, name, parent_name, inherit)


def remove_collection(db: Database, collection: Collection) -> None:
    """Take an empty collection out of the catalog."""
    db.execute("DELETE FROM collections WHERE coll_id = ?", collection.coll_id)
    forget_object(db, collection.coll_id)


def subtree(db: Database, collection: Collection) -> list[Collection]:
    """A collection and all below it, parents first."""
    rows = db.rows(
        "SELECT coll_id, name, parent, inherit FROM collections WHERE name = ? OR (name > ? AND name < ?)"
        " ORDER BY length(name)",
        *(collection.name, collection.name + "/", collection.name + "0"),
    )
    return [Collection(row[0], row[1], row[2], row[3] == "1") for row in rows]


def is_empty(db: Database, collection: Collection) -> bool:
    """Whether it has neither objects nor collections."""
    if db.row("SELECT 1 FROM replicas WHERE coll_id = ? LIMIT 1", collection.coll_id):
        return False
    return db.row("SELECT 1 FROM collections WHERE parent = ? LIMIT 1", collection.name) is None


def object_ids(db: Database, collection: Collection) -> Iterator[int]:
    """Ids of the objects directly in a collection."""
    for (data_id,) in db.rows("SELECT DISTINCT data_id FROM replicas WHERE coll_id = ?", collection.coll_id):
        yield data_id


def rename_collection(db: Database, collection: Collection, name: str, parent: str) -> None:
    """Give a collection, and all below it, another name."""
    start = len(collection.name) + 1
    db.execute(
        "UPDATE collections SET name = ? || substr(name, ?), parent = ? || substr(parent, ?)"
        " WHERE name > ? AND name < ?",
        *(name, start, name, start, collection.name + "/", collection.name + "0"),
    )
    db.execute(
        "UPDATE collections SET name = ?, parent = ?, modified = ? WHERE coll_id = ?",
        *(name, parent, now(), collection.coll_id),
    )


def set_inherit(db: Database, collection: Collection, inherit: bool) -> None:
    """Whether new members get this collection's rights."""
    db.execute(
        "UPDATE collections SET inherit = ?, modified = ? WHERE coll_id = ?",
        *("1" if inherit else "0", now(), collection.coll_id),
    )


def touch_collection(db: Database, coll_id: int, time: str | None = None) -> None:
    """Set the modification time, by default to now."""
    db.execute("UPDATE collections SET modified = ? WHERE coll_id = ?", time or now(), coll_id)
