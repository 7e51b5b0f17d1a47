"""Slices under way: what of each has not begun, what waits, and what became of the rest."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from mpingest.farm.units import Unit
from mpingest.ingest import batches
from mpingest.ingest.actions import Situation
from mpingest.ingest.batches import Batcher
from mpingest.ingest.bundles import MOST_FILES, Bundler, Room, portions
from mpingest.ingest.entry import Result
from mpingest.jobs.recorder import Records
from mpingest.jobs.units import Slice
from mpingest.manifest.states import HAD_OBJECT, Change, Outcome

CHUNK = 8
"""Entries that a thread takes of a slice at a time and begins one by one; no one else can begin them."""
RECORD_SECONDS = 1.0
"""How long an outcome waits at most for those after it to be recorded together."""
_LEAST_SHARE = 100
"""Files that are not shared out any further, so that a bundle is worth its requests."""

Indices = Sequence[int]
"""Entries of a slice."""


@dataclass(frozen=True, slots=True, order=True)
class Retry:
    """An entry of a slice that failed ``tries`` times, to be tried again at ``due`` on the monotonic clock."""

    due: float
    index: int
    tries: int


@dataclass
class SliceRun:
    """A slice under way, of which threads take bundles and chunks.

    bundles: entries not begun that may go in bundles, of no more than one holds.  chunks: all others not begun.
    batched: which of those may go in batches, shape (entries,).  began: on the monotonic clock
    unfinished: entries without a final result.  asleep: those of them that wait to be tried again, as a heap.
    """

    unit: Unit
    slice: Slice
    bundles: deque[Indices]
    batched: npt.NDArray[np.bool_]
    unfinished: int
    chunks: deque[Indices] = field(default_factory=deque)
    asleep: list[Retry] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, unit: Unit, bundler: Bundler, batcher: Batcher) -> SliceRun:
        """A slice that has not begun."""
        read = Slice.from_unit(unit)
        content = replace(read, plan=read.plan.copy())
        sizes, plan = content.entries.rows["size"], content.plan
        lasts = plan["change"] != Change.DELETED
        bundled = lasts & ~plan["alone"] & bundler.fitting(content.entries.rows, plan["situation"])
        batched = lasts & ~bundled & batcher.fitting(content.entries.rows, plan["situation"])
        bundles = deque(part.tolist() for part in portions(np.flatnonzero(bundled), sizes))
        run = cls(unit, content, bundles, batched, len(sizes))
        run.add_chunks(np.flatnonzero(batched).tolist(), batches.MOST_FILES)
        run.add_chunks(np.flatnonzero(~(bundled | batched)).tolist())
        return run

    def add_chunks(self, indices: Indices, size: int = CHUNK) -> None:
        """Have entries be begun outside of bundles. size: of each chunk."""
        self.chunks.extend(indices[start : start + size] for start in range(0, len(indices), size))

    def leave_alone(self, known: dict[int, Situation]) -> None:
        """Have entries that no bundle brought in be begun one by one. known: what is known of their objects."""
        for index, situation in known.items():
            self.slice.plan[index]["alone"] = True
            self.slice.plan[index]["situation"] = situation
        self.add_chunks(list(known))

    def drop_rest(self) -> None:
        """Nothing of it begins any more: the next run does it."""
        self.unfinished -= self.not_begun + len(self.asleep)
        self.bundles.clear()
        self.chunks.clear()
        self.asleep.clear()

    def split_off(self, chunks: int) -> Unit:
        """The last of what has not begun, so many chunks or one bundle, as a slice of its own."""
        if self.chunks:
            taken = list(chain(*(self.chunks.pop() for _ in range(min(chunks, len(self.chunks))))))
        else:
            taken = list(self.bundles.pop())
        self.unfinished -= len(taken)
        content = self.slice
        indices = np.array(sorted(taken), np.intp)
        return replace(content, entries=content.entries.select(indices), plan=content.plan[indices]).to_unit()

    @property
    def not_begun(self) -> int:
        """Entries in ``bundles`` and ``chunks``."""
        return sum(map(len, self.bundles)) + sum(map(len, self.chunks))

    @property
    def busy(self) -> bool:
        """Whether it has anything to do but wait."""
        return self.unfinished > len(self.asleep)


@dataclass(frozen=True, slots=True)
class Part:
    """Some entries of a slice under way."""

    run: SliceRun
    indices: Indices


def next_bundle(run: SliceRun, all_runs: Sequence[SliceRun], threads: int) -> list[Part]:
    """Take the next bundle of a slice, and of others as long as there is room, where the collections of all are new.

    threads: among which those that wait are shared out, as far as slices allow
    """
    others = [other for other in all_runs if other is not run and other.slice.fresh] if run.slice.fresh else []
    waiting = sum(len(indices) for one in (run, *others) for indices in one.bundles)
    share = max(_LEAST_SHARE, waiting / threads)
    room = Room()
    parts: list[Part] = []
    for one in (run, *others):
        while one.bundles and MOST_FILES - room.files < share:
            indices = one.bundles[0]
            if not room.take(len(indices), int(one.slice.entries.rows["size"][indices].sum())):
                break
            parts.append(Part(one, one.bundles.popleft()))
    return parts


@dataclass
class Portion:
    """Entries of a slice that a thread has taken, and what they came to.

    alone: those that no bundle brought in, and what is known of their objects
    """

    part: Part
    recorder: Records
    retries: list[Retry] = field(default_factory=list)
    alone: dict[int, Situation] = field(default_factory=dict)
    finished: int = 0
    _outcomes: dict[int, Result] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    @property
    def run(self) -> SliceRun:
        """The slice."""
        return self.part.run

    def add(self, index: int, result: Result) -> None:
        """An entry is done with. It is recorded soon: what is not recorded a killed run does again."""
        plan = self.run.slice.plan[index]
        if result.outcome is Outcome.DONE and not plan["settled"]:
            result = replace(result, outcome=Outcome.UNSETTLED)
        elif result.outcome is Outcome.FAILED and plan["change"] in HAD_OBJECT and plan["known_size"] >= 0:
            result = replace(result, holds=int(plan["known_size"]))
        self._outcomes[index] = result
        self.finished += 1
        if time.monotonic() - self._since > RECORD_SECONDS:
            self.record()

    def record(self) -> None:
        """Record what was added."""
        if self._outcomes:
            content, indices = self.run.slice, np.array(list(self._outcomes), np.intp)
            changes = content.plan["change"][indices]
            entries = content.entries.select(indices)
            self.recorder.entries(content.relative, entries, changes, list(self._outcomes.values()))
        self._outcomes.clear()
        self._since = time.monotonic()

    def hand_back(self, *, goes_on: bool) -> None:
        """Have the slice go on with what is left to do of them, or leave that to the next run."""
        if not goes_on:
            self.run.unfinished -= len(self.part.indices)
            return
        for retry in self.retries:
            heapq.heappush(self.run.asleep, retry)
        self.run.leave_alone(self.alone)
        self.run.unfinished -= self.finished
