"""Unlinking, unregistering and trimming."""

from __future__ import annotations

from mpingest.zone.api.lookup import replicas_matching, require_replicas
from mpingest.zone.api.namespace import trash_object
from mpingest.zone.catalog.collections import touch_collection
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.objects import Replica, ReplicaStatus, remove_replica
from mpingest.zone.hierarchy import known_resource
from mpingest.zone.messages import ObjectInput, keyword_integer
from mpingest.zone.paths import check_path
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError
from mpingest.zone.vault import remove_files

UNREGISTER = 26
_COPIES_KEPT = 2


def unlink(session: Session, request: Request) -> Reply:
    """DATA_OBJ_UNLINK: to the trash, for good with ``forceFlag``, or out of the catalog only (operation 26)."""
    wanted = ObjectInput.read(request.body)
    path = check_path(wanted.path, session.zone.name)
    unregister = wanted.operation == UNREGISTER
    for_good = unregister or "forceFlag" in wanted.keywords or path.startswith(f"/{session.zone.name}/trash/")
    doomed: list[str] = []
    db = session.zone.db
    with db.transaction():
        replicas = require_replicas(db, session.client, path, Level.DELETE_OBJECT)
        if replicas[0].locked and not for_good:
            raise ZoneError(Status.HIERARCHY_ERROR)
        if for_good:
            for replica in replicas:
                doomed += discard(session, replica, unregister=unregister)
            touch_collection(db, replicas[0].coll_id)
        else:
            doomed = trash_object(session, path, replicas)
    remove_files(doomed)
    return Reply()


def discard(session: Session, replica: Replica, *, unregister: bool) -> list[str]:
    """Take a replica out of the catalog; the file to remove after the commit, if any.

    A file outside the vault was there before it was registered, and stays.
    """
    if replica.locked:
        raise ZoneError(Status.LOCKED_DATA_OBJECT_ACCESS)
    remove_replica(session.zone.db, replica)
    if unregister or not replica.in_vault:
        return []
    return [replica.path]


def trim(session: Session, request: Request) -> Reply:
    """DATA_OBJ_TRIM: single replicas, as long as enough are left; the status is how many went."""
    wanted = ObjectInput.read(request.body)
    path = check_path(wanted.path, session.zone.name)
    kept = keyword_integer(wanted.keywords, "copies")
    unregister = wanted.operation == UNREGISTER
    doomed: list[str] = []
    db = session.zone.db
    with db.transaction():
        replicas = require_replicas(db, session.client, path, Level.DELETE_OBJECT)
        if replicas[0].locked:
            raise ZoneError(Status.HIERARCHY_ERROR)
        spare = len(replicas) - max(1, _COPIES_KEPT if kept is None else kept)
        trimmed = _spare(_candidates(session, replicas, wanted), replicas, wanted)[:spare] if spare > 0 else []
        for replica in trimmed:
            doomed += discard(session, replica, unregister=unregister)
    remove_files(doomed)
    return Reply(len(trimmed))


def _spare(candidates: list[Replica], replicas: list[Replica], wanted: ObjectInput) -> list[Replica]:
    """Those that may go: one good replica stays, and who asks for that very one is refused."""
    good = [replica for replica in replicas if replica.status == ReplicaStatus.GOOD]
    doomed = [replica for replica in candidates if replica in good]
    if len(doomed) < len(good) or not good:
        return candidates
    if "replNum" in wanted.keywords:
        raise ZoneError(Status.USER_INCOMPATIBLE_PARAMS, "cannot remove the last good replica")
    return [replica for replica in candidates if replica != doomed[-1]]


def _candidates(session: Session, replicas: list[Replica], wanted: ObjectInput) -> list[Replica]:
    """The replicas that a trim is about, stale ones first."""
    number = keyword_integer(wanted.keywords, "replNum")
    name = wanted.keywords.get("rescName")
    root = known_resource(session.zone.db, name).name if name else None
    chosen = replicas_matching(replicas, number, root)
    return sorted(chosen, key=lambda replica: replica.status)
