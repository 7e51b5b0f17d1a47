"""Users and groups."""

from __future__ import annotations

from dataclasses import dataclass

from mpingest.zone.catalog.database import Database, now

ADMIN = "rodsadmin"
GROUP = "rodsgroup"
USER_TYPES = (ADMIN, "groupadmin", "rodsuser")
PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class User:
    """A row of the user table, without its password."""

    user_id: int
    name: str
    zone: str
    type: str

    @property
    def is_admin(self) -> bool:
        """Whether the user administers the zone."""
        return self.type == ADMIN


def find_user(db: Database, name: str, zone: str) -> User | None:
    """A user or group by name."""
    row = db.row("SELECT user_id, name, zone, type FROM users WHERE name = ? AND zone = ?", name, zone)
    return User(*row) if row else None


def password_of(db: Database, user: User) -> str | None:
    """The user's password, None where there is none: that user can't log in."""
    row = db.row("SELECT password FROM users WHERE user_id = ?", user.user_id)
    return row[0] if row else None


def add_user(db: Database, name: str, zone: str, user_type: str) -> User:
    """A new user, member of itself and of the group of all users; or a new group."""
    user_id, time = db.new_id(), now()
    db.execute(
        "INSERT INTO users (user_id, name, zone, type, created, modified) VALUES (?, ?, ?, ?, ?, ?)",
        *(user_id, name, zone, user_type, time, time),
    )
    db.execute("INSERT INTO members VALUES (?, ?)", user_id, user_id)
    if user_type != GROUP:
        db.execute(
            "INSERT INTO members SELECT user_id, ? FROM users WHERE name = ? AND type = ?", user_id, PUBLIC, GROUP
        )
    return User(user_id, name, zone, user_type)


def remove_user(db: Database, user: User) -> None:
    """Take a user or group out of the catalog, its memberships and its access rights with it."""
    db.execute("DELETE FROM users WHERE user_id = ?", user.user_id)
    db.execute("DELETE FROM members WHERE user_id = ? OR group_id = ?", user.user_id, user.user_id)
    db.execute("DELETE FROM access WHERE user_id = ?", user.user_id)
    db.execute("DELETE FROM avu_map WHERE object_id = ?", user.user_id)


def set_column(db: Database, user: User, column: str, value: str) -> None:
    """Change ``password``, ``type``, ``info`` or ``comment``."""
    db.execute(f"UPDATE users SET {column} = ?, modified = ? WHERE user_id = ?", value, now(), user.user_id)


def add_member(db: Database, group: User, user: User) -> None:
    """Put a user into a group."""
    db.execute("INSERT INTO members VALUES (?, ?)", group.user_id, user.user_id)


def remove_member(db: Database, group: User, user: User) -> bool:
    """Take a user out of a group; whether it was in it."""
    return db.execute("DELETE FROM members WHERE group_id = ? AND user_id = ?", group.user_id, user.user_id) > 0
