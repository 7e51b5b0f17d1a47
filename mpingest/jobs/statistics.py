"""The statistics of a scan: as JSON for programs, as tables for people."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from mpingest.jobs.scan import Found
from mpingest.jobs.text import histogram, human_bytes, shown_path, time_text, user_name
from mpingest.scan.census import AGE_DAYS, Best, Census, Group

_TYPES = {
    "files": stat.S_IFREG,
    "directories": stat.S_IFDIR,
    "links": stat.S_IFLNK,
    "pipes": stat.S_IFIFO,
    "sockets": stat.S_IFSOCK,
    "character_devices": stat.S_IFCHR,
    "block_devices": stat.S_IFBLK,
}
_AGES = (
    "in the future",
    "< 1 day",
    "< 1 week",
    "< 1 month",
    "< 3 months",
    "< 1 year",
    "< 2 years",
    "< 5 years",
    "older",
)
_COARSE = 3
"""Bins of powers of two that one line for people takes together."""


def to_json(found: Found) -> dict[str, Any]:
    """Everything, times in nanoseconds since the epoch. Paths that are not UTF-8 have surrogate escapes (PEP 383)."""
    census = found.census
    return {
        "root": os.fsdecode(found.root),
        "seconds": round(found.seconds, 3),
        "scan_seconds": round(found.scan_seconds, 3),
        "began_ns": census.began_ns,
        "partial": bool(found.stopped),
        "stopped": found.stopped,
        "exit_code": int(found.exit_code),
        "entries": census.entries,
        "types": _by_type(census),
        "bytes": census.files.bytes,
        "directories_read": census.directories,
        "several_links": _group(census.linked),
        "excluded": census.excluded,
        "unreadable": census.unreadable,
        "failures": [{"path": os.fsdecode(path), "reason": reason} for path, reason in census.failures],
        "sizes": [{"from": low, "below": high} | _group(group) for low, high, group in _powers(census.sizes)],
        "ages": [{"from_days": low, "below_days": high} | _group(group) for low, high, group in _ages(census)],
        "entries_per_directory": [
            {"from": low, "below": high, "directories": count} for low, high, count in _powers(census.fanout.tolist())
        ],
        "owners": [
            {"uid": uid, "name": user_name(uid), "entries": group.entries, "bytes": group.bytes}
            for uid, group in _owners(census)
        ],
        "largest_files": _places(census.largest_files, "bytes"),
        "largest_directories": _places(census.largest_directories, "bytes"),
        "fullest_directories": _places(census.fullest_directories, "entries"),
        "oldest_file": _places(census.oldest, "mtime_ns", negated=False),
        "newest_file": _places(census.newest, "mtime_ns"),
        "ranks": [{name: int(row[name]) for name in ("directories", "entries", "peak_memory")} for row in found.ranks],
    }


def lines(found: Found) -> Iterator[str]:
    """Tables for the terminal."""
    census = found.census
    files, linked = census.files, census.linked
    yield f"{shown_path(found.root)}: {census.entries:,} entries in {found.seconds:.1f} s"
    if found.stopped:
        yield f"  PARTIAL: {found.stopped}; what follows is what was seen until then"
    yield "  " + ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in _by_type(census).items() if count)
    yield f"  {human_bytes(files.bytes)} in files"
    if linked.entries:
        size = human_bytes(linked.bytes)
        yield f"  {linked.entries:,} entries with several links, {size}: each name is counted in full"
    if census.excluded:
        yield f"  {census.excluded:,} names excluded"
    for what, best, sign in (("oldest", census.oldest, 1), ("newest", census.newest, -1)):
        yield from (f"  {what} file {time_text(sign * value)}  {shown_path(path)}" for value, _, path in best.places)
    if files.entries:
        yield from histogram("size", "files", [(_size_label(*bin_), bin_[2]) for bin_ in _coarse(census.sizes)])
        yield from histogram("age", "files", list(zip(_AGES, census.ages, strict=True)))
    fanout = [Group(count) for count in census.fanout.tolist()]
    labelled = [(_count_label(low, high), group) for low, high, group in _powers(fanout)]
    yield from histogram("entries", "directories", labelled, with_bytes=False)
    yield from _owner_table(census)
    yield from _top("largest files", census.largest_files, human_bytes)
    yield from _top("directories with the most bytes directly in them", census.largest_directories, human_bytes)
    yield from _top("directories with the most entries", census.fullest_directories, lambda count: f"{count:,}")


def troubles(found: Found) -> Iterator[str]:
    """What kept the scan from being whole, for stderr."""
    census = found.census
    yield from (f"{shown_path(path)}: cannot be read: {reason}" for path, reason in census.failures)
    if more := census.unreadable - len(census.failures):
        yield f"{more:,} more cannot be read"
    if found.stopped:
        yield f"{found.stopped}; what is reported is what was seen until then; no manifest is left"


def _by_type(census: Census) -> dict[str, int]:
    counts = {name: int(census.types[mode >> 12]) for name, mode in _TYPES.items()}
    return counts | {"others": census.entries - sum(counts.values())}


def _group(group: Group) -> dict[str, int]:
    return {"entries": group.entries, "bytes": group.bytes}


def _powers(bins: Sequence[Any]) -> Iterator[tuple[int, int, Any]]:
    """Bins of powers of two as (from, below, content), without the empty ones."""
    for index, content in enumerate(bins):
        if content if isinstance(content, int) else content.entries:
            yield (1 << index) >> 1, 1 << index, content


def _coarse(sizes: Sequence[Group]) -> Iterator[tuple[int, int, Group]]:
    """Empty files, then bins by factors of ``2**_COARSE``, without the empty ones."""
    yield from _powers(sizes[:1])
    for index in range(1, len(sizes), _COARSE):
        bins = sizes[index : index + _COARSE]
        group = Group(sum(each.entries for each in bins), sum(each.bytes for each in bins))
        if group.entries:
            yield 1 << index >> 1, 1 << index + len(bins) - 1, group


def _ages(census: Census) -> Iterator[tuple[int | None, int | None, Group]]:
    edges = (None, 0, *AGE_DAYS, None)
    yield from zip(edges[:-1], edges[1:], census.ages, strict=True)


def _owners(census: Census) -> list[tuple[int, Group]]:
    return sorted(census.owners.items(), key=lambda owner: (-owner[1].bytes, -owner[1].entries, owner[0]))


def _places(best: Best, what: str, *, negated: bool = True) -> list[dict[str, Any]]:
    sign = -1 if negated else 1
    return [{"path": os.fsdecode(path) or ".", what: sign * value} for value, _, path in best.places]


def _owner_table(census: Census) -> Iterator[str]:
    yield ""
    yield f"{'owner':<16}{'entries':>14}{'':>7}{'bytes':>12}"
    for uid, group in _owners(census):
        name = user_name(uid) or str(uid)
        yield f"{name:<16}{group.entries:>14,}{group.entries / census.entries:>7.1%}{human_bytes(group.bytes):>12}"


def _top(title: str, best: Best, shown: Any) -> Iterator[str]:
    if best.places:
        yield ""
        yield title
    for value, _, path in best.places:
        yield f"{shown(-value):>16}  {shown_path(path)}"


def _size_label(low: int, high: int, _: Group) -> str:
    return "empty" if low == 0 else f"< {_binary(high)}"


def _binary(size: int) -> str:
    unit = min((size.bit_length() - 1) // 10, 6)
    return f"{size >> 10 * unit} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB')[unit]}"


def _count_label(low: int, high: int) -> str:
    return f"{low:,}" if high - low <= 1 else f"{low:,} to {high - 1:,}"
