"""The file system's servers: ranks that have stats in flight share what they can do, all alike."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf

from .costs import Costs


class Servers:
    """Processor sharing. ``_each`` is how much a rank would have got that had stats in flight all the time, in stats;

    a piece of work is done when that has grown by its size.
    """

    def __init__(self, costs: Costs) -> None:
        self._fastest = costs.in_flight / costs.stat
        self._ceiling = costs.ceiling
        self._each = 0.0
        self._now = 0.0
        self._ends: dict[int, float] = {}  # by rank, in terms of _each
        self._heap: list[tuple[float, int, int]] = []
        self._order = count()

    def begin(self, rank: int, size: float, now: float) -> None:
        """A rank has so many stats to do."""
        self._advance(now)
        self._ends[rank] = self._each + size
        heappush(self._heap, (self._ends[rank], next(self._order), rank))

    def left(self, rank: int, now: float) -> float:
        """Stats that the rank has still to do."""
        self._advance(now)
        return self._ends[rank] - self._each

    def end(self, rank: int, now: float) -> None:
        """The rank has no more stats in flight."""
        self._advance(now)
        del self._ends[rank]

    def next(self) -> tuple[float, int]:
        """When which rank will be done next, as things are."""
        while self._heap:
            end, _, rank = self._heap[0]
            if self._ends.get(rank) == end:
                return self._now + max(0.0, end - self._each) / self._rate, rank
            heappop(self._heap)
        return inf, 0

    @property
    def _rate(self) -> float:
        return min(self._fastest, self._ceiling / len(self._ends))

    def _advance(self, now: float) -> None:
        if self._ends:
            self._each += self._rate * (now - self._now)
        self._now = now
