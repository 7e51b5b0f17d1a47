"""Rights on collections and objects."""

from __future__ import annotations

from dataclasses import dataclass

from mpingest.zone.api.lookup import replicas_at
from mpingest.zone.catalog.access import level_of, set_level
from mpingest.zone.catalog.collections import find_collection, object_ids, set_inherit, subtree
from mpingest.zone.catalog.levels import Level, parse_level
from mpingest.zone.catalog.users import User, find_user
from mpingest.zone.messages import AccessInput, pack_json, read_json_object
from mpingest.zone.paths import check_path
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError

_ADMIN = "admin:"
_INHERIT = {"inherit": True, "noinherit": False}


@dataclass(frozen=True, slots=True)
class _Target:
    """What rights are set on; as_admin: without asking for the client's own rights."""

    path: str
    recursive: bool
    as_admin: bool


def modify(session: Session, request: Request) -> Reply:
    """MOD_ACCESS_CONTROL: one user's level, or whether a collection hands its rights down."""
    wanted = AccessInput.read(request.body)
    as_admin = wanted.level.startswith(_ADMIN)
    if as_admin and not session.client.is_admin:
        raise ZoneError(Status.CAT_NO_ACCESS_PERMISSION, "You must be the admin to use the -M admin mode")
    target = _Target(check_path(wanted.path, session.zone.name), wanted.recursive, as_admin)
    name = wanted.level.removeprefix(_ADMIN)
    with session.zone.db.transaction():
        if name in _INHERIT:
            _hand_down(session, target, _INHERIT[name])
        else:
            _grant(session, target, name, wanted.user, wanted.zone)
    return Reply()


def modify_atomically(session: Session, request: Request) -> Reply:
    """ATOMIC_APPLY_ACL_OPERATIONS: several users' levels on one object, all or none."""
    wanted = read_json_object(request.body)
    path, operations = wanted.get("logical_path"), wanted.get("operations")
    if not isinstance(path, str) or not isinstance(operations, list):
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM)
    as_admin = bool(wanted.get("admin_mode")) and session.client.is_admin
    with session.zone.db.transaction():
        object_id = _object_id(session, check_path(path, session.zone.name))
        if object_id is None:
            raise ZoneError(Status.OBJ_PATH_DOES_NOT_EXIST)
        _require_own(session, object_id, as_admin=as_admin)
        for operation in operations:
            _apply(session, object_id, operation)
    return Reply(message=pack_json({}))


def grant_by_name(session: Session, object_id: int, level: Level, name: str, zone: str = "") -> None:
    """Give a user or group, by name, a level on an object. Raises ZoneError where there is no such user."""
    set_level(session.zone.db, _require_user(session, name, zone), object_id, level)


def _apply(session: Session, object_id: int, operation: object) -> None:
    if not isinstance(operation, dict):
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM)
    level = parse_level(str(operation.get("acl")))
    user = find_user(session.zone.db, str(operation.get("entity_name")), session.zone.name)
    if level is None or user is None:
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM, "Invalid entity" if level else "Invalid ACL")
    set_level(session.zone.db, user, object_id, level)


def _grant(session: Session, target: _Target, name: str, user_name: str, zone: str) -> None:
    level = parse_level(name)
    if level is None:
        raise ZoneError(Status.CAT_INVALID_ARGUMENT, f"access level '{name}' is invalid")
    collection = find_collection(session.zone.db, target.path)
    if target.recursive and collection is None:
        reason = f"Input path is not a collection and recursion was requested: {target.path}"
        raise ZoneError(Status.CAT_INVALID_ARGUMENT, reason)
    top = _object_id(session, target.path)
    if top is None:
        reason = f"Input path is not a collection and not a dataObj: {target.path}"
        raise ZoneError(Status.CAT_INVALID_ARGUMENT, reason)
    user = _require_user(session, user_name, zone)
    _require_own(session, top, as_admin=target.as_admin)
    object_ids = _object_ids_below(session, target.path) if target.recursive else [top]
    for object_id in object_ids:
        set_level(session.zone.db, user, object_id, level)


def _hand_down(session: Session, target: _Target, inherit: bool) -> None:
    collection = find_collection(session.zone.db, target.path)
    if collection is None or not _owns(session, collection.coll_id, as_admin=target.as_admin):
        reason = "either the collection does not exist or you do not have sufficient access"
        raise ZoneError(Status.CAT_NO_ACCESS_PERMISSION, reason)
    for member in subtree(session.zone.db, collection) if target.recursive else [collection]:
        set_inherit(session.zone.db, member, inherit)


def _object_id(session: Session, path: str) -> int | None:
    collection = find_collection(session.zone.db, path)
    if collection:
        return collection.coll_id
    return next((replica.data_id for replica in replicas_at(session.zone.db, path)), None)


def _object_ids_below(session: Session, path: str) -> list[int]:
    collection = find_collection(session.zone.db, path)
    assert collection is not None
    ids: list[int] = []
    for member in subtree(session.zone.db, collection):
        ids += [member.coll_id, *object_ids(session.zone.db, member)]
    return ids


def _require_user(session: Session, name: str, zone: str) -> User:
    user = find_user(session.zone.db, name, zone or session.zone.name)
    if user is None:
        raise ZoneError(Status.CAT_INVALID_USER)
    return user


def _owns(session: Session, object_id: int, *, as_admin: bool) -> bool:
    return as_admin or level_of(session.zone.db, session.client, object_id) >= Level.OWN


def _require_own(session: Session, object_id: int, *, as_admin: bool) -> None:
    if not _owns(session, object_id, as_admin=as_admin):
        raise ZoneError(Status.CAT_NO_ACCESS_PERMISSION)
