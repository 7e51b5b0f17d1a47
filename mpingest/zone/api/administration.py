"""Users, groups and resources: GENERAL_ADMIN and USER_ADMIN."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from irods.password_obfuscation import unscramble

from mpingest.zone.catalog import resources, users
from mpingest.zone.catalog.collections import find_collection, is_empty, remove_collection
from mpingest.zone.catalog.resources import Resource, find_resource
from mpingest.zone.catalog.users import GROUP, USER_TYPES, User, find_user
from mpingest.zone.messages import Arguments
from mpingest.zone.session import Reply, Request, Session
from mpingest.zone.statuses import Status, ZoneError

_MAX_PASSWORD = 50
_MIN_PADDING = 15
_PADDING = "1gCBizHWbwIYyWLoysGzTe6SyzqFKMniZX05faZHWAwQKXf6Fs"
_PREFIX_SIZE = len("A.ObfV2")
_USER_COLUMNS = {"type": "type", "comment": "comment", "info": "info"}
_RESOURCE_COLUMNS = {
    "comment": "comment",
    "context": "context",
    "status": "status",
    "path": "vault",
    "host": "location",
    "type": "type",
    "free_space": "free_space",
    "info": "comment",
}


def administer(session: Session, request: Request) -> Reply:
    """GENERAL_ADMIN: what the first two arguments say, with the others."""
    session.require_admin()
    verb, kind, *rest = Arguments.read(request.body).values
    operation = _OPERATIONS.get((verb, kind))
    if operation is None:
        raise ZoneError(Status.CAT_INVALID_ARGUMENT)
    with session.zone.db.transaction():
        operation(session, rest)
    return Reply()


def administer_own(session: Session, request: Request) -> Reply:
    """USER_ADMIN: a user's own password."""
    operation, name, kind, scrambled, *_ = Arguments.read(request.body).values
    if (operation, kind) != ("userpw", "password"):
        raise ZoneError(Status.CAT_INVALID_ARGUMENT)
    if name != session.client.name:
        raise ZoneError(Status.CAT_INSUFFICIENT_PRIVILEGE_LEVEL)
    with session.zone.db.transaction():
        _set_password(session, session.client, scrambled)
    return Reply()


def switch_user(session: Session, request: Request) -> Reply:
    """SWITCH_USER: from now on the requests of this connection act for another user."""
    if not session.proxy.is_admin:
        raise ZoneError(Status.SYS_PROXYUSER_NO_PRIV)
    name, zone = request.body.string("username"), request.body.string("zone")
    user = find_user(session.zone.db, name, zone)
    if user is None:
        raise ZoneError(Status.CAT_INVALID_USER)
    session.client = user
    return Reply()


def _add_user(session: Session, rest: list[str]) -> None:
    name, user_type = rest[0], rest[1]
    if user_type not in USER_TYPES:
        raise ZoneError(Status.CAT_INVALID_USER_TYPE)
    user = users.add_user(session.zone.db, *_name_and_zone(session, name), user_type)
    if user.zone == session.zone.name:
        session.zone.add_home(user)


def _add_group(session: Session, rest: list[str]) -> None:
    group = users.add_user(session.zone.db, rest[0], session.zone.name, GROUP)
    session.zone.add_home(group)


def _remove_user(session: Session, rest: list[str]) -> None:
    db, user = session.zone.db, _user(session, rest[0])
    for parent in (f"/{session.zone.name}/home", f"/{session.zone.name}/trash/home"):
        home = find_collection(db, f"{parent}/{user.name}")
        if home and not is_empty(db, home):
            raise ZoneError(Status.CAT_COLLECTION_NOT_EMPTY, f"collection '{home.name}' is not empty")
        if home:
            remove_collection(db, home)
    users.remove_user(db, user)


def _modify_user(session: Session, rest: list[str]) -> None:
    user, column, value = _user(session, rest[0]), rest[1], rest[2]
    if column == "password":
        _set_password(session, user, value)
    elif column == "type" and value not in USER_TYPES:
        raise ZoneError(Status.CAT_INVALID_USER_TYPE)
    elif column in _USER_COLUMNS:
        users.set_column(session.zone.db, user, _USER_COLUMNS[column], value)
    else:
        raise ZoneError(Status.CAT_INVALID_ARGUMENT)


def _modify_group(session: Session, rest: list[str]) -> None:
    group = find_user(session.zone.db, rest[0], session.zone.name)
    if group is None or group.type != GROUP:
        raise ZoneError(Status.CAT_INVALID_GROUP)
    user = _user(session, rest[2])
    if rest[1] == "add":
        users.add_member(session.zone.db, group, user)
    elif rest[1] != "remove" or not users.remove_member(session.zone.db, group, user):
        raise ZoneError(Status.CAT_INVALID_ARGUMENT)


