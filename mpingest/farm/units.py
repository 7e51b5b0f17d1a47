"""Units: what the farm hands out, steals and counts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class UnitKind(IntEnum):
    """What a unit stands for; one byte in messages."""

    SUBTREE = 0
    """A directory still to be scanned."""
    SLICE = 1
    """Entries of one scanned directory still to be ingested."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of work that one worker runs once.

    depth:   levels below the root; shallow subtrees are given away first
    weight:  entries in a slice, 1 for a subtree; at least 1
    payload: opaque to the farm; up to some 100 kB
    """

    kind: UnitKind
    depth: int
    weight: int
    payload: bytes
