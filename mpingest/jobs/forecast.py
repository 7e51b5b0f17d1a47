"""What a run would do, counted: on each rank by several threads, then merged over ranks."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mpingest.handler.operations import Operation
from mpingest.ingest.actions import Request
from mpingest.jobs import tally
from mpingest.manifest.block import directory_key, directory_path
from mpingest.manifest.states import Change
from mpingest.scan.entries import EntryBatch

_FAILURES_KEPT = 20
_NUMBERS = (
    "collection_requests",
    "collections_deleted",
    "collection_deletions",
    "directories_gone",
    "gone",
    "unforeseen",
    "failing",
)
"""Attributes of a forecast that are summed."""

Step = tuple[Operation, Change, Request]
"""What is done about an entry, and why."""


@dataclass(slots=True)
class Total:
    """Files that belong together. bytes: their apparent sizes; requests: what they cost."""

    files: int = 0
    bytes: int = 0
    requests: int = 0

    def add(self, other: Total) -> None:
        """Count more."""
        self.files += other.files
        self.bytes += other.bytes
        self.requests += other.requests


@dataclass(slots=True)
class FirstNames:
    """The first ``count`` of many paths, in the order of a table (see ``mpingest.manifest.block``)."""

    count: int
    keys: list[bytes] = field(default_factory=list)

    @property
    def paths(self) -> list[bytes]:
        """In order, relative to the root."""
        return [directory_path(key) for key in self.keys]

    def may_take(self, directory: bytes) -> bool:
        """Whether names in a directory may be among the first."""
        return len(self.keys) < self.count or bool(self.keys and directory_key(directory) <= self.keys[-1])

    def add(self, directory: bytes, names: Iterable[bytes]) -> None:
        """More of them, of one directory."""
        key = directory_key(directory)
        prefix = key + b"\0" if key else b""
        self.merge(prefix + name for name in heapq.nsmallest(self.count, names))

    def merge(self, keys: Iterable[bytes]) -> None:
        """More of them, as ``keys``."""
        self.keys = heapq.nsmallest(self.count, [*self.keys, *keys])


class Forecast:
    """Counts of what a run would find and do. For one thread at a time.

    Exact: ``merge`` is associative and commutative.

    names:      of each change, how many first names are kept
    counts:     see ``tally``: what is seen, how it compares, collections that are to be made
    bytes:      in the files, by change
    first:      first names, by change
    steps:      files of which something is to be done
    left_alone: files by the reason why nothing is to be done about them
    collection_requests: for making collections
    objects_deleted:     objects of files that are gone, if no limit forbids it
    collections_deleted, collection_deletions: collections of directories that are gone, and requests for that
    directories_gone:    directories that were there the last time
    gone:       entries, directories too, that are recorded as gone when the run comes to its deletions
    unforeseen: files whose operation the handler can't tell without a zone
    failing:    entries and directories that cannot be read, or are known to fail;  failures: the first, by path
    """

    def __init__(self, names: int) -> None:
        self.names = names
        self.counts = tally.new_counts()
        self.bytes = dict.fromkeys(Change, 0)
        self.first = {change: FirstNames(names) for change in Change}
        self.steps: dict[Step, Total] = {}
        self.left_alone: dict[str, Total] = {}
        self.objects_deleted = Total()
        self.collection_requests = 0
        self.collections_deleted = self.collection_deletions = 0
        self.directories_gone = self.gone = 0
        self.unforeseen = 0
        self.failing = 0
        self.failures: list[tuple[bytes, str]] = []

    @property
    def requests(self) -> int:
        """For all but deletions."""
        return self.collection_requests + sum(total.requests for total in self.steps.values())

    @property
    def deletion_requests(self) -> int:
        """For deletions."""
        return self.objects_deleted.requests + self.collection_deletions

    @property
    def collections(self) -> int:
        """That are to be made."""
        return int(self.counts[tally.COLLECTIONS])

    def forget_deletions(self) -> None:
        """They will not be done."""
        self.objects_deleted = Total()
        self.collections_deleted = self.collection_deletions = 0

    def compared(self, directory: bytes, files: EntryBatch, changes: npt.NDArray[np.uint8]) -> None:
        """Files of a directory, and how each compares with what is recorded, shape (n,)."""
        for number in np.flatnonzero(np.bincount(changes)).tolist():
            change = Change(number)
            chosen = changes == number
            self.bytes[change] += int(files.rows["size"][chosen].sum())
            if self.first[change].may_take(directory):
                self.first[change].add(directory, files.select(chosen).names())

    def step(self, step: Step, total: Total) -> None:
        """Files of which the same is done."""
        self.steps.setdefault(step, Total()).add(total)

    def leave(self, reason: str, size: int, files: int = 1) -> None:
        """Files of which nothing is done, and their bytes."""
        self.left_alone.setdefault(reason, Total()).add(Total(files, size))

    def fail(self, path: bytes, reason: str) -> None:
        """What cannot be read, or will fail. path: relative to the root."""
        self.failing += 1
        self._keep_failures([(path, reason)])

    def merge(self, other: Forecast) -> None:
        """Add what another has counted of other entries."""
        self.counts += other.counts
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for change in Change:
            self.bytes[change] += other.bytes[change]
            self.first[change].merge(other.first[change].keys)
        self.objects_deleted.add(other.objects_deleted)
        for step, total in other.steps.items():
            self.step(step, total)
        for reason, total in other.left_alone.items():
            self.left_alone.setdefault(reason, Total()).add(total)
        self._keep_failures(other.failures)

    def pack(self) -> bytes:
        """The forecast as one byte string."""
        plain = {
            "names": self.names,
            "counts": self.counts.tolist(),
            "numbers": [getattr(self, name) for name in _NUMBERS],
            "bytes": [self.bytes[change] for change in Change],
            "first": [[os.fsdecode(key) for key in self.first[change].keys] for change in Change],
            "objects_deleted": _plain(self.objects_deleted),
            "steps": [(*(part.value for part in step), _plain(total)) for step, total in self.steps.items()],
            "left_alone": {reason: _plain(total) for reason, total in self.left_alone.items()},
            "failures": [(os.fsdecode(path), reason) for path, reason in self.failures],
        }
        return json.dumps(plain).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The inverse of ``pack``."""
        plain: dict[str, Any] = json.loads(data)
        forecast = cls(plain["names"])
        forecast.counts += np.array(plain["counts"], np.int64)
        for name, number in zip(_NUMBERS, plain["numbers"], strict=True):
            setattr(forecast, name, number)
        for change, size, keys in zip(Change, plain["bytes"], plain["first"], strict=True):
            forecast.bytes[change] = size
            forecast.first[change].merge(map(os.fsencode, keys))
        forecast.objects_deleted = Total(*plain["objects_deleted"])
        forecast.steps = {
            (Operation(operation), Change(change), Request(request)): Total(*total)
            for operation, change, request, total in plain["steps"]
        }
        forecast.left_alone = {reason: Total(*total) for reason, total in plain["left_alone"].items()}
        forecast.failures = [(os.fsencode(path), reason) for path, reason in plain["failures"]]
        return forecast

    def _keep_failures(self, failures: Iterable[tuple[bytes, str]]) -> None:
        self.failures = sorted([*self.failures, *failures])[:_FAILURES_KEPT]


def _plain(total: Total) -> tuple[int, int, int]:
    return total.files, total.bytes, total.requests
