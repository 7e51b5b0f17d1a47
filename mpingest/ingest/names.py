"""Names of the file system as names of the catalog."""

from __future__ import annotations

MAX_PATH = 1087
"""Bytes of a logical or physical path at most (MAX_NAME_LEN of the protocol less its NUL)."""


class UnusableName(Exception):
    """No catalog can hold such a name; the message says why."""


def text(path: bytes) -> str:
    """A path as text. Raises UnusableName where it isn't UTF-8."""
    try:
        return path.decode()
    except UnicodeDecodeError as error:
        raise UnusableName("its name is not valid UTF-8, iRODS cannot hold it") from error


def logical_path(target: str, relative: bytes) -> str:
    """Where the entry ``relative`` to the root belongs below ``target``. Raises UnusableName."""
    path = f"{target}/{text(relative)}" if relative else target
    if len(path.encode()) > MAX_PATH:
        raise UnusableName(f"its logical path is longer than the {MAX_PATH} bytes that iRODS can hold")
    return path
