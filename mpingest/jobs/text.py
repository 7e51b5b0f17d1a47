"""Figures as people read them."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from mpingest.scan.census import Group

_BAR = 20


def human_bytes(count: float) -> str:
    """Bytes with a decimal unit."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} PB"


def shown_path(path: bytes) -> str:
    """A path on one line, whatever it holds; "." for the root as a relative one."""
    text = os.fsdecode(path) or "."
    return text if text.isprintable() else repr(text)


def time_text(nanoseconds: int) -> str:
    """Date of a time in UTC, which may lie where no calendar reaches."""
    try:
        return datetime.fromtimestamp(nanoseconds // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{nanoseconds // 10**9} s since 1970"


@lru_cache
def user_name(uid: int) -> str | None:
    """Name of a user of this host, None where there is none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


@lru_cache
def group_name(gid: int) -> str | None:
    """Name of a group of this host, None where there is none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None


def histogram(title: str, what: str, groups: Sequence[tuple[str, Group]], *, with_bytes: bool = True) -> Iterator[str]:
    """A table of groups with their share of all entries, after an empty line."""
    total = sum(group.entries for _, group in groups)
    yield ""
    yield f"{title:<16}{what:>14}" + (f"{'bytes':>19}" if with_bytes else "")
    for label, group in groups:
        share = group.entries / total if total else 0.0
        size = f"{human_bytes(group.bytes):>12}" if with_bytes else ""
        yield f"{label:<16}{group.entries:>14,}{share:>7.1%}{size}  {'#' * round(share * _BAR)}".rstrip()


def one_line(text: str) -> str:
    """Text on one line, whatever it holds."""
    return text if text.isprintable() else ascii(text)


def partial_lines(stalled: Iterable[tuple[int, str]]) -> Iterator[str]:
    """What to say first where ranks made no progress, and at what each was, of a look that ended early."""
    for rank, what in stalled:
        yield f"  PARTIAL: rank {rank} makes no progress: {what}; what follows is what was seen until then"


def stalled_to_json(stalled: Iterable[tuple[int, str]]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [{"rank": rank, "at": what} for rank, what in stalled]
