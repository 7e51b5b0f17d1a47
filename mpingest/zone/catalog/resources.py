"""Storage resources and their trees."""

from __future__ import annotations

from dataclasses import dataclass

from mpingest.zone.catalog.database import Database, now

STORAGE_TYPES = ("unixfilesystem", "unix file system")

_COLUMNS = "resc_id, name, type, location, vault, status, parent, hierarchy"


@dataclass(frozen=True, slots=True)
class Resource:
    """A node of a resource tree; ``hierarchy`` names the path from its root, joined by semicolons."""

    resc_id: int
    name: str
    type: str
    location: str
    vault: str
    status: str
    parent: int | None
    hierarchy: str

    @property
    def is_storage(self) -> bool:
        """Whether it holds files itself."""
        return self.type in STORAGE_TYPES

    @property
    def is_down(self) -> bool:
        """Whether it was marked as not available."""
        return self.status == "down"


def find_resource(db: Database, name: str) -> Resource | None:
    """A resource by name."""
    row = db.row(f"SELECT {_COLUMNS} FROM resources WHERE name = ?", name)
    return Resource(*row) if row else None


def resource_by_id(db: Database, resc_id: int) -> Resource | None:
    """A resource by its id."""
    row = db.row(f"SELECT {_COLUMNS} FROM resources WHERE resc_id = ?", resc_id)
    return Resource(*row) if row else None


def children(db: Database, resource: Resource) -> list[Resource]:
    """Direct children, in order of their making."""
    rows = db.rows(f"SELECT {_COLUMNS} FROM resources WHERE parent = ? ORDER BY resc_id", resource.resc_id)
    return [Resource(*row) for row in rows]


def leaves(db: Database, resource: Resource) -> list[Resource]:
    """The storage resources below (or at) a node."""
    if resource.is_storage:
        return [resource]
    return [leaf for child in children(db, resource) for leaf in leaves(db, child)]


@dataclass(frozen=True, slots=True)
class NewResource:
    """What a new resource's row is made of. location: its host; vault: directory of its files."""

    name: str
    type: str
    location: str
    vault: str
    context: str = ""


def add_resource(db: Database, zone: str, new: NewResource) -> None:
    """A new resource, root of its own tree."""
    time = now()
    db.execute(
        "INSERT INTO resources (resc_id, name, zone, type, location, vault, context, hierarchy, created, modified)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        *(db.new_id(), new.name, zone, new.type, new.location, new.vault, new.context, new.name, time, time),
    )


def remove_resource(db: Database, resource: Resource) -> None:
    """Take a resource out of the catalog."""
    db.execute("DELETE FROM resources WHERE resc_id = ?", resource.resc_id)
    db.execute("DELETE FROM avu_map WHERE object_id = ?", resource.resc_id)


def set_column(db: Database, resource: Resource, column: str, value: str) -> None:
    """Change ``comment``, ``context``, ``status``, ``vault``, ``location``, ``type``, …"""
    db.execute(f"UPDATE resources SET {column} = ?, modified = ? WHERE resc_id = ?", value, now(), resource.resc_id)


def set_parent(db: Database, resource: Resource, parent: Resource | None, context: str = "") -> None:
    """Hang a resource, and all that hangs from it, under ``parent``, or make it a root."""
    hierarchy = f"{parent.hierarchy};{resource.name}" if parent else resource.name
    db.execute(
        "UPDATE resources SET parent = ?, parent_context = ?, modified = ? WHERE resc_id = ?",
        *(parent.resc_id if parent else None, context, now(), resource.resc_id),
    )
    db.execute(
        "UPDATE resources SET hierarchy = ? || substr(hierarchy, ?) WHERE hierarchy = ? OR substr(hierarchy, 1, ?) = ?",
        *(hierarchy, len(resource.hierarchy) + 1, resource.hierarchy),
        *(len(resource.hierarchy) + 1, resource.hierarchy + ";"),
    )


def holds_replicas(db: Database, resource: Resource) -> bool:
    """Whether any replica lies on it."""
    return db.row("SELECT 1 FROM replicas WHERE resc_id = ? LIMIT 1", resource.resc_id) is not None
