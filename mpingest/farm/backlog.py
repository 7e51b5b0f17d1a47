"""The backlog: the units of one worker that have not begun."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable

from mpingest.farm.units import Unit, UnitKind

_BRANCHING = 4.0
"""How much more a subtree holds than each of those in it: a guess."""
_DEEPEST = 100


def promise(depth: int) -> float:
    """The work that a subtree promises, in any unit: the shallower the more, for more is below it."""
    return _BRANCHING ** -min(depth, _DEEPEST)


class Backlog:
    """Units in the order in which a worker runs them: slices first, then the deepest, newest subtree.

    Slices first and depth first bound the memory: what a scan found is ingested before more is scanned. What is
    given away comes from the other end: the shallowest, oldest subtrees, which promise the most work for one
    message, and the newest slices, which are the least likely to belong to the directory being ingested now.
    """

    def __init__(self) -> None:
        self.subtrees = 0
        self.slice_weight = 0
        self._slices: deque[Unit] = deque()
        self._subtrees_at: dict[int, deque[Unit]] = {}  # by depth; never an empty deque

    def __len__(self) -> int:
        return self.subtrees + self.slices

    @property
    def slices(self) -> int:
        """Slices waiting."""
        return len(self._slices)

    @property
    def depth(self) -> int:
        """Of the shallowest subtree; 0 without any."""
        return min(self._subtrees_at, default=0)

    @property
    def promise(self) -> float:
        """The work that all subtrees together promise, see ``promise``."""
        return sum(len(level) * promise(depth) for depth, level in self._subtrees_at.items())

    def add(self, units: Iterable[Unit]) -> None:
        """Appends units, oldest first."""
        for unit in units:
            if unit.kind is UnitKind.SLICE:
                self._slices.append(unit)
                self.slice_weight += unit.weight
            else:
                self._subtrees_at.setdefault(unit.depth, deque()).append(unit)
                self.subtrees += 1

    def take(self, room_for: Callable[[UnitKind], bool]) -> Unit | None:
        """Removes the unit to run next among the kinds that there is room for."""
        if self._slices and room_for(UnitKind.SLICE):
            return self._lighter(self._slices.popleft())
        if self.subtrees and room_for(UnitKind.SUBTREE):
            return self._pop_subtree(max(self._subtrees_at), deque.pop)
        return None

    def remove_slices(self, count: int) -> list[Unit]:
        """Removes the newest slices, to be given away."""
        return [self._lighter(self._slices.pop()) for _ in range(count)]

    def remove_subtrees(self, most: int, thieves: int) -> list[list[Unit]]:
        """Removes up to ``most`` subtrees, the shallowest first, to be given away: a list for each thief.

        The thieves and whoever keeps the rest get about as much work each, by ``promise``.
        """
        parts: list[list[Unit]] = [[] for _ in range(thieves)]
        left = most
        kept = self.promise / (thieves + 1)
        heap = [(0.0, thief) for thief in range(thieves)]  # the work of each, the least first
        while left and (left > most - thieves or self.promise > kept):
            unit = self._pop_subtree(min(self._subtrees_at), deque.popleft)
            work, thief = heap[0]
            heapq.heapreplace(heap, (work + promise(unit.depth), thief))
            parts[thief].append(unit)
            left -= 1
        return parts

    def _lighter(self, unit: Unit) -> Unit:
        self.slice_weight -= unit.weight
        return unit

    def _pop_subtree(self, depth: int, pop: Callable[[deque[Unit]], Unit]) -> Unit:
        level = self._subtrees_at[depth]
        unit = pop(level)
        if not level:
            del self._subtrees_at[depth]
        self.subtrees -= 1
        return unit
