"""Levels of access, by the names and numbers that catalogs give them."""

from __future__ import annotations

from enum import IntEnum


class Level(IntEnum):
    """Each level includes those below it."""

    NULL = 1000
    EXECUTE = 1010
    READ_ANNOTATION = 1020
    READ_SYSTEM_METADATA = 1030
    READ_METADATA = 1040
    READ_OBJECT = 1050
    WRITE_ANNOTATION = 1060
    CREATE_METADATA = 1070
    MODIFY_METADATA = 1080
    DELETE_METADATA = 1090
    ADMINISTER_OBJECT = 1100
    CREATE_OBJECT = 1110
    MODIFY_OBJECT = 1120
    DELETE_OBJECT = 1130
    CREATE_TOKEN = 1140
    DELETE_TOKEN = 1150
    CURATE = 1160
    OWN = 1200

    @property
    def label(self) -> str:
        """The name in the catalog: some were given underscores in iRODS 4.3, the others kept their blanks."""
        name = self.name.lower()
        return name.replace("_", " ") if self in _WITH_BLANKS else name


_WITH_BLANKS = {
    *(Level.READ_ANNOTATION, Level.READ_SYSTEM_METADATA, Level.WRITE_ANNOTATION),
    *(Level.ADMINISTER_OBJECT, Level.CREATE_TOKEN, Level.DELETE_TOKEN),
}

_GRANTABLE = {
    level.label: level
    for level in (
        *(Level.NULL, Level.READ_METADATA, Level.READ_OBJECT, Level.CREATE_METADATA, Level.MODIFY_METADATA),
        *(Level.DELETE_METADATA, Level.CREATE_OBJECT, Level.MODIFY_OBJECT, Level.DELETE_OBJECT, Level.OWN),
    )
} | {"read": Level.READ_OBJECT, "write": Level.MODIFY_OBJECT}


def parse_level(name: str) -> Level | None:
    """A level that can be granted, from its name or its short name; None where there is none of that name."""
    return _GRANTABLE.get(name)
