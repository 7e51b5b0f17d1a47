"""Attributes, values and units of objects, collections, resources and users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpingest.zone.api.lookup import replicas_at, require_collection, require_level
from mpingest.zone.catalog.avus import Avu, add_avu, avus_of, remove_avu, remove_named
from mpingest.zone.catalog.collections import find_collection
from mpingest.zone.catalog.levels import Level
from mpingest.zone.catalog.resources import find_resource
from mpingest.zone.catalog.users import find_user
from mpingest.zone.messages import Arguments, pack_json, read_json_object
from mpingest.zone.paths import check_path
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError

_KINDS = {"data_object": "-d", "collection": "-C", "resource": "-R", "user": "-u"}


def modify(session: Session, request: Request) -> Reply:
    """MOD_AVU_METADATA: add, set, rm, mod or cp."""
    wanted = Arguments.read(request.body)
    operation, kind, name, *rest = wanted.values
    as_admin = "irodsAdmin" in wanted.keywords
    if as_admin:
        session.require_admin(Status.CAT_INSUFFICIENT_PRIVILEGE_LEVEL)
    if operation not in {*_OPERATIONS, "cp"} or kind not in _KINDS.values():
        raise ZoneError(Status.CAT_INVALID_ARGUMENT)
    with session.zone.db.transaction():
        if operation == "cp":
            _copy(session, kind, name, rest[0], rest[1])
        else:
            object_id = _entity(session, kind, name, as_admin=as_admin)
            _OPERATIONS[operation](session, object_id, rest)
    return Reply()


def modify_atomically(session: Session, request: Request) -> Reply:
    """ATOMIC_APPLY_METADATA_OPERATIONS: several triples of one entity, all or none."""
    wanted = read_json_object(request.body)
    name, kind, operations = wanted.get("entity_name"), wanted.get("entity_type"), wanted.get("operations")
    if not isinstance(name, str) or not isinstance(kind, str) or not isinstance(operations, list):
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM)
    if kind not in _KINDS:
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM)
    as_admin = bool(wanted.get("admin_mode"))
    if as_admin:
        session.require_admin(Status.CAT_INSUFFICIENT_PRIVILEGE_LEVEL)
    with session.zone.db.transaction():
        object_id = _visible_entity(session, _KINDS[kind], name, as_admin=as_admin)
        for operation in operations:
            _apply(session, object_id, operation)
    return Reply(message=pack_json({}))


def _apply(session: Session, object_id: int, operation: Any) -> None:
    if not isinstance(operation, dict):
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM)
    avu = Avu(str(operation.get("attribute", "")), str(operation.get("value", "")), str(operation.get("units") or ""))
    if not avu.name or not avu.value:
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM, "Empty metadata attribute name or value")
    match operation.get("operation"):
        case "add":
            add_avu(session.zone.db, object_id, avu)
        case "remove":
            remove_avu(session.zone.db, object_id, avu)
        case _:
            raise ZoneError(Status.INVALID_OPERATION, "Invalid metadata operation.")


def _add(session: Session, object_id: int, rest: list[str]) -> None:
    if not add_avu(session.zone.db, object_id, _triple(rest)):
        raise ZoneError(Status.CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME)


def _set(session: Session, object_id: int, rest: list[str]) -> None:
    avu = _triple(rest)
    remove_named(session.zone.db, object_id, avu.name)
    add_avu(session.zone.db, object_id, avu)


def _remove(session: Session, object_id: int, rest: list[str]) -> None:
    if not remove_avu(session.zone.db, object_id, Avu(*rest[:3])):
        raise ZoneError(Status.CAT_SUCCESS_BUT_WITH_NO_INFO)


def _change(session: Session, object_id: int, rest: list[str]) -> None:
    """Replace one triple: name, value, maybe units, then n:…, v:…, u:… of the new one."""
    changes = {text[:1]: text[2:] for text in rest if text[:2] in {"n:", "v:", "u:"}}
    old = Avu(*[text for text in rest if text[:2] not in {"n:", "v:", "u:"}][:3])
    new = Avu(changes.get("n", old.name), changes.get("v", old.value), changes.get("u", old.units))
    if not remove_avu(session.zone.db, object_id, old):
        raise ZoneError(Status.CAT_SUCCESS_BUT_WITH_NO_INFO)
    add_avu(session.zone.db, object_id, new)


def _copy(session: Session, kind: str, target_kind: str, source: str, target: str) -> None:
    source_id = _entity(session, kind, source, as_admin=False)
    target_id = _entity(session, target_kind, target, as_admin=False)
    for avu in avus_of(session.zone.db, source_id):
        _add(session, target_id, list(avu))


_OPERATIONS: dict[str, Callable[[Session, int, list[str]], None]] = {
    "add": _add,
    "set": _set,
    "rm": _remove,
    "mod": _change,
}


def _triple(rest: list[str]) -> Avu:
    avu = Avu(*rest[:3])
    if not avu.name or not avu.value:
        raise ZoneError(Status.CAT_INVALID_ARGUMENT)
    return avu


def _visible_entity(session: Session, kind: str, name: str, *, as_admin: bool) -> int:
    """The entity, as the atomic API finds it: whatever is wrong with the name is an invalid parameter."""
    try:
        return _entity(session, kind, name, as_admin=as_admin)
    except ZoneError:
        raise ZoneError(Status.SYS_INVALID_INPUT_PARAM, f"Entity does not exist [entity_name={name}]") from None


def _entity(session: Session, kind: str, name: str, *, as_admin: bool) -> int:
    """Id of what triples are attached to, with the right to do so. Raises ZoneError."""
    match kind:
        case "-d":
            return _object(session, name, as_admin=as_admin)
        case "-C":
            collection = require_collection(session.zone.db, check_path(name, session.zone.name))
            return _modifiable(session, collection.coll_id, as_admin=as_admin)
        case "-R":
            session.require_admin(Status.CAT_INSUFFICIENT_PRIVILEGE_LEVEL)
            resource = find_resource(session.zone.db, name)
            if resource is None:
                raise ZoneError(Status.CAT_INVALID_RESOURCE)
            return resource.resc_id
        case "-u":
            session.require_admin(Status.CAT_INSUFFICIENT_PRIVILEGE_LEVEL)
            user = find_user(session.zone.db, *_user_and_zone(session, name))
            if user is None:
                raise ZoneError(Status.CAT_INVALID_USER)
            return user.user_id
        case _:
            raise ZoneError(Status.CAT_INVALID_ARGUMENT)


def _object(session: Session, name: str, *, as_admin: bool) -> int:
    path = check_path(name, session.zone.name)
    replicas = replicas_at(session.zone.db, path)
    if not replicas:
        parent = path.rpartition("/")[0]
        known = find_collection(session.zone.db, parent) is not None
        raise ZoneError(Status.CAT_UNKNOWN_FILE if known else Status.CAT_UNKNOWN_COLLECTION)
    return _modifiable(session, replicas[0].data_id, as_admin=as_admin)


def _modifiable(session: Session, object_id: int, *, as_admin: bool) -> int:
    if not as_admin:
        require_level(session.zone.db, session.client, object_id, Level.CREATE_METADATA)
    return object_id


def _user_and_zone(session: Session, name: str) -> tuple[str, str]:
    user, _, zone = name.partition("#")
    return user, zone or session.zone.name
