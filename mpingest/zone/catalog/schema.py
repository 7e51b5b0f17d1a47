"""Tables of the catalog, after those of an iRODS catalog as far as clients see them."""

from __future__ import annotations

from mpingest.zone.catalog.levels import Level

VERSION = 1
"""Of these tables; a catalog of a newer one is refused."""

FIRST_ID = 10000

LEVELS = [(level.value, level.label) for level in Level]

TABLES = (
    """CREATE TABLE IF NOT EXISTS zones (
        zone_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, type TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS levels (level INTEGER PRIMARY KEY, name TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS users (
        user_id INTEGER PRIMARY KEY, name TEXT NOT NULL, zone TEXT NOT NULL, type TEXT NOT NULL,
        info TEXT NOT NULL DEFAULT '', comment TEXT NOT NULL DEFAULT '', created TEXT NOT NULL, modified TEXT NOT NULL,
        password TEXT, UNIQUE (name, zone))""",
    """CREATE TABLE IF NOT EXISTS members (
        group_id INTEGER NOT NULL, user_id INTEGER NOT NULL, PRIMARY KEY (user_id, group_id)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS resources (
        resc_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, zone TEXT NOT NULL, type TEXT NOT NULL,
        class TEXT NOT NULL DEFAULT 'cache', location TEXT NOT NULL, vault TEXT NOT NULL,
        free_space TEXT NOT NULL DEFAULT '', free_space_time TEXT NOT NULL DEFAULT '',
        comment TEXT NOT NULL DEFAULT '', status TEXT NOT NULL DEFAULT '', children TEXT NOT NULL DEFAULT '',
        context TEXT NOT NULL DEFAULT '', parent INTEGER, parent_context TEXT NOT NULL DEFAULT '',
        hierarchy TEXT NOT NULL, created TEXT NOT NULL, modified TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS collections (
        coll_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, parent TEXT NOT NULL,
        owner_name TEXT NOT NULL, owner_zone TEXT NOT NULL, map_id INTEGER NOT NULL DEFAULT 0,
        inherit TEXT NOT NULL DEFAULT '', comment TEXT NOT NULL DEFAULT '',
        created TEXT NOT NULL, modified TEXT NOT NULL)""",
    """CREATE INDEX IF NOT EXISTS collections_of_parent ON collections (parent)""",
    """CREATE TABLE IF NOT EXISTS replicas (
        data_id INTEGER NOT NULL, coll_id INTEGER NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,
        version TEXT NOT NULL DEFAULT '', type TEXT NOT NULL DEFAULT 'generic', size INTEGER NOT NULL,
        resc_id INTEGER NOT NULL, path TEXT NOT NULL, owner_name TEXT NOT NULL, owner_zone TEXT NOT NULL,
        status INTEGER NOT NULL, data_status TEXT NOT NULL DEFAULT '', checksum TEXT NOT NULL DEFAULT '',
        expiry TEXT NOT NULL DEFAULT '00000000000', map_id INTEGER NOT NULL DEFAULT 0,
        comment TEXT NOT NULL DEFAULT '', mode TEXT NOT NULL DEFAULT '', created TEXT NOT NULL,
        modified TEXT NOT NULL, accessed TEXT NOT NULL, PRIMARY KEY (coll_id, name, number))""",
    """CREATE INDEX IF NOT EXISTS replicas_of_object ON replicas (data_id)""",
    """CREATE INDEX IF NOT EXISTS unsettled_replicas ON replicas (status) WHERE status > 1""",
    """CREATE TABLE IF NOT EXISTS access (
        object_id INTEGER NOT NULL, user_id INTEGER NOT NULL, level INTEGER NOT NULL,
        PRIMARY KEY (object_id, user_id)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS avus (
        meta_id INTEGER PRIMARY KEY, name TEXT NOT NULL, value TEXT NOT NULL, units TEXT NOT NULL,
        created TEXT NOT NULL, modified TEXT NOT NULL, UNIQUE (name, value, units))""",
    """CREATE TABLE IF NOT EXISTS avu_map (
        object_id INTEGER NOT NULL, meta_id INTEGER NOT NULL, PRIMARY KEY (object_id, meta_id)) WITHOUT ROWID""",
    """CREATE INDEX IF NOT EXISTS objects_of_avu ON avu_map (meta_id)""",
)
