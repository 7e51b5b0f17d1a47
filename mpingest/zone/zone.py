"""A zone: its catalog, its vaults, and what requests of different connections share."""

from __future__ import annotations

import socket
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

from mpingest.errors import MpingestError
from mpingest.zone.catalog.collections import add_collection, find_collection
from mpingest.zone.catalog.database import Database
from mpingest.zone.catalog.resources import NewResource, add_resource
from mpingest.zone.catalog.users import ADMIN, GROUP, PUBLIC, User, add_user, find_user, set_column
from mpingest.zone.recovery import recover
from mpingest.zone.writers import Writers

DEFAULT_RESOURCES = ("demoResc", "secondResc")
_UNCLEAN = "running"
"""A file that is there while a server runs; who finds it at the start knows that the last one was killed."""


@dataclass
class Zone:
    """directory: where it lives; name: of the zone; db: the catalog; writers: who writes which object now."""

    directory: Path
    name: str
    db: Database
    writers: Writers = field(default_factory=Writers)

    @classmethod
    def open(cls, directory: Path, name: str, admin: str) -> Zone:
        """The zone in a directory, made where it is new; what a crash left behind is put right.

        Raises MpingestError where the catalog can't be used.
        """
        try:
            db = Database(directory / "catalog.sqlite")
        except sqlite3.Error as error:
            raise MpingestError(f"can't use the catalog in {directory}: {error}") from None
        row = db.row("SELECT name FROM zones WHERE type = 'local'")
        zone = cls(directory, row[0] if row else name, db)
        with db.transaction():
            if row is None:
                zone._found(admin)
            if find_user(db, admin, zone.name) is None:
                zone._add_admin(admin)
        if (directory / _UNCLEAN).exists():
            recover(db, directory)
        (directory / _UNCLEAN).touch()
        return zone

    def close(self, *, clean: bool) -> None:
        """Close the catalog. clean: nothing is under way any more."""
        self.db.close()
        if clean:
            (self.directory / _UNCLEAN).unlink()

    def set_password(self, name: str, password: str) -> None:
        """Set the password of a user that there is."""
        with self.db.transaction():
            user = find_user(self.db, name, self.name)
            assert user is not None
            set_column(self.db, user, "password", password)

    def add_home(self, user: User) -> None:
        """Home and trash collections of a new user."""
        for parent_name in (f"/{self.name}/home", f"/{self.name}/trash/home"):
            parent = find_collection(self.db, parent_name)
            assert parent is not None
            add_collection(self.db, f"{parent_name}/{user.name}", parent, user)

    def _found(self, admin_name: str) -> None:
        db = self.db
        db.execute("INSERT INTO zones VALUES (?, ?, 'local')", db.new_id(), self.name)
        public = add_user(db, PUBLIC, self.name, GROUP)
        admin = add_user(db, admin_name, self.name, ADMIN)
        root = add_collection(db, "/", None, admin)
        zone = add_collection(db, f"/{self.name}", root, admin)
        add_collection(db, f"/{self.name}/home", zone, admin)
        trash = add_collection(db, f"/{self.name}/trash", zone, admin)
        add_collection(db, f"/{self.name}/trash/home", trash, admin)
        for user in (public, admin):
            self.add_home(user)
        for resource in DEFAULT_RESOURCES:
            vault = str(self.directory / "vaults" / resource)
            add_resource(db, self.name, NewResource(resource, "unixfilesystem", socket.gethostname(), vault))

    def _add_admin(self, name: str) -> None:
        self.add_home(add_user(self.db, name, self.name, ADMIN))
