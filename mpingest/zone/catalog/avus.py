"""Attribute-value-unit triples, and what they are attached to."""

from __future__ import annotations

from typing import NamedTuple

from mpingest.zone.catalog.database import Database, now


class Avu(NamedTuple):
    """One triple; units may be empty."""

    name: str
    value: str
    units: str


def add_avu(db: Database, object_id: int, avu: Avu) -> bool:
    """Attach a triple; False where it was attached already."""
    row = db.row("SELECT meta_id FROM avus WHERE name = ? AND value = ? AND units = ?", *avu)
    meta_id = row[0] if row else _new_avu(db, avu)
    return db.execute("INSERT OR IGNORE INTO avu_map VALUES (?, ?)", object_id, meta_id) > 0


def remove_avu(db: Database, object_id: int, avu: Avu) -> bool:
    """Detach a triple; False where it wasn't attached."""
    return _detach(db, object_id, "name = ? AND value = ? AND units = ?", *avu)


def remove_named(db: Database, object_id: int, name: str) -> bool:
    """Detach all triples of one attribute."""
    return _detach(db, object_id, "name = ?", name)


def avus_of(db: Database, object_id: int) -> list[Avu]:
    """All triples of an object."""
    rows = db.rows(
        "SELECT a.name, a.value, a.units FROM avu_map m JOIN avus a ON a.meta_id = m.meta_id WHERE m.object_id = ?",
        object_id,
    )
    return [Avu(*row) for row in rows]


def _new_avu(db: Database, avu: Avu) -> int:
    meta_id, time = db.new_id(), now()
    db.execute("INSERT INTO avus VALUES (?, ?, ?, ?, ?, ?)", meta_id, *avu, time, time)
    return meta_id


def _detach(db: Database, object_id: int, condition: str, *values: str) -> bool:
    return (
        db.execute(
            f"DELETE FROM avu_map WHERE object_id = ? AND meta_id IN (SELECT meta_id FROM avus WHERE {condition})",
            *(object_id, *values),
        )
        > 0
    )
