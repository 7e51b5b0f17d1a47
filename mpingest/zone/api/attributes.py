"""Sizes, times and checksums of objects that are there: changing, touching, truncating, computing."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from mpingest.zone import vault
from mpingest.zone.api.finalize import abandon, finalize
from mpingest.zone.api.lookup import (
    replicas_at,
    replicas_matching,
    require_collection,
    require_level,
    require_replicas,
    writable_collection,
)
from mpingest.zone.api.opening import open_to_write
from mpingest.zone.catalog.collections import find_collection, touch_collection
from mpingest.zone.catalog.database import now
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.objects import Replica, ReplicaStatus, stale_siblings, update_replica
from mpingest.zone.hierarchy import known_resource, resource_named_by_hierarchy
from mpingest.zone.messages import (
    Keywords,
    ModifyInput,
    ObjectInput,
    keyword_integer,
    pack_json,
    pack_string,
    read_json_object,
)
from mpingest.zone.pack import PackError, to_integer
from mpingest.zone.paths import check_path, split_path
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError, file_error

_COLUMNS = {
    "dataSize": "size",
    "dataModify": "modified",
    "dataCreate": "created",
    "dataAccessTime": "accessed",
    "dataExpiry": "expiry",
    "dataComments": "comment",
    "dataMode": "mode",
    "dataType": "type",
    "chksum": "checksum",
    "filePath": "path",
    "replStatus": "status",
    "version": "version",
    "statusString": "data_status",
}
_NUMBERS = {"dataSize", "replStatus"}
_TIMES = {"dataModify", "dataCreate", "dataAccessTime", "dataExpiry"}
_FOR_USERS = {"dataComments", "dataExpiry", "dataModify", "dataType"}
_ALL = "all"
_GOOD_AND_OTHERS_STALE = "allReplStatus"
_AS_ADMIN = "irodsAdmin"
_NO_COLUMNS = {_ALL, _GOOD_AND_OTHERS_STALE, _AS_ADMIN}


def modify(session: Session, request: Request) -> Reply:
    """MOD_DATA_OBJ_META: set columns of one replica, or with ``all`` of every replica. For administrators."""
    session.require_admin()
    _modify(session, ModifyInput.read(request.body))
    return Reply()


def modify_info(session: Session, request: Request) -> Reply:
    """DATA_OBJECT_MODIFY_INFO: the same for users, of the columns that are theirs to set."""
    wanted = ModifyInput.read(request.body)
    if not set(wanted.columns) <= _FOR_USERS | {_ALL}:
        raise ZoneError(Status.USER_BAD_KEYWORD_ERR)
    _modify(session, wanted)
    return Reply()


def _modify(session: Session, wanted: ModifyInput) -> None:
    path = check_path(wanted.path, session.zone.name)
    columns = {key: value for key, value in wanted.columns.items() if key not in _NO_COLUMNS}
    assignments = _assignments(columns)
    if _GOOD_AND_OTHERS_STALE in wanted.columns:
        assignments["status"] = ReplicaStatus.GOOD
    db = session.zone.db
    with db.transaction():
        chosen = _chosen_replicas(session, path, wanted)
        if not chosen:
            raise ZoneError(Status.CAT_SUCCESS_BUT_WITH_NO_INFO)
        for replica in chosen:
            update_replica(db, replica, **assignments)
            if _GOOD_AND_OTHERS_STALE in wanted.columns:
                stale_siblings(db, replica)


def _chosen_replicas(session: Session, path: str, wanted: ModifyInput) -> list[Replica]:
    db = session.zone.db
    replicas = replicas_at(db, path)
    if not replicas:
        if _ALL in wanted.columns:
            raise ZoneError(Status.CAT_NO_ROWS_FOUND)
        require_collection(db, split_path(path)[0])
        raise ZoneError(Status.CAT_UNKNOWN_FILE, "failed to find the object by its logical path")
    if _AS_ADMIN in wanted.columns:
        session.require_admin(Status.CAT_INSUFFICIENT_PRIVILEGE_LEVEL)
    elif _AS_ADMIN not in wanted.keywords:
        require_level(db, session.client, replicas[0].data_id, Level.MODIFY_METADATA)
    if _ALL in wanted.columns:
        return replicas
    if wanted.hierarchy:
        resource = resource_named_by_hierarchy(db, wanted.hierarchy)
        return [replica for replica in replicas if replica.resc_id == resource.resc_id]
    return [replica for replica in replicas if replica.number == wanted.replica]


def _assignments(columns: Keywords) -> dict[str, str | int]:
    """Columns of the catalog from keywords. What the catalog couldn't take is an SQL error, as on a real one."""
    assignments: dict[str, str | int] = {}
    for keyword, text in columns.items():
        if keyword not in _COLUMNS:
            raise ZoneError(Status.CAT_SQL_ERR)
        try:
            value = to_integer(text) if keyword in _NUMBERS else text
        except PackError:
            raise ZoneError(Status.CAT_SQL_ERR) from None
        assignments[_COLUMNS[keyword]] = text.zfill(11) if keyword in _TIMES else value
    return assignments or {"modified": now()}


