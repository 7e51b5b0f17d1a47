"""The census of a tree: what its entries add up to, counted part by part and merged over threads and ranks."""

from __future__ import annotations

import json
import os
import stat
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

AGE_DAYS = (1, 7, 30, 91, 365, 730, 1826)
"""Where one bin of ages ends and the next begins, in days. The first of the ``AGE_BINS`` is for times to come."""
AGE_BINS = len(AGE_DAYS) + 2
SIZE_BINS = 64
"""Bins of sizes, and of entries a directory: bin 0 holds the zeros, bin i ``2**(i - 1) <= x < 2**i``."""
MOST_ROWS = 1 << 20
"""Most entries to count at once: so many 32-bit numbers sum up exactly in a double."""

_DAY_NS = 86_400 * 10**9
_SIZE_EDGES = np.array([1 << bit for bit in range(SIZE_BINS - 1)], np.int64)
_TYPES = 16
_FAILURES_KEPT = 20
_LATEST = np.iinfo(np.int64).max

Place = tuple[int, int, bytes]
"""(value, inode, path). Of equal values the lower inode comes first, so that the order of counting doesn't show."""


@dataclass(frozen=True, slots=True)
class Part:
    """Entries of one directory. path: relative to the root; whole: whether these are all of them."""

    path: bytes
    entries: EntryBatch
    whole: bool


@dataclass(slots=True)
class Group:
    """Entries that belong together, and the bytes of the files among them."""

    entries: int = 0
    bytes: int = 0

    def add(self, entries: int, size: int) -> None:
        """Count more."""
        self.entries += entries
        self.bytes += size


