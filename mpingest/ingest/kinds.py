"""What there is to ingest of each kind of entry, and whether it is still what was scanned."""

from __future__ import annotations

import base64
import os
import stat

import numpy as np

from mpingest.handler.declared import Avu
from mpingest.handler.operations import Operation
from mpingest.ingest.content import Vanished
from mpingest.scan.entries import entry_row

_AVU_UNITS = "automated_ingest"
_SPECIAL = {stat.S_IFSOCK: "socket", stat.S_IFIFO: "pipe", stat.S_IFCHR: "character", stat.S_IFBLK: "block"}


def kind_of(row: np.void) -> int:
    """The type bits of an entry's mode."""
    return stat.S_IFMT(int(row["mode"]))


def reason_to_skip(path: bytes, row: np.void, operation: Operation, *, register_special: bool) -> str:
    """Why there is nothing to do about an entry; empty if there is."""
    kind = kind_of(row)
    if kind in (stat.S_IFREG, stat.S_IFLNK):
        # As scanned, a link to a regular file has the size of that file; a look tells what it is now.
        if kind == stat.S_IFLNK and operation.sends_content and not os.path.isfile(path):
            return "a link to no regular file: nothing to put"
        return ""
    if operation is Operation.NO_OP:
        return ""
    if operation.sends_content:
        return f"a {_SPECIAL.get(kind, 'special file')}: it has no content to put"
    return "" if register_special else f"a {_SPECIAL.get(kind, 'special file')}: --special register registers it"


def kind_avus(path: bytes, row: np.void) -> tuple[Avu, ...]:
    """The metadata by which a registered entry that is no regular file is known, as the framework names it.

    A link to a path that isn't UTF-8 is told in base64. Raises Vanished where a link can't be read any more.
    """
    kind = kind_of(row)
    if kind == stat.S_IFLNK:
        try:
            leads_to = os.path.join(os.path.dirname(path), os.readlink(path))
        except OSError as error:
            raise Vanished("vanished since it was scanned") from error
        try:
            return (Avu("link_target", leads_to.decode(), _AVU_UNITS),)
        except UnicodeDecodeError:
            return (Avu("link_target", base64.b64encode(leads_to).decode(), f"{_AVU_UNITS} base64"),)
    if name := _SPECIAL.get(kind):
        return (Avu(f"{name}_target", name, _AVU_UNITS),)
    return ()


def is_unchanged(path: bytes, row: np.void) -> bool:
    """Whether an entry is still as it was scanned; a link may have been described by itself or by its target."""
    try:
        now, was = os.lstat(path), _signature(row)
        if (now.st_ino, now.st_size, now.st_mtime_ns) == was or _signature(entry_row(now)) == was:
            return True
        return stat.S_ISLNK(now.st_mode) and _signature(entry_row(os.stat(path))) == was
    except OSError:
        return False


def is_gone(path: bytes) -> bool:
    """Whether it is sure that there is nothing of that path."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _signature(row: np.void) -> tuple[int, int, int]:
    return int(row["inode"]), int(row["size"]), int(row["mtime_ns"])
