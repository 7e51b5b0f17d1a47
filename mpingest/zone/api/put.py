"""Putting a small file: content, metadata and rights in one request."""

from __future__ import annotations

import os

from mpingest.zone import vault
from mpingest.zone.api.access import grant_by_name
from mpingest.zone.api.finalize import abandon, finalize
from mpingest.zone.api.lookup import replicas_at, sees, sees_object
from mpingest.zone.api.opening import open_replica
from mpingest.zone.catalog.avus import Avu, add_avu
from mpingest.zone.catalog.collections import find_collection
from mpingest.zone.catalog.levels import parse_level
from mpingest.zone.catalog.objects import Replica
from mpingest.zone.messages import Keywords, ObjectInput
from mpingest.zone.paths import check_path
from mpingest.zone.session import OpenReplica, Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError


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
    opened = open_replica(session, wanted, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
    try:
        _fill(session, opened, wanted, request.stream)
    except BaseException:
        abandon(session, opened)
        raise
    finalize(session, opened)
    return Reply()


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
    if not wanted.keywords.keys() & {"metadataIncluded", "aclIncluded"}:
        return
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
