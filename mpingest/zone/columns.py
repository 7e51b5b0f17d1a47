"""Columns that queries can name, by number, and how their tables hang together.

Source: rodsGenQuery.h of the iRODS server.
"""

from __future__ import annotations

TABLES = {
    "zone": "zones",
    "user": "users",
    "resource": "resources",
    "data": "replicas",
    "coll": "collections",
    "data_map": "avu_map",
    "data_avu": "avus",
    "coll_map": "avu_map",
    "coll_avu": "avus",
    "resource_map": "avu_map",
    "resource_avu": "avus",
    "user_map": "avu_map",
    "user_avu": "avus",
    "data_access": "access",
    "data_level": "levels",
    "coll_access": "access",
    "coll_level": "levels",
    "coll_user": "users",
    "member": "members",
    "user_group": "users",
}
"""Tables by the alias under which a query has them."""

LINKS = (
    ("data", "coll", "data.coll_id = coll.coll_id"),
    ("data", "resource", "data.resc_id = resource.resc_id"),
    ("data", "data_map", "data_map.object_id = data.data_id"),
    ("data_map", "data_avu", "data_avu.meta_id = data_map.meta_id"),
    ("coll", "coll_map", "coll_map.object_id = coll.coll_id"),
    ("coll_map", "coll_avu", "coll_avu.meta_id = coll_map.meta_id"),
    ("resource", "resource_map", "resource_map.object_id = resource.resc_id"),
    ("resource_map", "resource_avu", "resource_avu.meta_id = resource_map.meta_id"),
    ("user", "user_map", "user_map.object_id = user.user_id"),
    ("user_map", "user_avu", "user_avu.meta_id = user_map.meta_id"),
    ("data", "data_access", "data_access.object_id = data.data_id"),
    ("data_access", "data_level", "data_level.level = data_access.level"),
    ("data_access", "user", "data_access.user_id = user.user_id"),
    ("coll", "coll_access", "coll_access.object_id = coll.coll_id"),
    ("coll_access", "coll_level", "coll_level.level = coll_access.level"),
    ("coll_access", "coll_user", "coll_access.user_id = coll_user.user_id"),
    ("user", "member", "member.user_id = user.user_id"),
    ("member", "user_group", "member.group_id = user_group.user_id"),
)
"""A tree: between any two tables there is one way."""

_AVU_FIELDS = ("name", "value", "units", "meta_id", "created", "modified")


def _avu_columns(first: int, alias: str) -> dict[int, tuple[str, str]]:
    return {first + offset: (alias, f"{alias}.{field}") for offset, field in enumerate(_AVU_FIELDS)}


def _table_columns(alias: str, fields: dict[int, str]) -> dict[int, tuple[str, str]]:
    return {number: (alias, f"{alias}.{field}") for number, field in fields.items()}


COLUMNS: dict[int, tuple[str, str]] = {
    **_table_columns("zone", {101: "zone_id", 102: "name", 103: "type"}),
    **_table_columns(
        "user",
        {
            201: "user_id",
            202: "name",
            203: "type",
            204: "zone",
            206: "info",
            207: "comment",
            208: "created",
            209: "modified",
        },
    ),
    **_table_columns(
        "resource",
        {
            301: "resc_id",
            302: "name",
            303: "zone",
            304: "type",
            305: "class",
            306: "location",
            307: "vault",
            308: "free_space",
            310: "comment",
            311: "created",
            312: "modified",
            313: "status",
            314: "free_space_time",
            315: "children",
            316: "context",
            317: "parent",
            318: "parent_context",
            409: "name",
            422: "hierarchy",
        },
    ),
    **_table_columns(
        "data",
        {
            401: "data_id",
            402: "coll_id",
            403: "name",
            404: "number",
            405: "version",
            406: "type",
            407: "size",
            410: "path",
            411: "owner_name",
            412: "owner_zone",
            413: "status",
            414: "data_status",
            415: "checksum",
            416: "expiry",
            417: "map_id",
            418: "comment",
            419: "created",
            420: "modified",
            421: "mode",
            423: "resc_id",
            424: "accessed",
        },
    ),
    **_table_columns(
        "coll",
        {
            500: "coll_id",
            501: "name",
            502: "parent",
            503: "owner_name",
            504: "owner_zone",
            505: "map_id",
            506: "inherit",
            507: "comment",
            508: "created",
            509: "modified",
        },
    ),
    **_avu_columns(600, "data_avu"),
    **_avu_columns(610, "coll_avu"),
    **_avu_columns(630, "resource_avu"),
    **_avu_columns(640, "user_avu"),
    **_table_columns("data_access", {700: "level", 703: "user_id", 704: "object_id"}),
    701: ("data_level", "data_level.name"),
    702: ("data_level", "'access_type'"),
    **_table_columns("coll_access", {710: "level", 713: "user_id", 714: "object_id"}),
    711: ("coll_level", "coll_level.name"),
    712: ("coll_level", "'access_type'"),
    **_table_columns("user_group", {900: "user_id", 901: "name"}),
    **_table_columns("coll_user", {1300: "name", 1301: "zone"}),
}
"""Alias of the table and expression of each column."""
