"""Opening, reading, writing and closing replicas."""

from __future__ import annotations

import os

from mpingest.zone import vault
from mpingest.zone.api.finalize import finalize, release
from mpingest.zone.api.opening import open_replica
from mpingest.zone.messages import ObjectInput, OpenedInput, pack_json, read_json_object
from mpingest.zone.pack import leaf, pack
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError, file_error

_MAX_READ = 1 << 28


def open_object(session: Session, request: Request) -> Reply:
    """DATA_OBJ_OPEN: the status is the descriptor."""
    wanted = ObjectInput.read(request.body)
    session.descriptors.require_room()
    return Reply(session.descriptors.add(open_replica(session, wanted, wanted.open_flags)))


def create_object(session: Session, request: Request) -> Reply:
    """DATA_OBJ_CREATE: open for writing, made where it is missing, emptied where it isn't."""
    wanted = ObjectInput.read(request.body)
    session.descriptors.require_room()
    return Reply(session.descriptors.add(open_replica(session, wanted, os.O_RDWR | os.O_CREAT | os.O_TRUNC)))


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


def _descriptor_of(wanted: dict[str, object]) -> int:
    number = wanted.get("fd")
    if not isinstance(number, int):
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM, "fd is not a number")
    return number
