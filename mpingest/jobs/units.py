"""Directories still to be scanned and slices still to be ingested, as units of the farm."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpingest.farm.units import Unit, UnitKind
from mpingest.manifest.states import Change
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

_SUBTREE = struct.Struct("<B?")
_LENGTH = struct.Struct("<I")


def depth_of(relative: bytes) -> int:
    """How many directories lie between the root and the entry."""
    return relative.count(b"/") + 1 if relative else 0


@dataclass(frozen=True, slots=True)
class Subtree:
    """A directory (path relative to the root), its lstat and how that compares with the checkpoint.

    followed: the path is that of a link which leads to it
    """

    relative: bytes
    change: Change
    row: np.void
    followed: bool = False

    def to_unit(self) -> Unit:
        """Flat, for the farm."""
        payload = _SUBTREE.pack(self.change, self.followed) + self.row.tobytes() + self.relative
        return Unit(UnitKind.SUBTREE, depth_of(self.relative), 1, payload)

    @classmethod
    def from_unit(cls, unit: Unit) -> Subtree:
        """The inverse of ``to_unit``."""
        change, followed = _SUBTREE.unpack_from(unit.payload)
        row = np.frombuffer(unit.payload, ENTRY_DTYPE, 1, _SUBTREE.size)[0]
        return cls(unit.payload[_SUBTREE.size + ENTRY_DTYPE.itemsize :], Change(change), row, followed)


PLAN_DTYPE = np.dtype(
    [
        ("change", "u1"),  # Change
        ("situation", "u1"),  # Situation
        ("settled", "?"),  # timestamps are old enough to tell later changes
        ("replica", "<i4"),  # number of the replica that is ours, as recorded
        ("known_size", "<i8"),  # bytes, as recorded
    ]
)
"""What is known of one entry that needs action."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Entries of the directory ``relative`` that need action. plan: ``PLAN_DTYPE``, shape (n,)."""

    relative: bytes
    entries: EntryBatch
    plan: npt.NDArray[np.void]

    def to_unit(self) -> Unit:
        """Flat, for the farm."""
        payload = _LENGTH.pack(len(self.relative)) + self.relative + self.entries.pack() + self.plan.tobytes()
        return Unit(UnitKind.SLICE, depth_of(self.relative), len(self.entries), payload)

    @classmethod
    def from_unit(cls, unit: Unit) -> Slice:
        """The inverse of ``to_unit``."""
        (length,) = _LENGTH.unpack_from(unit.payload)
        entries_at = _LENGTH.size + length
        plan_at = len(unit.payload) - unit.weight * PLAN_DTYPE.itemsize
        entries = EntryBatch.unpack(unit.payload[entries_at:plan_at])
        plan = np.frombuffer(unit.payload, PLAN_DTYPE, offset=plan_at)
        return cls(unit.payload[_LENGTH.size : entries_at], entries, plan)
