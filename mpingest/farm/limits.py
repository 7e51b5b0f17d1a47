"""What all workers together may do, and how it is shared out. The farm knows the names, not what they stand for."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field


@dataclass(frozen=True, slots=True)
class Rates:
    """How many a second: stats, requests, bytes of content."""

    stats: float = math.inf
    requests: float = math.inf
    content: float = math.inf

    def part(self, of: int) -> Rates:
        """What each of so many gets."""
        return Rates(*(rate / of for rate in astuple(self)))

    def is_like(self, other: Rates, tolerance: float) -> bool:
        """Whether no rate differs from the other's by more than this share of it."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return all(math.isclose(mine, its, rel_tol=tolerance) for mine, its in pairs)


@dataclass(frozen=True, slots=True)
class Limits:
    """slots: what may be under way at a time, in all; no worker begins anything that needs one before it has one."""

    slots: int = 0
    rates: Rates = field(default_factory=Rates)


@dataclass(frozen=True, slots=True)
class SlotUse:
    """Of a worker's slots. wanted: how many it could use now; used: how many it can't do without yet."""

    wanted: int = 0
    used: int = 0
