"""Opening, reading, writing and closing replicas, and putting a small file in one request."""

from __future__ import annotations

import os

from mpingest.zone import vault
from mpingest.zone.api.access import grant_by_name
from mpingest.zone.api.finalize import abandon, finalize, release
from mpingest.zone.api.lookup import (
    refuse_collection_at,
    replicas_at,
    require_level,
    require_replicas,
    sees,
    sees_object,
    writable_collection,
)
from mpingest.zone.catalog.avus import Avu, add_avu
from mpingest.zone.catalog.collections import find_collection, touch_collection
from mpingest.zone.catalog.datatypes import DATA_TYPES
from mpingest.zone.catalog.levels import Level, parse_level
from mpingest.zone.catalog.objects import (
    NewReplica,
    Replica,
    ReplicaStatus,
    add_object,
    add_replica,
    lock_object,
)
from mpingest.zone.hierarchy import resource_named_by_hierarchy, resource_to_create_on
from mpingest.zone.messages import Keywords, ObjectInput, OpenedInput, pack_json, read_json_object
from mpingest.zone.pack import leaf, pack
from mpingest.zone.paths import check_object_name, check_path, split_path
from mpingest.zone.session import OpenReplica, Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError, file_error
from mpingest.zone.writers import Writer

_MAX_READ = 1 << 30


def open_object(session: Session, request: Request) -> Reply:
    """DATA_OBJ_OPEN: the status is the descriptor."""
    wanted = ObjectInput.read(request.body)
    return Reply(session.descriptors.add(_open(session, wanted, wanted.open_flags)))


def create_object(session: Session, request: Request) -> Reply:
    """DATA_OBJ_CREATE: open for writing, made where it is missing, emptied where it isn't."""
    wanted = ObjectInput.read(request.body)
    return Reply(session.descriptors.add(_open(session, wanted, os.O_RDWR | os.O_CREAT | os.O_TRUNC)))


def read(session: Session, request: Request) -> Reply:
    """DATA_OBJ_READ: the status is the number of bytes, 0 at the end."""
    wanted = OpenedInput.read(request.body)
    opened = session.descriptors.get(wanted.descriptor)
    try:
        data = os.read(opened.file, min(max(wanted.length, 0), _MAX_READ))
    except OSError as error:
        raise file_error(Status.UNIX_FILE_READ_ERR, error) from None
    return Reply(len(data), stream=data)


def write(session: Session, request: Request) -> Reply:
    """DATA_OBJ_WRITE: the status is the number of bytes."""
    wanted = OpenedInput.read(request.body)
    opened = session.descriptors.get(wanted.descriptor)
    vault.write_all(opened.file, request.stream)
    opened.changed = opened.changed or bool(request.stream)
    return Reply(len(request.stream))


def seek(session: Session, request: Request) -> Reply:
    """DATA_OBJ_LSEEK: answers with the new position."""
    wanted = OpenedInput.read(request.body)
    opened = session.descriptors.get(wanted.descriptor)
    try:
        position = os.lseek(opened.file, wanted.offset, wanted.whence)
    except OSError as error:
        raise file_error(Status.UNIX_FILE_LSEEK_ERR, error) from None
    return Reply(message=pack("fileLseekOut_PI", leaf("offset", position)).encode())


def close(session: Session, request: Request) -> Reply:
    """DATA_OBJ_CLOSE: what was written becomes the object.

    Where the size isn't what was announced the replica is stale, and the status is the size, as servers have it.
    """
    number = OpenedInput.read(request.body).descriptor
    opened = session.descriptors.get(number, Status.SYS_INVALID_INPUT_PARAM)
    session.descriptors.remove(number)
    return Reply(finalize(session, opened))


def close_replica(session: Session, request: Request) -> Reply:
    """REPLICA_CLOSE: close a descriptor; the catalog is updated unless the request says not to."""
    wanted = read_json_object(request.body)
    number = _descriptor_of(wanted)
    opened = session.descriptors.get(number)
    session.descriptors.remove(number)
    if wanted.get("update_size", True) or wanted.get("update_status", True):
        finalize(session, opened)
    else:
        release(opened)
    return Reply()


def describe(session: Session, request: Request) -> Reply:
    """GET_FILE_DESCRIPTOR_INFO: above all the token with which others may write the same replica."""
    opened = session.descriptors.get(_descriptor_of(read_json_object(request.body)))
    replica = opened.replica
    info = {
        "object_path": opened.path,
        "data_id": replica.data_id,
        "collection_id": replica.coll_id,
        "replica_number": replica.number,
        "replica_status": replica.status,
        "data_size": replica.size,
        "data_type": replica.type,
        "checksum": replica.checksum,
        "file_path": replica.path,
        "resource_hierarchy": replica.hierarchy,
        "resource_name": replica.hierarchy.rpartition(";")[2],
        "resource_id": replica.resc_id,
    }
    token = opened.writer.token if opened.writer else ""
    return Reply(message=pack_json({"in_use": True, "data_object_info": info, "replica_token": token}))


