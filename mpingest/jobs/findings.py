"""Where a verification's differences go: a file a rank, marks in manifest segments, and counts."""

from __future__ import annotations

import heapq
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from mpingest.ingest.entry import Result
from mpingest.jobs import tally
from mpingest.jobs.differences import Difference, Kind
from mpingest.jobs.directory import own_trouble
from mpingest.jobs.recorder import Recorder
from mpingest.manifest.block import directory_key, directory_path
from mpingest.manifest.states import DirectoryState

_NUMBERS = ("directories", "compared", "summed", "unsummed", "excluded", "repairable", "commands")

Example = tuple[bytes, str]
"""Key of a path (see ``mpingest.manifest.block``), and what is to be said of it."""


@dataclass(slots=True)
class Totals:
    """Counts of a verification: on each rank, then merged over ranks. ``merge`` is associative and commutative.

    names:       of each kind, how many first examples are kept
    directories, compared, excluded: directories and files that were looked at, and names that were left out
    summed, unsummed: files whose checksum was compared, and those of which the catalog has none
    differences: by kind
    repairable:  those that the next run puts right once they are marked;  commands: that a rodsadmin has to see to
    """

    names: int
    directories: int = 0
    compared: int = 0
    summed: int = 0
    unsummed: int = 0
    excluded: int = 0
    repairable: int = 0
    commands: int = 0
    differences: dict[Kind, int] = field(default_factory=lambda: dict.fromkeys(Kind, 0))
    _first: dict[Kind, list[Example]] = field(default_factory=lambda: {kind: [] for kind in Kind})

    @property
    def total(self) -> int:
        """Of all kinds."""
        return sum(self.differences.values())

    def first(self, kind: Kind) -> list[tuple[bytes, str]]:
        """The first examples by path, relative to the root, and what is to be said of each."""
        return [(directory_path(key), text) for key, text in self._first[kind]]

    def add(self, difference: Difference) -> None:
        """One more."""
        self.differences[difference.kind] += 1
        self.repairable += difference.mark is not None
        self.commands += bool(difference.commands)
        text = "; ".join([difference.says, *difference.commands])
        self._keep(difference.kind, [(directory_key(difference.path), text)])

    def merge(self, other: Totals) -> None:
        """Add what another has counted."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind in Kind:
            self.differences[kind] += other.differences[kind]
            self._keep(kind, other._first[kind])

    def pack(self) -> bytes:
        """As one byte string."""
        first = [[(os.fsdecode(key), text) for key, text in self._first[kind]] for kind in Kind]
        counts = [self.differences[kind] for kind in Kind]
        numbers = [getattr(self, name) for name in _NUMBERS]
        return json.dumps([self.names, numbers, counts, first]).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The inverse of ``pack``."""
        names, numbers, counts, first = json.loads(data)
        totals = cls(names, *numbers)
        for kind, count, examples in zip(Kind, counts, first, strict=True):
            totals.differences[kind] = count
            totals._keep(kind, [(os.fsencode(key), text) for key, text in examples])
        return totals

    def _keep(self, kind: Kind, examples: Iterable[Example]) -> None:
        self._first[kind] = heapq.nsmallest(self.names, [*self._first[kind], *examples])


@dataclass
class Findings(Recorder):
    """A recorder of differences: they take the place of failures. Safe for several threads.

    repair: record the marks of differences
    """

    totals: Totals = field(kw_only=True)
    repair: bool = field(kw_only=True)

    def differ(self, difference: Difference) -> None:
        """Note a difference, and mark it for the next run if that is wanted."""
        marked = self.repair and difference.mark is not None
        line = json.dumps(difference.to_json(marked=marked))
        with self._open(), own_trouble():
            self.failures.write(line + "\n")
            self.totals.add(difference)
            if marked:
                self._record(difference)

    def count(self, *, directories: int = 0, compared: int = 0, summed: int = 0, unsummed: int = 0) -> None:
        """Count what was looked at."""
        with self._open():
            self.totals.directories += directories
            self.totals.compared += compared
            self.totals.summed += summed
            self.totals.unsummed += unsummed

    def add(self, counter: int, amount: int = 1) -> None:
        """Count something else."""
        Recorder.add(self, counter, amount)
        if counter == tally.EXCLUDED:
            with self._open():
                self.totals.excluded += amount

    def not_taken(self, relative: bytes, reason: str) -> None:
        """Note an entry that could not be looked at, or a directory whose reading broke off."""
        self.differ(Difference(Kind.UNREADABLE, relative, "", reason))

    def directory_failure(self, relative: bytes, result: Result) -> None:
        """Note a directory that could not be looked at."""
        says = f"{result.reason}: nothing below it was compared"
        self.differ(Difference(Kind.UNREADABLE, relative, "", says, is_directory=True))

    def _record(self, difference: Difference) -> None:
        mark, row = difference.mark, difference.row
        assert mark is not None, "only what is marked is recorded"
        if row is None:
            self.segments.record_directory(difference.path, DirectoryState.FAILED)  # so that its collection is made
            return
        self._record_one(difference.path, row, mark.change, mark.outcome, mark.code)
