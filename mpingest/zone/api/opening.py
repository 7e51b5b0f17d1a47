"""Which replica a request reads or writes, who may, and what is locked meanwhile."""

from __future__ import annotations

import os

from mpingest.zone import vault
from mpingest.zone.api.lookup import (
    refuse_collection_at,
    replicas_at,
    require_level,
    require_replicas,
    sees_object,
    writable_collection,
)
from mpingest.zone.catalog.collections import touch_collection
from mpingest.zone.catalog.datatypes import DATA_TYPES
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.objects import (
    NewReplica,
    Replica,
    ReplicaStatus,
    add_object,
    add_replica,
    lock_object,
)
from mpingest.zone.hierarchy import resource_named_by_hierarchy, resource_to_create_on
from mpingest.zone.messages import Keywords, ObjectInput
from mpingest.zone.paths import check_object_name, check_path, split_path
from mpingest.zone.session import OpenReplica, Session
from mpingest.zone.statuses import Status, ZoneError
from mpingest.zone.writers import Writer


def open_replica(session: Session, wanted: ObjectInput, flags: int) -> OpenReplica:
    """Open what a request means, as POSIX flags say. Raises ZoneError."""
    path = check_path(wanted.path, session.zone.name)
    if flags & os.O_ACCMODE == os.O_RDONLY:
        return _open_to_read(session, path, wanted.keywords)
    return _open_to_write(session, path, wanted, flags)


def open_to_write(session: Session, path: str, keywords: Keywords, flags: int) -> OpenReplica:
    """A replica that the server itself writes. Raises ZoneError."""
    return _open_to_write(session, path, ObjectInput(path, 0, flags, 0, 0, 0, keywords), flags)


def _open_to_read(session: Session, path: str, keywords: Keywords) -> OpenReplica:
    db = session.zone.db
    with db.reading():
        replicas = require_replicas(db, session.client, path, Level.READ_OBJECT, Status.OBJ_PATH_DOES_NOT_EXIST)
        _refuse_intermediate(session, replicas, keywords)
        replica = _choose(session, replicas, keywords) or replicas[0]
    return OpenReplica(path, replica, vault.open_file(replica.path, os.O_RDONLY))


def _open_to_write(session: Session, path: str, wanted: ObjectInput, flags: int) -> OpenReplica:
    db, keywords = session.zone.db, wanted.keywords
    with db.transaction():
        replicas = replicas_at(db, path)
        if replicas and not sees_object(db, session.client, replicas[0]):
            # Who doesn't know of the object would make a new one, and is told so.
            writable_collection(db, session.client, split_path(path)[0])
        if replicas:
            require_level(db, session.client, replicas[0].data_id, Level.MODIFY_OBJECT)
            writer = session.zone.writers.of(replicas[0].data_id)
            if writer and writer.token == keywords.get("replicaToken"):
                return _join(path, replicas, writer, wanted)
            _refuse_intermediate(session, replicas, keywords)
            if writer:  # its agent died: whatever the catalog says meanwhile, the server remembers it for good
                raise ZoneError(Status.SYS_INTERNAL_ERR, "replica_access_table: Invalid token")
        elif not flags & os.O_CREAT:
            raise ZoneError(Status.OBJ_PATH_DOES_NOT_EXIST)
        replica = _choose(session, replicas, keywords) if replicas else None
        if replica:
            opened = _overwrite(session, path, replica, wanted, flags)
        elif flags & os.O_CREAT:
            opened = _create(session, path, replicas, wanted)
        else:
            raise ZoneError(Status.SYS_REPLICA_DOES_NOT_EXIST)
    # Not before the commit of the lock: who is killed in between leaves a replica that is known to be stale.
    if flags & os.O_TRUNC:
        os.ftruncate(opened.file, 0)
    return opened


def _refuse_intermediate(session: Session, replicas: list[Replica], keywords: Keywords) -> None:
    """Nobody but who has the token gets at an object that is being written, or was when its agent died."""
    if not any(replica.locked for replica in replicas):
        return
    raise ZoneError(Status.INTERMEDIATE_REPLICA_ACCESS if "resc_hier" in keywords else Status.HIERARCHY_ERROR)


def _choose(session: Session, replicas: list[Replica], keywords: Keywords) -> Replica | None:
    """The replica that the keywords mean, by default the first good one; None where they mean one that isn't."""
    if "resc_hier" in keywords:
        resource = resource_named_by_hierarchy(session.zone.db, keywords["resc_hier"])
        return next((replica for replica in replicas if replica.resc_id == resource.resc_id), None)
    if "replNum" in keywords:
        return next((replica for replica in replicas if str(replica.number) == keywords["replNum"]), None)
    by_merit = sorted(replicas, key=lambda replica: replica.status != ReplicaStatus.GOOD)
    root = keywords.get("destRescName") or keywords.get("rescName")
    return next((replica for replica in by_merit if replica.hierarchy.split(";")[0] == root), by_merit[0])


def _join(path: str, replicas: list[Replica], writer: Writer, wanted: ObjectInput) -> OpenReplica:
    replica = next(replica for replica in replicas if replica.number == writer.number)
    file = vault.open_file(replica.path, os.O_RDWR)
    return OpenReplica(path, replica, file, writer, keywords=wanted.keywords, changed=True)


def _overwrite(session: Session, path: str, replica: Replica, wanted: ObjectInput, flags: int) -> OpenReplica:
    file = vault.open_file(replica.path, os.O_RDWR)
    lock_object(session.zone.db, replica)
    writer = session.zone.writers.begin(replica.data_id, replica.number)
    return OpenReplica(
        path, replica, file, writer, _announced(wanted), wanted.keywords, changed=bool(flags & os.O_TRUNC)
    )


def _create(session: Session, path: str, siblings: list[Replica], wanted: ObjectInput) -> OpenReplica:
    db = session.zone.db
    parent, name = split_path(path)
    refuse_collection_at(db, path)
    data_type = wanted.keywords.get("dataType", "generic")
    resource = resource_to_create_on(db, wanted.keywords)
    collection = writable_collection(db, session.client, parent)
    check_object_name(name)
    if data_type not in DATA_TYPES:
        raise ZoneError(Status.CAT_INVALID_DATA_TYPE)
    file_path, file = vault.create_file(vault.vault_path(resource.vault, path))
    new = NewReplica(
        name,
        0,
        resource.resc_id,
        file_path,
        status=ReplicaStatus.INTERMEDIATE,
        type=data_type,
        mode=str(wanted.create_mode),
    )
    try:
        if siblings:
            replica = add_replica(db, siblings, session.client, new)
            lock_object(db, replica)
        else:
            replica = add_object(db, collection, session.client, new)
            touch_collection(db, collection.coll_id)
    except BaseException:
        os.close(file)
        vault.remove_files([file_path])
        raise
    writer = session.zone.writers.begin(replica.data_id, replica.number)
    return OpenReplica(path, replica, file, writer, _announced(wanted), wanted.keywords, changed=True)


def _announced(wanted: ObjectInput) -> int | None:
    return wanted.size if wanted.size > 0 else None