@dataclass(slots=True)
class Best:
    """The ``count`` lowest places, ascending; none has a value above ``limit``."""

    count: int
    limit: int
    places: list[Place] = field(default_factory=list)

    @property
    def bar(self) -> tuple[int, int]:
        """(value, inode) that a newcomer must not exceed."""
        return self.places[-1][:2] if 0 < self.count == len(self.places) else (self.limit, _LATEST)

    def add(self, places: Iterable[Place]) -> None:
        """Let newcomers in that are good enough."""
        self.places = sorted([*self.places, *places])[: self.count]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Regular files of several parts.

    bounds: where each part's entries begin and end; index: position of each file among these entries, shape (n,)
    rows:   ``ENTRY_DTYPE``, shape (n,); sizes: bytes, shape (n,)
    """

    parts: Sequence[Part]
    bounds: Sequence[int]
    index: npt.NDArray[np.intp]
    rows: npt.NDArray[np.void]
    sizes: npt.NDArray[np.int64]

    def best(self, values: npt.NDArray[np.int64], best: Best) -> list[Place]:
        """Files that may be among the best by these values, shape (n,)."""
        value, inode = best.bar
        near = np.flatnonzero(values <= value)
        inodes = self.rows["inode"][near]
        values = values[near]
        good = (values < value) | (inodes <= inode)
        near, values, inodes = near[good], values[good], inodes[good]
        if len(near) > best.count:
            order = np.lexsort((inodes, values))
            last = order[best.count - 1] if best.count else order[0]
            # All names of the last file that fits: which of them is kept, their paths say.
            order = order[: np.searchsorted(values[order], values[last], "right")]
            order = order[(values[order] < values[last]) | (inodes[order] <= inodes[last])]
            near, values, inodes = near[order], values[order], inodes[order]
        paths = map(self._path, self.index[near].tolist())
        return list(zip(values.tolist(), inodes.tolist(), paths, strict=True))

    def _path(self, index: int) -> bytes:
        number = bisect_right(self.bounds, index) - 1
        part = self.parts[number]
        return os.path.join(part.path, part.entries.name(index - self.bounds[number]))


class Census:
    """Counts of entries. *Files* are the regular ones; bytes are their apparent sizes.

    began_ns:    when the scan began, nanoseconds since the epoch: what ages are relative to
    top:         how many of the largest are named

    types:       entries by type, the S_IFMT bits of ``st_mode`` as 0 … 15, int64, shape (16,)
    sizes:       files by size, see ``SIZE_BINS``
    ages:        files by age of their mtime, see ``AGE_DAYS``
    owners:      entries by uid
    linked:      files with several links, each of their names once, with all its bytes
    fanout:      directories by their number of entries, see ``SIZE_BINS``, int64, shape (SIZE_BINS,)
    excluded:    names left out by rule; nothing else is known of them
    unreadable:  directories and entries that could not be read; ``failures`` are the first few by path, with reasons
    largest_files, largest_directories (by bytes directly in them), fullest_directories (by entries): values are
                 negated; oldest, newest: by mtime, the newest negated

    Exact: ``merge`` is associative and commutative, and counting in parts is counting at once.
    """

    def __init__(self, began_ns: int, top: int) -> None:
        self.began_ns = began_ns
        self.top = top
        self.types = np.zeros(_TYPES, np.int64)
        self.sizes = [Group() for _ in range(SIZE_BINS)]
        self.ages = [Group() for _ in range(AGE_BINS)]
        self.owners: dict[int, Group] = {}
        self.linked = Group()
        self.fanout = np.zeros(SIZE_BINS, np.int64)
        self.excluded = 0
        self.unreadable = 0
        self.failures: list[tuple[bytes, str]] = []
        self.largest_files = Best(top, -1)
        self.largest_directories = Best(top, -1)
        self.fullest_directories = Best(top, -1)
        self.oldest = Best(1, _LATEST)
        self.newest = Best(1, _LATEST)
        self._open: dict[bytes, Group] = {}  # directories counted in parts, of which more may come
        self._spoilt: set[bytes] = set()
        self._age_edges = np.array([began_ns - days * _DAY_NS for days in (*reversed(AGE_DAYS), 0)], np.int64)

    @property
    def entries(self) -> int:
        """All entries below the root."""
        return int(self.types.sum())

    @property
    def files(self) -> Group:
        """All regular files."""
        return Group(sum(group.entries for group in self.sizes), sum(group.bytes for group in self.sizes))

    @property
    def directories(self) -> int:
        """Directories read, the root among them."""
        return int(self.fanout.sum()) + len(self._open)

    def count(self, parts: Sequence[Part]) -> None:
        """Count entries, at most ``MOST_ROWS``; some thousands at a time are cheapest."""
        bounds = [0, *accumulate(len(part.entries) for part in parts)]
        assert bounds[-1] <= MOST_ROWS, "too many entries at once"
        rows = np.frombuffer(b"".join([part.entries.rows.data for part in parts]), ENTRY_DTYPE)
        types = rows["mode"] >> 12
        is_file = types == stat.S_IFREG >> 12
        sizes = np.where(is_file, rows["size"], 0)
        self.types += np.bincount(types, minlength=_TYPES)
        self._count_owners(rows["uid"], sizes)
        self._count_parts(parts, sizes, bounds)
        index = np.flatnonzero(is_file)
        if len(index):
            self._count_files(_Rows(parts, bounds, index, rows[index], sizes[index]))

    def close(self, path: bytes) -> None:
        """Nothing more will be counted of this directory, here or elsewhere."""
        if (group := self._open.pop(path, None)) is not None:
            self._count_directories([(path, group.entries, group.bytes)])

    def spoil(self, path: bytes) -> None:
        """Not everything of this directory, which is counted in parts, was seen."""
        self._spoilt.add(path)

    def finish(self) -> list[tuple[bytes, bool]]:
        """Everything is counted and merged: the directories that were not closed, and whether all of each was seen."""
        ends = [(path, path not in self._spoilt) for path in self._open]
        for path, _ in ends:
            self.close(path)
        return ends

    def exclude(self, names: int) -> None:
        """Count names left out."""
        self.excluded += names

    def fail(self, path: bytes, reason: str) -> None:
        """Count a directory or entry that could not be read."""
        self.unreadable += 1
        self._keep_failures([(path, reason)])

    def merge(self, other: Census) -> None:
        """Add what another has counted of other entries."""
        self.types += other.types
        self.fanout += other.fanout
        self.excluded += other.excluded
        self.unreadable += other.unreadable
        self._keep_failures(other.failures)
        self._spoilt |= other._spoilt
        for mine, its in zip(self._groups(), other._groups(), strict=True):
            mine.add(its.entries, its.bytes)
        _merge_groups(self.owners, other.owners)
        _merge_groups(self._open, other._open)
        for best, its_best in zip(self._bests(), other._bests(), strict=True):
            best.add(its_best.places)

    def pack(self) -> bytes:
        """The census as one byte string."""
        plain = {
            "began_ns": self.began_ns,
            "top": self.top,
            "types": self.types.tolist(),
            "fanout": self.fanout.tolist(),
            "excluded": self.excluded,
            "unreadable": self.unreadable,
            "failures": [(os.fsdecode(path), reason) for path, reason in self.failures],
            "spoilt": sorted(map(os.fsdecode, self._spoilt)),
            "groups": [_pair(group) for group in self._groups()],
            "owners": {uid: _pair(group) for uid, group in self.owners.items()},
            "open": {os.fsdecode(path): _pair(group) for path, group in self._open.items()},
            "bests": [[(*place[:2], os.fsdecode(place[2])) for place in best.places] for best in self._bests()],
        }
        return json.dumps(plain).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The inverse of ``pack``."""
        plain: dict[str, Any] = json.loads(data)
        census = cls(plain["began_ns"], plain["top"])
        census.types += np.array(plain["types"], np.int64)
        census.fanout += np.array(plain["fanout"], np.int64)
        census.excluded = plain["excluded"]
        census.unreadable = plain["unreadable"]
        census.failures = [(os.fsencode(path), reason) for path, reason in plain["failures"]]
        census.owners = {int(uid): Group(*pair) for uid, pair in plain["owners"].items()}
        census._open = {os.fsencode(path): Group(*pair) for path, pair in plain["open"].items()}
        census._spoilt = set(map(os.fsencode, plain["spoilt"]))
        for group, pair in zip(census._groups(), plain["groups"], strict=True):
            group.add(*pair)
        for best, places in zip(census._bests(), plain["bests"], strict=True):
            best.add((value, inode, os.fsencode(path)) for value, inode, path in places)
        return census

    def _groups(self) -> list[Group]:
        return [*self.sizes, *self.ages, self.linked]

    def _bests(self) -> list[Best]:
        return [self.largest_files, self.largest_directories, self.fullest_directories, self.oldest, self.newest]

    def _count_files(self, files: _Rows) -> None:
        sizes, mtimes = files.sizes, files.rows["mtime_ns"]
        _add(self.sizes, np.searchsorted(_SIZE_EDGES, sizes, "right"), sizes)
        _add(self.ages, len(self._age_edges) - np.searchsorted(self._age_edges, mtimes, "left"), sizes)
        linked = files.rows["nlink"] > 1
        if linked.any():
            self.linked.add(int(linked.sum()), _sums(sizes[linked], np.zeros(int(linked.sum()), np.intp), 1)[0])
        for best, values in (
            (self.largest_files, -sizes),
            (self.oldest, mtimes),
            (self.newest, -np.maximum(mtimes, -_LATEST)),
        ):
            best.add(files.best(values, best))

    def _count_owners(self, uids: npt.NDArray[np.uint32], sizes: npt.NDArray[np.int64]) -> None:
        if len(uids) and (uids == uids[0]).all():  # as mostly; sorting takes longer than all the rest
            found, index = uids[:1], np.zeros(len(uids), np.intp)
        else:
            found, index = np.unique(uids, return_inverse=True)
        _add([self.owners.setdefault(uid, Group()) for uid in found.tolist()], index, sizes)

    def _count_parts(self, parts: Sequence[Part], sizes: npt.NDArray[np.int64], bounds: Sequence[int]) -> None:
        numbers = np.repeat(np.arange(len(parts)), np.diff(bounds))
        totals = _sums(sizes, numbers, len(parts))
        counts = [len(part.entries) for part in parts]
        whole = []
        for part, count, size in zip(parts, counts, totals, strict=True):
            if part.whole:
                whole.append((part.path, count, size))
            else:
                self._open.setdefault(part.path, Group()).add(count, size)
        self._count_directories(whole)

    def _count_directories(self, whole: Sequence[tuple[bytes, int, int]]) -> None:
        """Directories (path, entries, bytes) of which nothing more will come."""
        counts = np.array([count for _, count, _ in whole], np.int64)
        self.fanout += np.bincount(np.searchsorted(_SIZE_EDGES, counts, "right"), minlength=SIZE_BINS)
        bar = self.fullest_directories.bar[0]
        self.fullest_directories.add([(-count, 0, path) for path, count, _ in whole if -count <= bar])
        bar = self.largest_directories.bar[0]
        self.largest_directories.add([(-size, 0, path) for path, _, size in whole if -size <= bar])

    def _keep_failures(self, failures: Iterable[tuple[bytes, str]]) -> None:
        self.failures = sorted([*self.failures, *failures])[:_FAILURES_KEPT]


def _add(groups: Sequence[Group], index: npt.NDArray[np.intp], sizes: npt.NDArray[np.int64]) -> None:
    """Adds entries to the groups that the index says, shape (n,); sizes: bytes, shape (n,)."""
    counts = np.bincount(index, minlength=len(groups)).tolist()
    for group, count, size in zip(groups, counts, _sums(sizes, index, len(groups)), strict=True):
        group.add(count, size)


def _sums(sizes: npt.NDArray[np.int64], index: npt.NDArray[np.intp], count: int) -> list[int]:
    """Exact sums by index, length ``count``: two sparse files of 8 EiB are more than 64 bits hold."""
    high = sizes >> 32
    low = map(int, np.bincount(index, sizes & 0xFFFFFFFF, count).tolist())
    if not high.any():
        return list(low)
    return [(int(a) << 32) + b for a, b in zip(np.bincount(index, high, count).tolist(), low, strict=True)]


def _merge_groups(groups: dict[Any, Group], others: dict[Any, Group]) -> None:
    for key, other in others.items():
        groups.setdefault(key, Group()).add(other.entries, other.bytes)


def _pair(group: Group) -> tuple[int, int]:
    return group.entries, group.bytes
