"""The backlog: the units of one worker that have not begun."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from mpingest.farm.units import Unit, UnitKind


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

    def remove_for_thieves(self, kind: UnitKind, count: int) -> list[Unit]:
        """Removes ``count`` units of that kind from the end that is run last."""
        if kind is UnitKind.SLICE:
            return [self._lighter(self._slices.pop()) for _ in range(count)]
        return [self._pop_subtree(min(self._subtrees_at), deque.popleft) for _ in range(count)]

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
