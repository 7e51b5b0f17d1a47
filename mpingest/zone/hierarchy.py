"""Which storage resource a request means."""

from __future__ import annotations

from mpingest.zone.catalog.database import Database
from mpingest.zone.catalog.resources import Resource, find_resource, leaves
from mpingest.zone.messages import Keywords
from mpingest.zone.statuses import Status, ZoneError
from mpingest.zone.zone import DEFAULT_RESOURCES


def resource_to_create_on(db: Database, keywords: Keywords) -> Resource:
    """The storage resource for a new replica that the server writes. Raises ZoneError."""
    if "resc_hier" in keywords:
        return _storage_only(resource_named_by_hierarchy(db, keywords["resc_hier"]))
    resource = _named(db, keywords)
    if resource.parent is not None:
        raise ZoneError(Status.DIRECT_CHILD_ACCESS)
    return _vote(db, resource)


def resource_to_register_on(db: Database, keywords: Keywords) -> Resource:
    """The resource for a replica whose file is there already: a leaf may be named directly. Raises ZoneError."""
    if "resc_hier" in keywords:
        resource = resource_named_by_hierarchy(db, keywords["resc_hier"])
        if not resource.is_storage and resource.parent is None:
            raise ZoneError(Status.NO_NEXT_RESC_FOUND)
        return resource
    resource = _named(db, keywords)
    if resource.is_storage:
        return resource
    if resource.parent is not None:
        raise ZoneError(Status.HIERARCHY_ERROR)
    return _vote(db, resource)


def resource_named_by_hierarchy(db: Database, hierarchy: str) -> Resource:
    """The resource that a hierarchy ends in. Raises ZoneError."""
    return known_resource(db, hierarchy.rpartition(";")[2])


def known_resource(db: Database, name: str) -> Resource:
    """A resource by name. Raises ZoneError."""
    resource = find_resource(db, name)
    if resource is None:
        raise ZoneError(Status.SYS_RESC_DOES_NOT_EXIST)
    return resource


def _named(db: Database, keywords: Keywords) -> Resource:
    names = (keywords.get(keyword) for keyword in ("destRescName", "rescName", "defRescName"))
    return known_resource(db, next(filter(None, names), DEFAULT_RESOURCES[0]))


def _vote(db: Database, root: Resource) -> Resource:
    storage = leaves(db, root)
    if not storage:
        raise ZoneError(Status.NO_NEXT_RESC_FOUND)
    up = next((leaf for leaf in storage if not leaf.is_down), None)
    if up is None or root.is_down:
        raise ZoneError(Status.SYS_RESC_IS_DOWN)
    return up


def _storage_only(resource: Resource) -> Resource:
    if resource.is_storage:
        return resource
    raise ZoneError(Status.NO_NEXT_RESC_FOUND if resource.parent is None else Status.INVALID_LOCATION)
