"""Directories still to be scanned and slices still to be ingested, as units of the farm."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpingest.farm.units import Unit, UnitKind
from mpingest.handler.operations import Operation
from mpingest.ingest.bundles import File
from mpingest.manifest.block import RESULT_DTYPE
from mpingest.manifest.diff import Known
from mpingest.manifest.states import Change
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch
from mpingest.scan.names import NameSlice

_SUBTREE = struct.Struct("<B??i")
_SLICE = struct.Struct("<B?I")
_UNSEEN = struct.Struct("<BB??IiI")
_SUMS = struct.Struct("<BIII")
_SERVED = struct.Struct("<BI")
_SLICE_TAG, _UNSEEN_TAG, _SUMS_TAG, _SERVED_TAG = range(4)


def depth_of(relative: bytes) -> int:
    """How many directories lie between the root and the entry."""
    return relative.count(b"/") + 1 if relative else 0


def _packed_path(path: bytes | None) -> tuple[int, bytes]:
    """Its size, -1 where there is none, and the path."""
    return (-1, b"") if path is None else (len(path), path)


def _unpacked_path(data: bytes, size: int) -> tuple[bytes | None, bytes]:
    """The path that ``data`` begins with, and the rest."""
    return (None, data) if size < 0 else (data[:size], data[size:])


@dataclass(frozen=True, slots=True)
class Subtree:
    """A directory (path relative to the root), its lstat and how that compares with the checkpoint.

    followed: the path is that of a link which leads to it
    revisited: it has been visited in this run, and only its new names are still to be looked at; change is RETRY where
               its collection holds what is not recorded, else UNCHANGED
    was: the path under which the checkpoint has what is recorded below it, where that is another
    """

    relative: bytes
    change: Change
    row: np.void
    followed: bool = False
    revisited: bool = False
    was: bytes | None = None

    def to_unit(self) -> Unit:
        """Flat, for the farm."""
        size, was = _packed_path(self.was)
        head = _SUBTREE.pack(self.change, self.followed, self.revisited, size)
        payload = head + self.row.tobytes() + was + self.relative
        return Unit(UnitKind.SUBTREE, depth_of(self.relative), 1, payload)

    @classmethod
    def from_unit(cls, unit: Unit) -> Subtree:
        """The inverse of ``to_unit``."""
        change, followed, revisited, size = _SUBTREE.unpack_from(unit.payload)
        row = np.frombuffer(unit.payload, ENTRY_DTYPE, 1, _SUBTREE.size)[0]
        was, relative = _unpacked_path(unit.payload[_SUBTREE.size + ENTRY_DTYPE.itemsize :], size)
        return cls(relative, Change(change), row, followed, revisited, was)


@dataclass(frozen=True, slots=True)
class Unseen:
    """Names of the directory ``relative`` that are not stat'ed yet, with what is recorded of them.

    One rank reads the names of a large directory and knows its rows of the checkpoint, others do all the rest.
    operation: of the directory.  followed, was: as in ``Subtree``.  fresh: as in ``Slice``.
    """

    relative: bytes
    operation: Operation
    followed: bool
    fresh: bool
    names: NameSlice
    known: Known
    was: bytes | None = None

    def to_unit(self) -> Unit:
        """Flat, for the farm."""
        names = self.names.pack()
        size, was = _packed_path(self.was)
        flags = self.followed, self.fresh
        head = _UNSEEN.pack(_UNSEEN_TAG, self.operation.value, *flags, len(self.relative), size, len(names))
        known = self.known.found.tobytes() + self.known.rows.tobytes() + self.known.results.tobytes()
        payload = head + self.relative + was + names + known
        return Unit(UnitKind.SLICE, depth_of(self.relative), len(self.names), payload)

    @classmethod
    def from_unit(cls, unit: Unit) -> Unseen:
        """The inverse of ``to_unit``."""
        _, operation, followed, fresh, path_size, was_size, names_size = _UNSEEN.unpack_from(unit.payload)
        was_at = _UNSEEN.size + path_size
        names_at = was_at + max(0, was_size)
        found_at = names_at + names_size
        rows_at = found_at + unit.weight
        results_at = rows_at + unit.weight * ENTRY_DTYPE.itemsize
        known = Known(
            np.frombuffer(unit.payload, np.bool_, unit.weight, found_at),
            np.frombuffer(unit.payload, ENTRY_DTYPE, unit.weight, rows_at),
            np.frombuffer(unit.payload, RESULT_DTYPE, unit.weight, results_at),
        )
        names = NameSlice.unpack(unit.payload[names_at:found_at])
        relative, (was, _) = (
            unit.payload[_UNSEEN.size : was_at],
            _unpacked_path(unit.payload[was_at:names_at], was_size),
        )
        return cls(relative, Operation(operation), followed, fresh, names, known, was)


def is_slice(unit: Unit) -> bool:
    """Whether a unit of that kind is one of entries to act on (``Slice``), not to look at, as all others."""
    return unit.payload[0] == _SLICE_TAG


PLAN_DTYPE = np.dtype(
    [
        ("change", "u1"),  # Change, as it is to be recorded
        ("again", "?"),  # it failed the last time
        ("situation", "u1"),  # Situation
        ("settled", "?"),  # timestamps are old enough to tell later changes
        ("alone", "?"),  # it was in a bundle already, and did not come out right
        ("replica", "<i4"),  # number of the replica that is ours, as recorded
        ("known_size", "<i8"),  # bytes, as recorded
    ]
)
"""What is known of one entry that needs action."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Entries of the directory ``relative`` that need action. plan: ``PLAN_DTYPE``, shape (n,).

    fresh: this run has made its collection
    """

    relative: bytes
    entries: EntryBatch
    plan: npt.NDArray[np.void]
    fresh: bool = False

    def file(self, index: int) -> File:
        """One of the entries."""
        return File(os.path.join(self.relative, self.entries.name(index)), self.entries.rows[index])

    def to_unit(self) -> Unit:
        """Flat, for the farm."""
        head = _SLICE.pack(_SLICE_TAG, self.fresh, len(self.relative))
        payload = head + self.relative + self.entries.pack() + self.plan.tobytes()
        return Unit(UnitKind.SLICE, depth_of(self.relative), len(self.entries), payload)

    @classmethod
    def from_unit(cls, unit: Unit) -> Slice:
        """The inverse of ``to_unit``."""
        _, fresh, length = _SLICE.unpack_from(unit.payload)
        entries_at = _SLICE.size + length
        plan_at = len(unit.payload) - unit.weight * PLAN_DTYPE.itemsize
        entries = EntryBatch.unpack(unit.payload[entries_at:plan_at])
        plan = np.frombuffer(unit.payload, PLAN_DTYPE, offset=plan_at)
        return cls(unit.payload[_SLICE.size : entries_at], entries, plan, fresh)


@dataclass(frozen=True, slots=True)
class Sums:
    """Files of the directory ``relative`` whose checksums are to be compared with those of the catalog.

    replicas:  number of the replica that is compared, ``<i4``, shape (n,)
    checksums: as the catalog has them, "" where it has none, length n
    """

    relative: bytes
    entries: EntryBatch
    replicas: npt.NDArray[np.int32]
    checksums: Sequence[str]

    def to_unit(self) -> Unit:
        """Flat, for the farm."""
        entries = self.entries.pack()
        texts = "\0".join(self.checksums).encode()
        head = _SUMS.pack(_SUMS_TAG, len(self.relative), len(entries), len(texts))
        payload = head + self.relative + entries + texts + self.replicas.astype("<i4").tobytes()
        return Unit(UnitKind.SLICE, depth_of(self.relative), len(self.entries), payload)

    @classmethod
    def from_unit(cls, unit: Unit) -> Sums:
        """The inverse of ``to_unit``."""
        _, path_size, entries_size, texts_size = _SUMS.unpack_from(unit.payload)
        entries_at = _SUMS.size + path_size
        texts_at = entries_at + entries_size
        replicas_at = texts_at + texts_size
        return cls(
            unit.payload[_SUMS.size : entries_at],
            EntryBatch.unpack(unit.payload[entries_at:texts_at]),
            np.frombuffer(unit.payload, "<i4", offset=replicas_at),
            unit.payload[texts_at:replicas_at].decode().split("\0"),
        )


@dataclass(frozen=True, slots=True)
class Served:
    """Files of the directory ``relative`` that are ingested, and to be taken away.

    results: ``RESULT_DTYPE``, shape (n,), as recorded
    """

    relative: bytes
    entries: EntryBatch
    results: npt.NDArray[np.void]

    def select(self, indices: npt.NDArray[np.intp]) -> Served:
        """Some of them."""
        return Served(self.relative, self.entries.select(indices), self.results[indices])

    def to_unit(self) -> Unit:
        """Flat, for the farm."""
        head = _SERVED.pack(_SERVED_TAG, len(self.relative))
        payload = head + self.relative + self.entries.pack() + self.results.tobytes()
        return Unit(UnitKind.SLICE, depth_of(self.relative), len(self.entries), payload)

    @classmethod
    def from_unit(cls, unit: Unit) -> Served:
        """The inverse of ``to_unit``."""
        _, length = _SERVED.unpack_from(unit.payload)
        entries_at = _SERVED.size + length
        results_at = len(unit.payload) - unit.weight * RESULT_DTYPE.itemsize
        entries = EntryBatch.unpack(unit.payload[entries_at:results_at])
        results = np.frombuffer(unit.payload, RESULT_DTYPE, offset=results_at)
        return cls(unit.payload[_SERVED.size : entries_at], entries, results)


_LOOKED_AT: dict[int, type[Unseen] | type[Sums] | type[Served]] = {
    _UNSEEN_TAG: Unseen,
    _SUMS_TAG: Sums,
    _SERVED_TAG: Served,
}


def looked_at_of(unit: Unit) -> Unseen | Sums | Served:
    """What there is to look at in a unit of slices that ``is_slice`` is not true of."""
    return _LOOKED_AT[unit.payload[0]].from_unit(unit)