def _add_resource(session: Session, rest: list[str]) -> None:
    name, resource_type, location_and_vault, context = rest[:4]
    location, _, vault = location_and_vault.partition(":")
    if resource_type in resources.STORAGE_TYPES and not vault.startswith("/"):
        raise ZoneError(Status.CAT_INVALID_RESOURCE_VAULT_PATH)
    new = resources.NewResource(name, resource_type, location, vault, context)
    resources.add_resource(session.zone.db, session.zone.name, new)


def _remove_resource(session: Session, rest: list[str]) -> None:
    db = session.zone.db
    resource = find_resource(db, rest[0])
    if resource is None:
        raise ZoneError(Status.CAT_NO_ROWS_FOUND)
    if resources.holds_replicas(db, resource):
        raise ZoneError(Status.CAT_RESOURCE_NOT_EMPTY, f"resource '{resource.name}' contains one or more dataObjects")
    if resource.parent is not None or resources.children(db, resource):
        raise ZoneError(Status.CAT_RESOURCE_NOT_EMPTY, f"resource '{resource.name}' is part of a tree")
    if rest[1] != "--dryrun":
        resources.remove_resource(db, resource)


def _modify_resource(session: Session, rest: list[str]) -> None:
    resource, column = _resource(session, rest[0]), _RESOURCE_COLUMNS.get(rest[1])
    if column is None:
        raise ZoneError(Status.CAT_INVALID_ARGUMENT)
    resources.set_column(session.zone.db, resource, column, rest[2])


def _add_child(session: Session, rest: list[str]) -> None:
    parent = _resource(session, rest[0])
    child = find_resource(session.zone.db, rest[1])
    if child is None:
        raise ZoneError(Status.CHILD_NOT_FOUND)
    if parent.hierarchy == child.hierarchy or parent.hierarchy.startswith(child.hierarchy + ";"):
        raise ZoneError(Status.HIERARCHY_ERROR)
    if child.parent is not None:
        raise ZoneError(Status.CHILD_HAS_PARENT)
    resources.set_parent(session.zone.db, child, parent, rest[2])


def _remove_child(session: Session, rest: list[str]) -> None:
    parent, child = _resource(session, rest[0]), find_resource(session.zone.db, rest[1])
    if child is None:
        raise ZoneError(Status.SYS_RESC_DOES_NOT_EXIST)
    if child.parent != parent.resc_id:
        raise ZoneError(Status.CAT_INVALID_CHILD)
    resources.set_parent(session.zone.db, child, None)


_OPERATIONS: dict[tuple[str, str], Callable[[Session, list[str]], None]] = {
    ("add", "user"): _add_user,
    ("rm", "user"): _remove_user,
    ("modify", "user"): _modify_user,
    ("add", "group"): _add_group,
    ("rm", "group"): _remove_user,
    ("modify", "group"): _modify_group,
    ("add", "resource"): _add_resource,
    ("rm", "resource"): _remove_resource,
    ("modify", "resource"): _modify_resource,
    ("add", "childtoresc"): _add_child,
    ("rm", "childfromresc"): _remove_child,
}


def _set_password(session: Session, user: User, scrambled: str) -> None:
    """The client scrambles a new password with its own one and the challenge of its login."""
    own = users.password_of(session.zone.db, session.proxy) or ""
    key = (own[:90] + session.signature[:100]).ljust(100, "\0")
    plain = str(unscramble(scrambled, hashlib.md5(key.encode()).hexdigest(), "", block_chaining=True))
    users.set_column(session.zone.db, user, "password", _without_padding(plain[_PREFIX_SIZE:]))


def _without_padding(password: str) -> str:
    """Short passwords are filled up before they are scrambled."""
    for size in range(_MAX_PASSWORD - 10 - _MIN_PADDING):
        if password[size:] == _PADDING[: _MAX_PASSWORD - 10 - size]:
            return password[:size]
    return password


def _name_and_zone(session: Session, name: str) -> tuple[str, str]:
    user, _, zone = name.partition("#")
    return user, zone or session.zone.name


def _user(session: Session, name: str) -> User:
    user = find_user(session.zone.db, *_name_and_zone(session, name))
    if user is None:
        raise ZoneError(Status.CAT_INVALID_USER)
    return user


def _resource(session: Session, name: str) -> Resource:
    resource = find_resource(session.zone.db, name)
    if resource is None:
        raise ZoneError(Status.CAT_INVALID_RESOURCE)
    return resource