def checksum(session: Session, request: Request) -> Reply:
    """DATA_OBJ_CHKSUM: the stored checksum, computed where there is none, or compared with the file."""
    wanted = ObjectInput.read(request.body)
    keywords = wanted.keywords
    path = check_path(wanted.path, session.zone.name)
    db = session.zone.db
    with db.reading():
        replicas = require_replicas(db, session.client, path, Level.READ_OBJECT)
        if session.zone.writers.of(replicas[0].data_id):
            raise ZoneError(Status.HIERARCHY_ERROR)
        replica = _replica_to_sum(session, replicas, keywords)
    if "verifyChksum" in keywords:
        _verify(replica)
        return Reply()
    if replica.checksum and "forceChksum" not in keywords:
        return Reply(message=pack_string(replica.checksum))
    computed = vault.checksum(replica.path, like=replica.checksum)
    with db.transaction():
        update_replica(db, replica, checksum=computed)
    return Reply(message=pack_string(computed))


def _replica_to_sum(session: Session, replicas: list[Replica], keywords: Keywords) -> Replica:
    number = keyword_integer(keywords, "replNum")
    root = known_resource(session.zone.db, keywords["rescName"]).name if "rescName" in keywords else None
    chosen = replicas_matching(replicas, number, root)
    return min(chosen, key=lambda replica: replica.status != ReplicaStatus.GOOD)


def _verify(replica: Replica) -> None:
    if replica.checksum and vault.checksum(replica.path, like=replica.checksum) != replica.checksum:
        raise ZoneError(Status.CHECK_VERIFICATION_RESULTS)


def touch(session: Session, request: Request) -> Reply:
    """TOUCH: set the time of an object, which is made where it is missing, or of a collection."""
    wanted = read_json_object(request.body)
    path, options = wanted.get("logical_path"), wanted.get("options", {})
    if not isinstance(path, str) or not isinstance(options, dict):
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM)
    path = check_path(path, session.zone.name)
    if "replica_number" in options and "leaf_resource_name" in options:
        reason = "[replica_number] and [leaf_resource_name] cannot be used together."
        raise ZoneError(Status.USER_INCOMPATIBLE_PARAMS, reason)
    moment = _moment(session, options)
    db = session.zone.db
    with db.transaction():
        collection = find_collection(db, path)
        if collection:
            require_level(db, session.client, collection.coll_id, Level.MODIFY_OBJECT)
            touch_collection(db, collection.coll_id, moment)
            return Reply(message=pack_json({}))
        replicas = replicas_at(db, path)
        if replicas:
            writable_collection(db, session.client, split_path(path)[0])
            update_replica(db, _replica_to_touch(replicas, options), modified=moment)
            return Reply(message=pack_json({}))
    if not options.get("no_create"):
        leaf_name = options.get("leaf_resource_name")
        keywords = {"resc_hier": str(leaf_name)} if leaf_name else {}
        finalize(session, open_to_write(session, path, keywords, os.O_RDWR | os.O_CREAT))
    return Reply(message=pack_json({}))


def _moment(session: Session, options: dict[str, Any]) -> str:
    if "reference" in options:
        return _time_of(session, str(options["reference"]))
    seconds = options.get("seconds_since_epoch", int(time.time()))
    if not isinstance(seconds, int) or seconds < 0:
        raise ZoneError(Status.INPUT_ARG_NOT_WELL_FORMED_ERR, "[seconds_since_epoch] cannot be less than zero.")
    return f"{seconds:011d}"


def _time_of(session: Session, path: str) -> str:
    replicas = replicas_at(session.zone.db, path)
    if replicas:
        return replicas[0].modified
    row = session.zone.db.row("SELECT modified FROM collections WHERE name = ?", path)
    if row is None:
        raise ZoneError(Status.INVALID_OBJECT_TYPE, "cannot get mtime: INVALID_OBJECT_TYPE")
    return str(row[0])


def _replica_to_touch(replicas: list[Replica], options: dict[str, Any]) -> Replica:
    number, leaf = options.get("replica_number"), options.get("leaf_resource_name")
    if number is None and leaf is None:
        good = [replica for replica in replicas if replica.status == ReplicaStatus.GOOD]
        if not good:
            raise ZoneError(Status.SYS_NO_GOOD_REPLICA)
        return good[0]
    for replica in replicas:
        if number == replica.number or leaf == replica.hierarchy.rpartition(";")[2]:
            return replica
    raise ZoneError(Status.SYS_REPLICA_DOES_NOT_EXIST)


def truncate(session: Session, request: Request) -> Reply:
    """DATA_OBJ_TRUNCATE and REPLICA_TRUNCATE: cut or extend; answers with which replica."""
    wanted = ObjectInput.read(request.body)
    path = check_path(wanted.path, session.zone.name)
    opened = open_to_write(session, path, wanted.keywords, os.O_RDWR)
    try:
        os.ftruncate(opened.file, wanted.size)
    except OSError as error:
        abandon(session, opened)
        raise file_error(Status.UNIX_FILE_TRUNCATE_ERR, error) from None
    opened.changed = True
    finalize(session, opened)
    replica = opened.replica
    answer = {"message": "", "replica_number": replica.number, "resource_hierarchy": replica.hierarchy}
    return Reply(message=pack_string(json.dumps(answer)))
