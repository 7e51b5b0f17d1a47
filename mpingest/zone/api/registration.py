"""Registering files where they are: PHY_PATH_REG, and BULK_DATA_OBJ_REG of up to fifty at once."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import IntEnum

from mpingest.zone import vault
from mpingest.zone.api.lookup import refuse_collection_at, replicas_at, require_replicas, writable_collection
from mpingest.zone.catalog.database import now
from mpingest.zone.catalog.datatypes import DATA_TYPES
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.objects import (
    NewReplica,
    Replica,
    add_object,
    add_replica,
    stale_siblings,
    update_replica,
)
from mpingest.zone.catalog.resources import Resource, resource_by_id
from mpingest.zone.hierarchy import known_resource, resource_to_register_on
from mpingest.zone.messages import Keywords, ObjectInput, RowsInput, pack_json, pack_rows
from mpingest.zone.pack import PackError, to_integer
from mpingest.zone.paths import check_object_name, check_path, split_path
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError

_MAX_BULK_ROWS = 50


def register(session: Session, request: Request) -> Reply:
    """PHY_PATH_REG: a new object, or with ``regRepl`` one more replica of one."""
    _register(session, request)
    return Reply()


def register_with_answer(session: Session, request: Request) -> Reply:
    """REGISTER_PHYSICAL_PATH: the same, and the new replica as JSON."""
    replica = _register(session, request)
    answer = {
        "coll_id": str(replica.coll_id),
        "data_checksum": replica.checksum,
        "data_id": str(replica.data_id),
        "data_is_dirty": str(replica.status),
        "data_name": replica.name,
        "data_path": replica.path,
        "data_repl_num": str(replica.number),
        "data_size": str(replica.size),
        "data_type_name": replica.type,
        "modify_ts": replica.modified,
        "resc_hier": replica.hierarchy,
        "resc_id": str(replica.resc_id),
    }
    return Reply(message=pack_json(answer))


def _register(session: Session, request: Request) -> Replica:
    wanted = ObjectInput.read(request.body)
    path = check_path(wanted.path, session.zone.name)
    keywords = wanted.keywords
    if not keywords.get("filePath"):
        raise ZoneError(Status.SYS_INVALID_FILE_PATH)
    _check_file_permission(session, keywords)
    db = session.zone.db
    resource = resource_to_register_on(db, keywords)
    new = _replica_of_file(split_path(path)[1], resource, str(wanted.create_mode), keywords)
    add = _add_registered_replica if "regRepl" in keywords else _add_registered_object
    try:
        with db.transaction():
            return add(session, path, new)
    except ZoneError as error:
        if error.status == Status.CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME and _is_being_written(session, path):
            raise ZoneError(Status.HIERARCHY_ERROR) from None
        raise


def _is_being_written(session: Session, path: str) -> bool:
    replicas = replicas_at(session.zone.db, path)
    return bool(replicas) and session.zone.writers.of(replicas[0].data_id) is not None


def _check_file_permission(session: Session, keywords: Keywords) -> None:
    if "noChkFilePerm" in keywords:
        if not session.proxy.is_admin:
            raise ZoneError(Status.SYS_NO_API_PRIV)
    elif not session.client.is_admin:
        raise ZoneError(Status.PATH_REG_NOT_ALLOWED)


def _replica_of_file(name: str, resource: Resource, mode: str, keywords: Keywords) -> NewReplica:
    path = keywords["filePath"]
    with_checksum = "regChksum" in keywords or "verifyChksum" in keywords
    return NewReplica(
        name=name,
        size=_announced_size(keywords["dataSize"]) if "dataSize" in keywords else vault.file_size(path),
        resc_id=resource.resc_id,
        path=path,
        checksum=vault.checksum(path) if with_checksum else "",
        type=keywords.get("dataType", "generic"),
        mode=mode,
        modified=keywords.get("dataModify"),
    )


def _announced_size(text: str) -> int:
    """What a client says of a file's size; what isn't a number counts as 0."""
    with contextlib.suppress(PackError):
        return to_integer(text)
    return 0


def _add_registered_object(session: Session, path: str, new: NewReplica) -> Replica:
    db = session.zone.db
    parent, name = split_path(path)
    collection = writable_collection(db, session.client, parent)
    refuse_collection_at(db, path)
    check_object_name(name)
    if new.type not in DATA_TYPES:
        raise ZoneError(Status.CAT_INVALID_DATA_TYPE)
    return add_object(db, collection, session.client, new)


def _add_registered_replica(session: Session, path: str, new: NewReplica) -> Replica:
    """One more replica; the server takes it for the newest, so its siblings go stale."""
    db = session.zone.db
    siblings = require_replicas(db, session.client, path, Level.MODIFY_OBJECT)
    if session.zone.writers.of(siblings[0].data_id):
        raise ZoneError(Status.LOCKED_DATA_OBJECT_ACCESS)
    if any(sibling.resc_id == new.resc_id for sibling in siblings):
        raise ZoneError(Status.SYS_COPY_ALREADY_IN_RESC)
    replica = add_replica(db, siblings, session.client, new)
    stale_siblings(db, replica)
    return replica


class _Column(IntEnum):
    """Numbers of the columns of a bulk registration."""

    PATH = 403
    REPLICA = 404
    TYPE = 406
    SIZE = 407
    RESOURCE_NAME = 409
    FILE = 410
    CHECKSUM = 415
    MODE = 421
    RESOURCE = 423
    OPERATION = 999999


_REQUIRED = (
    *(_Column.PATH, _Column.TYPE, _Column.SIZE, _Column.RESOURCE_NAME, _Column.FILE, _Column.MODE),
    *(_Column.OPERATION, _Column.REPLICA, _Column.RESOURCE),
)


@dataclass(frozen=True, slots=True)
class _BulkRow:
    path: str
    new: NewReplica
    modify: bool
    number: int


def register_bulk(session: Session, request: Request) -> Reply:
    """BULK_DATA_OBJ_REG: all rows or none, in one transaction."""
    wanted = RowsInput.read(request.body)
    if wanted.count > _MAX_BULK_ROWS:
        raise ZoneError(Status.SYS_BULK_REG_COUNT_EXCEEDED)
    missing = [column for column in _REQUIRED if column not in wanted.columns]
    if missing:
        raise ZoneError(Status.UNMATCHED_KEY_OR_INDEX)
    with session.zone.db.transaction():
        for index in range(wanted.count):
            _register_bulk_row(session, _bulk_row(session, wanted, index))
    return Reply(message=pack_rows([], [], 0, 0))


def _bulk_row(session: Session, wanted: RowsInput, index: int) -> _BulkRow:
    values = {column: texts[index] for column, texts in wanted.columns.items()}
    path = check_path(values[_Column.PATH], session.zone.name)
    resource = resource_by_id(session.zone.db, to_integer(values[_Column.RESOURCE]))
    if resource is None:
        resource = known_resource(session.zone.db, values[_Column.RESOURCE_NAME])
    new = NewReplica(
        name=split_path(path)[1],
        size=to_integer(values[_Column.SIZE]),
        resc_id=resource.resc_id,
        path=values[_Column.FILE],
        checksum=values.get(_Column.CHECKSUM, ""),
        type=values[_Column.TYPE],
        mode=values[_Column.MODE],
    )
    modify = values[_Column.OPERATION] == "modify"
    return _BulkRow(path, new, modify, to_integer(values[_Column.REPLICA]))


def _register_bulk_row(session: Session, row: _BulkRow) -> None:
    if not row.modify:
        _add_registered_object(session, row.path, row.new)
        return
    db = session.zone.db
    replicas = require_replicas(db, session.client, row.path, Level.MODIFY_OBJECT, Status.CAT_UNKNOWN_FILE)
    replica = next((replica for replica in replicas if replica.number == row.number), None)
    if replica is None:
        raise ZoneError(Status.CAT_UNKNOWN_FILE)
    update_replica(db, replica, size=row.new.size, checksum=row.new.checksum, modified=now())
    stale_siblings(db, replica)