def put(session: Session, request: Request) -> Reply:
    """DATA_OBJ_PUT with the content in the same request, and metadata and rights if they are included."""
    wanted = ObjectInput.read(request.body)
    keywords = wanted.keywords
    path = check_path(wanted.path, session.zone.name)
    if "dataIncluded" not in keywords:
        raise ZoneError(Status.SYS_INVALID_PORTAL_OPR, "only puts with dataIncluded")
    db = session.zone.db
    with db.reading():
        replicas = replicas_at(db, path)
        exists = _is_taken(session, path, replicas)
        if exists and "forceFlag" not in keywords:
            raise ZoneError(Status.OVERWRITE_WITHOUT_FORCE_FLAG)
        root = keywords.get("destRescName")
        if replicas and root and all(replica.hierarchy.split(";")[0] != root for replica in replicas):
            raise ZoneError(Status.HIERARCHY_ERROR, f"cannot force put [{path}] to a different resource [{root}]")
    opened = _open(session, wanted, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        _fill(session, opened, wanted, request.stream)
    except BaseException:
        abandon(session, opened)
        raise
    finalize(session, opened)
    return Reply()


def make_empty(session: Session, path: str, keywords: Keywords) -> None:
    """A new object without content."""
    finalize(session, open_to_write(session, path, keywords, os.O_RDWR | os.O_CREAT))


def open_to_write(session: Session, path: str, keywords: Keywords, flags: int) -> OpenReplica:
    """A replica that the server itself writes."""
    return _open_to_write(session, path, ObjectInput(path, 0, flags, 0, 0, 0, keywords), flags)


def _is_taken(session: Session, path: str, replicas: list[Replica]) -> bool:
    """Whether the client knows of something at a path."""
    if replicas:
        return sees_object(session.zone.db, session.client, replicas[0])
    collection = find_collection(session.zone.db, path)
    return collection is not None and sees(session.zone.db, session.client, collection.coll_id)


def _fill(session: Session, opened: OpenReplica, wanted: ObjectInput, content: bytes) -> None:
    if len(content) != wanted.size:
        raise ZoneError(Status.SYS_COPY_LEN_ERR)
    vault.write_all(opened.file, content)
    opened.changed = True
    with session.zone.db.transaction():
        _apply_included(session, opened.replica.data_id, wanted.keywords)


def _apply_included(session: Session, data_id: int, keywords: Keywords) -> None:
    """Triples as ``a;v;u;…``, rights as ``level user;…``; what is incomplete at the end is left out."""
    parts = keywords.get("metadataIncluded", "").split(";")
    for name, value, units in zip(parts[::3], parts[1::3], parts[2::3], strict=False):
        add_avu(session.zone.db, data_id, Avu(name, value, units))
    for right in filter(None, keywords.get("aclIncluded", "").split(";")):
        name, _, user = right.strip().partition(" ")
        level = parse_level(name)
        if level is None:
            raise ZoneError(Status.CAT_INVALID_ARGUMENT)
        grant_by_name(session, data_id, level, user.strip())


def _descriptor_of(wanted: dict[str, object]) -> int:
    number = wanted.get("fd")
    if not isinstance(number, int):
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM, "fd is not a number")
    return number


def _open(session: Session, wanted: ObjectInput, flags: int) -> OpenReplica:
    path = check_path(wanted.path, session.zone.name)
    if flags & os.O_ACCMODE == os.O_RDONLY:
        return _open_to_read(session, path, wanted.keywords)
    return _open_to_write(session, path, wanted, flags)


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
            writable_collection(db, session.client, split_path(path)[0])
        if replicas:
            require_level(db, session.client, replicas[0].data_id, Level.MODIFY_OBJECT)
            writer = session.zone.writers.of(replicas[0].data_id)
            if writer and writer.token == keywords.get("replicaToken"):
                return _join(path, replicas, writer, wanted)
            _refuse_intermediate(session, replicas, keywords)
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
    """Nobody but who has the token gets at an object that is being written."""
    if not session.zone.writers.of(replicas[0].data_id):
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
    try:
        new = NewReplica(name, 0, resource.resc_id, file_path, type=data_type, mode=str(wanted.create_mode))
        if siblings:
            number = add_replica(db, siblings, session.client, new)
        else:
            add_object(db, collection, session.client, new)
            number = 0
            touch_collection(db, collection.coll_id)
        replica = next(replica for replica in replicas_at(db, path) if replica.number == number)
        lock_object(db, replica)
    except BaseException:
        os.close(file)
        vault.remove_file(file_path)
        raise
    writer = session.zone.writers.begin(replica.data_id, number)
    return OpenReplica(path, replica, file, writer, _announced(wanted), wanted.keywords, created=True, changed=True)


def _announced(wanted: ObjectInput) -> int | None:
    return wanted.size if wanted.size > 0 else None
