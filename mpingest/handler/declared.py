"""What a handler declares about an object, to be set by mpingest: metadata and permissions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple


class Avu(NamedTuple):
    """One attribute, value, units of metadata."""

    attribute: str
    value: str
    units: str = ""


class Permission(NamedTuple):
    """One level of access (read, write, own, null, or a longer name of iRODS) of a user or group."""

    level: str
    user: str


def sendable(text: object) -> bool:
    """Whether it is text that a message can carry."""
    if not isinstance(text, str) or "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def avus_of(answer: Any) -> tuple[Avu, ...]:
    """The answer of ``metadata()``. Raises ValueError where it isn't (attribute, value[, units]) strings."""
    avus = tuple(Avu(row[0], row[1], (*row, "")[2] or "") for row in _rows(answer, (2, 3)))
    for avu in avus:
        if not all(map(sendable, avu)) or not avu.attribute or not avu.value:
            raise ValueError(f"{tuple(avu)!r} is not an attribute, a value and maybe units, as text")
    return avus


def permissions_of(answer: Any) -> tuple[Permission, ...]:
    """The answer of ``acl()``. Raises ValueError where it isn't (permission, user) strings."""
    rows = _rows(answer, (2,))
    for row in rows:
        if not all(map(sendable, row)) or not all(row):
            raise ValueError(f"{tuple(row)!r} is not a permission and a user, as text")
    # iRODS 4.3 gave the names of levels underscores; older scripts have blanks.
    return tuple(Permission(level.replace(" ", "_"), user) for level, user in rows)


def _rows(answer: Any, lengths: tuple[int, ...]) -> list[tuple[Any, ...]]:
    if answer is None:
        return []
    if not isinstance(answer, Iterable) or isinstance(answer, str | bytes | dict):
        raise ValueError(f"{answer!r} is not a list")
    rows = list(answer)
    for row in rows:
        if not isinstance(row, list | tuple) or len(row) not in lengths:
            raise ValueError(f"{row!r} has not {' or '.join(map(str, lengths))} parts")
    return [tuple(row) for row in rows]
