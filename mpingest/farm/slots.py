"""Slots: what may be under way at a time in all, leased to the workers that want some.

Why there are never more in use than the limit: a worker counts with what it was leased, and, once that is lowered,
still with what it had until it says that it has returned the rest. Nobody is leased what is not free by this count.
Only where the limit itself falls are more in use for a while.

A worker that wants one and has none is served at once where one is free, or is not wanted where it is. All else waits
for the next ``share``: what is wanted is filled level by level, so that no worker has two more than another who wants
them too. Where there are fewer slots than workers who want one, who has one keeps it until it wants none: the others
have their units stolen in the end, or come next.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

Lease = tuple[int, int]
"""A worker's rank, and how many slots it has from now on."""


class Slots:
    """Who has how many. Every method gives the leases that are to be told; each that is lower has to be answered.

    limit: how many there are in all
    """

    def __init__(self, workers: range) -> None:
        self.limit = 0
        self._wanted = dict.fromkeys(workers, 0)
        self._leased = dict.fromkeys(workers, 0)
        self._counted = 0
        """Leased, or not yet returned."""
        self._owed: dict[int, int] = {}
        """What workers have not yet returned, of those that were told to."""
        self._hungry: OrderedDict[int, None] = OrderedDict()
        """Who wants one and has none, the longest waiting first."""
        self._unwanted: OrderedDict[int, None] = OrderedDict()
        """Who has some and wants none."""

    @property
    def settled(self) -> bool:
        """Whether nobody owes an answer."""
        return not self._owed

    def note(self, rank: int, wanted: int) -> Iterator[Lease]:
        """A worker wants so many."""
        self._wanted[rank] = wanted
        self._sort_in(rank)
        yield from self._serve()

    def returned(self, rank: int) -> Iterator[Lease]:
        """A worker has no more in use than it was told. Raises KeyError where it owed no answer."""
        self._counted -= self._owed.pop(rank)
        self._sort_in(rank)
        yield from self._serve()

    def share(self, limit: int) -> Iterator[Lease]:
        """There are so many in all: gives what is wanted, and takes what others want more."""
        self.limit = limit
        due = self._due()
        for rank, slots in due.items():
            if slots < self._leased[rank]:
                yield from self._lower(rank, slots)
        yield from self._serve()
        for rank, slots in due.items():
            free = self.limit - self._counted
            if free > 0 and slots > self._leased[rank] and rank not in self._owed:
                yield self._raise(rank, min(slots, self._leased[rank] + free))

    def _due(self) -> dict[int, int]:
        """How many each is to have: who has some first, so that leases stay where they are."""
        ranks = sorted(self._wanted, key=lambda rank: -self._leased[rank])
        level = _level([self._wanted[rank] for rank in ranks], self.limit)
        due = {rank: min(self._wanted[rank], level) for rank in ranks}
        left = self.limit - sum(due.values())
        for rank in ranks:
            if left > 0 and self._wanted[rank] > level:
                due[rank] += 1
                left -= 1
        for rank in ranks:  # what nobody wants stays where it is
            kept = min(left, max(0, self._leased[rank] - due[rank]))
            due[rank] += kept
            left -= kept
        return due

    def _serve(self) -> Iterator[Lease]:
        while self._hungry and self._counted < self.limit:
            yield self._raise(next(iter(self._hungry)), 1)
        while self._unwanted and len(self._owed) < len(self._hungry):
            yield from self._lower(next(iter(self._unwanted)), 0)

    def _raise(self, rank: int, slots: int) -> Lease:
        self._counted += slots - self._leased[rank]
        self._leased[rank] = slots
        self._sort_in(rank)
        return rank, slots

    def _lower(self, rank: int, slots: int) -> Iterator[Lease]:
        if rank in self._owed:
            return
        self._owed[rank] = self._leased[rank] - slots
        self._leased[rank] = slots
        self._sort_in(rank)
        yield rank, slots

    def _sort_in(self, rank: int) -> None:
        wanted, leased, owes = self._wanted[rank], self._leased[rank], rank in self._owed
        _set(self._hungry, rank, wanted > 0 and leased == 0 and not owes)
        _set(self._unwanted, rank, wanted == 0 and leased > 0 and not owes)


def _level(wanted: list[int], limit: int) -> int:
    """The highest number to which all can have what they want."""
    low, high = 0, max(wanted, default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(number, middle) for number in wanted) <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def _set(ranks: OrderedDict[int, None], rank: int, there: bool) -> None:
    if there:
        ranks.setdefault(rank, None)
    else:
        ranks.pop(rank, None)
