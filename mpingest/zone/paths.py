"""Logical paths: what a name may be, and where its parent is."""

from __future__ import annotations

from mpingest.zone.statuses import Status, ZoneError

MAX_PATH = 1088
"""Bytes of a path with the zero that ends it in C."""
MAX_NAME = 1000
"""Bytes of the name column of data objects."""


def check_path(path: str, zone: str) -> str:
    """The path without a slash at its end. Raises ZoneError where it can't be a path of this zone."""
    if len(path.encode()) >= MAX_PATH:
        raise ZoneError(Status.USER_PACKSTRUCT_INPUT_ERR)
    if "\0" in path:
        raise ZoneError(Status.SYS_PACK_INSTRUCT_FORMAT_ERR)
    root = f"/{zone}"
    if path != root and not path.startswith(root + "/"):
        raise ZoneError(
            Status.SYS_INVALID_INPUT_PARAM, f"a valid zone name does not appear at the root of the object path [{path}]"
        )
    return path.rstrip("/")


def check_object_name(name: str) -> None:
    """Raises ZoneError where a data object can't be called that."""
    if name in {"", ".", ".."}:
        raise ZoneError(Status.USER_INPUT_PATH_ERR)
    if len(name.encode()) > MAX_NAME:
        raise ZoneError(Status.CAT_SQL_ERR, "data object name too long")


def split_path(path: str) -> tuple[str, str]:
    """Parent and name."""
    parent, _, name = path.rpartition("/")
    return parent or "/", name
