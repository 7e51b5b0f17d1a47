"""Putting right what a killed server left behind."""

from __future__ import annotations

import os
from pathlib import Path

from mpingest.zone.catalog.database import Database
from mpingest.zone.catalog.objects import ReplicaStatus
from mpingest.zone.vault import remove_files, size_or_none


def recover(db: Database, directory: Path) -> None:
    """Make the catalog true, and remove the files in the zone's own vaults that it doesn't know.

    Resources with a vault elsewhere may share that place with others: nothing is removed there.
    """
    _settle_replicas(db)
    for resc_id, vault in db.rows("SELECT resc_id, vault FROM resources"):
        if Path(vault).is_relative_to(directory):
            _remove_unknown_files(db, resc_id, vault)


def _settle_replicas(db: Database) -> None:
    """Replicas that were being written are stale, their siblings what they were before."""
    writing = db.rows("SELECT coll_id, name, number, path FROM replicas WHERE status = ?", ReplicaStatus.INTERMEDIATE)
    with db.transaction():
        for coll_id, name, number, path in writing:
            db.execute(
                "UPDATE replicas SET status = ?, data_status = '', size = ?, checksum = ''"
                " WHERE coll_id = ? AND name = ? AND number = ?",
                *(ReplicaStatus.STALE, size_or_none(path) or 0, coll_id, name, number),
            )
        db.execute(
            "UPDATE replicas SET status = CAST(data_status AS INTEGER), data_status = '' WHERE status = ?",
            ReplicaStatus.WRITE_LOCKED,
        )


def _remove_unknown_files(db: Database, resc_id: int, vault: str) -> None:
    known = {path for (path,) in db.rows("SELECT path FROM replicas WHERE resc_id = ?", resc_id)}
    on_disk = (os.path.join(parent, name) for parent, _, names in os.walk(vault) for name in names)
    remove_files(path for path in on_disk if path not in known)
