"""A zone: its directory, its catalog, its vaults, and what requests of different connections share."""

from __future__ import annotations

import socket
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from mpingest.errors import MpingestError
from mpingest.zone.catalog.collections import add_collection, find_collection
from mpingest.zone.catalog.database import Database
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.objects import ReplicaStatus
from mpingest.zone.catalog.resources import NewResource, add_resource
from mpingest.zone.catalog.users import ADMIN, GROUP, PUBLIC, User, add_user, set_column
from mpingest.zone.vault import remove_file, size_or_none
from mpingest.zone.writers import Writers

DEFAULT_RESOURCES = ("demoResc", "secondResc")


@dataclass
class Zone:
    """name: of the zone; host: where its resources are; db: the catalog; writers: who writes which object now."""

    name: str
    host: str
    db: Database
    writers: Writers = field(default_factory=Writers)

    @classmethod
    def open(cls, directory: Path, name: str) -> Zone:
        """The zone in a directory, made where it is new; what a crash left behind is put right.

        Raises MpingestError where the catalog can't be used.
        """
        try:
            db = Database(directory / "catalog.sqlite")
        except sqlite3.Error as error:
            raise MpingestError(f"can't use the catalog in {directory}: {error}") from None
        zone = cls(name, socket.gethostname(), db)
        if db.row("SELECT 1 FROM zones LIMIT 1") is None:
            with db.transaction():
                zone._found(directory)
        zone.name = str(zone._stored_name())
        zone._recover()
        return zone

    def close(self) -> None:
        """Close the catalog."""
        self.db.close()

    def set_password(self, name: str, password: str) -> None:
        """The administrator of this name, with that password; made where missing."""
        with self.db.transaction():
            user = self._find_or_add_admin(name)
            set_column(self.db, user, "password", password)

    def sweep_doomed_files(self, paths: list[str]) -> None:
        """Remove files whose replicas a committed transaction took out of the catalog."""
        for path in paths:
            remove_file(path)

    def add_home(self, user: User) -> None:
        """Home and trash collections of a new user."""
        for parent_name in (f"/{self.name}/home", f"/{self.name}/trash/home"):
            parent = find_collection(self.db, parent_name)
            assert parent is not None
            add_collection(self.db, f"{parent_name}/{user.name}", parent, user)

    def _found(self, directory: Path) -> None:
        db = self.db
        db.execute("INSERT INTO zones VALUES (?, ?, 'local')", db.new_id(), self.name)
        public = add_user(db, PUBLIC, self.name, GROUP)
        system = User(0, "rods", self.name, ADMIN)
        parent = None
        for path in ("/", f"/{self.name}", f"/{self.name}/home", f"/{self.name}/trash", f"/{self.name}/trash/home"):
            within = find_collection(db, path.rpartition("/")[0] or "/") if parent else None
            parent = add_collection(db, path, within, system)
        for number, resource in enumerate(DEFAULT_RESOURCES):
            vault = directory / (f"vault{number + 1}" if number else "vault")
            add_resource(db, self.name, NewResource(resource, "unixfilesystem", self.host, str(vault)))
        self.add_home(public)

    def _find_or_add_admin(self, name: str) -> User:
        row = self.db.row("SELECT user_id, name, zone, type FROM users WHERE name = ? AND zone = ?", name, self.name)
        if row:
            return User(*row)
        user = add_user(self.db, name, self.name, ADMIN)
        self.db.execute(
            "INSERT OR IGNORE INTO access SELECT coll_id, ?, ? FROM collections", user.user_id, Level.OWN.value
        )
        self.add_home(user)
        return user

    def _stored_name(self) -> object:
        row = self.db.row("SELECT name FROM zones WHERE type = 'local'")
        assert row is not None
        return row[0]

    def _recover(self) -> None:
        """Replicas that were being written are stale now, their siblings are what they were; doomed files go."""
        db = self.db
        writing = db.rows(
            "SELECT coll_id, name, number, path FROM replicas WHERE status = ?", ReplicaStatus.INTERMEDIATE
        )
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
        doomed = db.rows("SELECT path FROM doomed_files WHERE path NOT IN (SELECT path FROM replicas)")
        self.sweep_doomed_files([path for (path,) in doomed])
        with db.transaction():
            db.execute("DELETE FROM doomed_files")
