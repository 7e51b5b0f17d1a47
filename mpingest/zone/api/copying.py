"""Replicating objects to other resources, and copying them to other names."""

from __future__ import annotations

import os

from mpingest.zone import vault
from mpingest.zone.api.finalize import abandon, finalize
from mpingest.zone.api.lookup import replicas_at, require_replicas, sees_object
from mpingest.zone.api.opening import open_to_write
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.objects import Replica, ReplicaStatus
from mpingest.zone.catalog.resources import Resource
from mpingest.zone.hierarchy import resource_to_create_on
from mpingest.zone.messages import CopyInput, ObjectInput
from mpingest.zone.pack import leaf, pack
from mpingest.zone.paths import check_path
from mpingest.zone.session import OpenReplica, Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError, file_error

_LOCATION = {"destRescName", "resc_hier"}


def replicate(session: Session, request: Request) -> Reply:
    """DATA_OBJ_REPL: to one resource, or with ``all`` wherever there is a replica that is not good."""
    wanted = ObjectInput.read(request.body)
    path = check_path(wanted.path, session.zone.name)
    db = session.zone.db
    with db.reading():
        replicas = require_replicas(db, session.client, path, Level.READ_OBJECT)
        if session.zone.writers.of(replicas[0].data_id):
            raise ZoneError(Status.HIERARCHY_ERROR)
        source = _good(replicas)
        if "all" in wanted.keywords:
            targets = [replica.hierarchy for replica in replicas if replica.status != ReplicaStatus.GOOD]
        else:
            targets = _missing_or_stale(resource_to_create_on(db, wanted.keywords), replicas)
    for hierarchy in targets:
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
        opened = open_to_write(session, path, {"resc_hier": hierarchy}, flags)
        opened.copies = source
        _fill(session, opened, source)
    return _transferred(source.size if targets else 0)


def copy(session: Session, request: Request) -> Reply:
    """DATA_OBJ_COPY: a new object with the content of another, or with ``forceFlag`` in place of one."""
    wanted = CopyInput.read(request.body)
    path = check_path(wanted.source.path, session.zone.name)
    target = check_path(wanted.destination.path, session.zone.name)
    keywords = wanted.destination.keywords
    db = session.zone.db
    with db.reading():
        replicas = replicas_at(db, path)
        if replicas_at(db, target) and "forceFlag" not in keywords:
            raise ZoneError(Status.OVERWRITE_WITHOUT_FORCE_FLAG)
        if path == target or not replicas or not sees_object(db, session.client, replicas[0]):
            raise ZoneError(Status.USER_INPUT_PATH_ERR)
        source = _good(replicas)
    location = {key: value for key, value in keywords.items() if key in _LOCATION}
    _fill(session, open_to_write(session, target, location, os.O_RDWR | os.O_CREAT | os.O_TRUNC), source)
    return _transferred(source.size)


def _good(replicas: list[Replica]) -> Replica:
    for replica in replicas:
        if replica.status == ReplicaStatus.GOOD:
            return replica
    raise ZoneError(Status.SYS_NO_GOOD_REPLICA)


def _missing_or_stale(resource: Resource, replicas: list[Replica]) -> list[str]:
    there = any(r.resc_id == resource.resc_id and r.status == ReplicaStatus.GOOD for r in replicas)
    return [] if there else [resource.hierarchy]


def _fill(session: Session, opened: OpenReplica, source: Replica) -> None:
    try:
        vault.copy_content(source.path, opened.file)
    except OSError as error:
        abandon(session, opened)
        raise file_error(Status.UNIX_FILE_READ_ERR, error) from None
    opened.changed = True
    finalize(session, opened)


def _transferred(size: int) -> Reply:
    message = pack("TransferStat_PI", leaf("numThreads", 0), leaf("flags", 0), leaf("bytesWritten", size))
    return Reply(message=message.encode())
