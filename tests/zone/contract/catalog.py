"""What the catalog says of objects, asked as any client asks."""

from __future__ import annotations

from dataclasses import dataclass

from irods.models import Collection, DataObject
from irods.session import iRODSSession

STALE, GOOD, INTERMEDIATE, WRITE_LOCKED = 0, 1, 2, 4


@dataclass(frozen=True)
class Replica:
    name: str
    number: int
    status: int
    size: int
    checksum: str
    path: str
    hierarchy: str
    modified: int


def replicas(session: iRODSSession, path: str) -> list[Replica]:
    """All replicas of an object, in order of their numbers."""
    parent, _, name = path.rpartition("/")
    return [replica for replica in listing(session, parent) if replica.name == name]


def listing(session: iRODSSession, collection: str) -> list[Replica]:
    """All replicas of all objects in a collection."""
    query = session.query(
        *(DataObject.name, DataObject.replica_number, DataObject.replica_status, DataObject.size),
        *(DataObject.checksum, DataObject.path, DataObject.resc_hier, DataObject.modify_time),
    ).filter(Collection.name == collection)
    return sorted(
        (
            Replica(
                row[DataObject.name],
                row[DataObject.replica_number],
                int(row[DataObject.replica_status]),
                row[DataObject.size],
                row[DataObject.checksum] or "",
                row[DataObject.path],
                row[DataObject.resc_hier],
                int(row[DataObject.modify_time].timestamp()),
            )
            for row in query
        ),
        key=lambda replica: (replica.name, replica.number),
    )


def names(session: iRODSSession, collection: str) -> set[str]:
    """Names of the objects in a collection."""
    return {replica.name for replica in listing(session, collection)}
