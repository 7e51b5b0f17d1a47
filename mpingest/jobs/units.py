"""Directories still to be scanned and slices still to be ingested, as units of the farm."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpingest.farm.units import Unit, UnitKind
from mpingest.manifest.states import Change
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

_CHANGE = struct.Struct("<B")
_LENGTH = struct.Struct("<I")


def depth_of(relative: bytes) -> int:
    """How many directories lie between the root and the entry."""
    return relative.count(b"/") + 1 if relative else 0


@dataclass(frozen=True, slots=True)
class Subtree:
    """A directory (path relative to the root), its lstat and how that compares with the checkpoint."""

    relative: bytes
    change: Change
    row: np.void

    def to_unit(self) -> Unit:
        """Flat, for the farm."""
        payload = _CHANGE.pack(self.change) + self.row.tobytes() + self.relative
        return Unit(UnitKind.SUBTREE, depth_of(self.relative), 1, payload)

    @classmethod
    def from_unit(cls, unit: Unit) -> Subtree:
        """The inverse of ``to_unit``."""
        row = np.frombuffer(unit.payload, ENTRY_DTYPE, 1, _CHANGE.size)[0]
        return cls(unit.payload[_CHANGE.size + ENTRY_DTYPE.itemsize :], Change(unit.payload[0]), row)


@dataclass(frozen=True, slots=True)
class Slice:
    """Entries of the directory ``relative`` that need action.

    changes:    ``Change``, uint8, shape (n,)
    situations: ``Situation``, uint8, shape (n,)
    settled:    whether their timestamps are old enough to tell later changes, bool, shape (n,)
    """

    relative: bytes
    entries: EntryBatch
    changes: npt.NDArray[np.uint8]
    situations: npt.NDArray[np.uint8]
    settled: npt.NDArray[np.bool_]

    def to_unit(self) -> Unit:
        """Flat, for the farm."""
        columns = self.changes.tobytes() + self.situations.tobytes() + self.settled.tobytes()
        payload = _LENGTH.pack(len(self.relative)) + self.relative + self.entries.pack() + columns
        return Unit(UnitKind.SLICE, depth_of(self.relative), len(self.entries), payload)

    @classmethod
    def from_unit(cls, unit: Unit) -> Slice:
        """The inverse of ``to_unit``."""
        count, payload = unit.weight, unit.payload
        (length,) = _LENGTH.unpack_from(payload)
        entries_at = _LENGTH.size + length
        columns_at = len(payload) - 3 * count
        changes, situations, settled = np.frombuffer(payload, np.uint8, offset=columns_at).reshape(3, count)
        entries = EntryBatch.unpack(payload[entries_at:columns_at])
        return cls(payload[_LENGTH.size : entries_at], entries, changes, situations, settled.astype(bool))
