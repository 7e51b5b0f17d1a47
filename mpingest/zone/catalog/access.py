"""Who may do what with a collection or data object."""

from __future__ import annotations

from mpingest.zone.catalog.database import Database
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.users import User


def level_of(db: Database, user: User, object_id: int) -> int:
    """The highest level that the user or one of its groups has on an object, 0 where there is none."""
    row = db.row(
        "SELECT max(a.level) FROM access a JOIN members m ON m.group_id = a.user_id"
        " WHERE a.object_id = ? AND m.user_id = ?",
        *(object_id, user.user_id),
    )
    return (row and row[0]) or 0


def set_level(db: Database, user: User, object_id: int, level: Level) -> None:
    """Give a user a level; NULL takes it away."""
    if level == Level.NULL:
        db.execute("DELETE FROM access WHERE object_id = ? AND user_id = ?", object_id, user.user_id)
    else:
        db.execute("INSERT OR REPLACE INTO access VALUES (?, ?, ?)", object_id, user.user_id, level.value)


def grant_new_object(db: Database, object_id: int, owner: User, collection_id: int, inherit: bool) -> None:
    """Rights on a new object: its collection's where that hands them down, otherwise its owner's alone."""
    if inherit:
        db.execute(
            "INSERT INTO access SELECT ?, user_id, level FROM access WHERE object_id = ?", object_id, collection_id
        )
    else:
        set_level(db, owner, object_id, Level.OWN)


def forget_object(db: Database, object_id: int) -> None:
    """Drop the rights and the metadata of an object that is gone."""
    db.execute("DELETE FROM access WHERE object_id = ?", object_id)
    db.execute("DELETE FROM avu_map WHERE object_id = ?", object_id)
