"""A worker of ``mpingest scan``: directories read and stat'ed in threads, counted, and handed to whoever records them.

Threads go down the tree by themselves, depth first and by name, so that what they find comes in the order of a table
and a small directory costs no round through the farm. Only what they don't need soon is offered to the farm, for other
ranks to steal: the shallowest directories, and slices of names of large ones, which are read while others stat them.

To the farm a rank runs one unit at a time, the first it was given. It is done when all is done that the threads hold;
what they hold comes and goes meanwhile, as units that are finished as soon as they have begun.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mpingest.farm.executor import Divisible, Finished, Spawned
from mpingest.farm.limits import Rates, SlotUse
from mpingest.farm.units import Unit, UnitKind
from mpingest.scan.census import Census, Part
from mpingest.scan.directory import DirectoryScan, Portion
from mpingest.scan.entries import EntryBatch
from mpingest.scan.excludes import Excludes
from mpingest.scan.names import NameSlice
from mpingest.scan.pool import PoolClosed, StatPool

HARVEST = 8192
"""Entries that a thread finds before it counts and records them."""
SLICES_AHEAD = 256
NAMES_AHEAD = 1 << 23
"""Slices, and bytes of names, that may wait for a rank before it reads no further. So many, since whoever steals gets
about half of them, and should be busy for longer than it waits for the next ones.
"""
PLENTY = 2
"""Slices that wait for each other rank before a rank that reads names stats its part of them."""
WHOLE_SLICES = 4
"""Slices that a directory has to have before others are offered some: what is smaller is done sooner than told."""
NO_SLOTS, INDIVISIBLE = SlotUse(), Divisible()
NO_ENTRIES = EntryBatch.build([], [])
AHEAD_SECONDS = 0.025
"""How much work threads keep before them: they come to the farm's main loop for more every few ms at best."""
SHOWN = 32
"""Directories that wait with the farm at most, for others: more go there as they go, every few ms."""
PACE_SECONDS = 0.02
"""What is measured for at least, to tell how much work that is."""
PATIENCE_SECONDS = 1.0
"""How long a thread that may be stuck gets to end."""
LINGER_SECONDS = 5e-3
"""How long a thread waits for work before it counts and records what it has found: that takes as long for little as for
much. So the farm may take units for finished that are not counted yet; all are once the survey is left.
"""
_TURN_SECONDS = 5e-3
"""How often the farm asks, at least."""
_LENGTH = struct.Struct("<I")

DIRECTORIES, ENTRIES, UNREADABLE, ENDED = range(4)
"""What ``counters`` holds."""


@dataclass(frozen=True, slots=True)
class Visited:
    """A part of a directory, for who records it.

    ended:    whether the directory is complete with it, so far as this rank reads it
    complete: whether its scan saw everything; None where that isn't known, since others scan it, too
    """

    part: Part
    ended: bool
    complete: bool | None


class Sink(Protocol):
    """Who records what is found. Called from several threads."""

    def record(self, visited: Sequence[Visited]) -> None:
        """Parts of directories in the order in which a thread found them."""


@dataclass(frozen=True, slots=True)
class SurveyOptions:
    """How to scan.

    root:    absolute
    scratch: a directory of our own, to be passed over should it lie in the root
    device:  of the root, to stay on its file system, else None
    """

    root: bytes
    scratch: str | None = None
    threads: int = 1
    slice_size: int = 1000
    excludes: Excludes = field(default_factory=Excludes)
    device: int | None = None


@dataclass(frozen=True, slots=True)
class _NamesOf:
    """A slice of the names of a directory."""

    relative: bytes
    names: NameSlice

    def to_unit(self) -> Unit:
        payload = _LENGTH.pack(len(self.relative)) + self.relative + self.names.pack()
        return Unit(UnitKind.SLICE, _depth(self.relative), max(1, len(self.names)), payload)

    @classmethod
    def from_unit(cls, unit: Unit) -> _NamesOf:
        (length,) = _LENGTH.unpack_from(unit.payload)
        names_at = _LENGTH.size + length
        return cls(unit.payload[_LENGTH.size : names_at], NameSlice.unpack(unit.payload[names_at:]))


def subtree(relative: bytes) -> Unit:
    """A directory and all below it, as a unit."""
    return Unit(UnitKind.SUBTREE, _depth(relative), 1, relative)


def _key(relative: bytes) -> bytes:
    """Sorts directories as tables do (see ``mpingest.manifest.block``): depth first, by name."""
    return relative.replace(b"/", b"\0")


def _path(key: bytes) -> bytes:
    return key.replace(b"\0", b"/")


def _depth(relative: bytes) -> int:
    return relative.count(b"/") + 1 if relative else 0


@dataclass(slots=True)
class _Harvest:
    """What one thread has found and not yet handed on."""

    visited: list[Visited] = field(default_factory=list)
    failures: list[tuple[bytes, str]] = field(default_factory=list)
    closed: list[bytes] = field(default_factory=list)
    spoilt: list[bytes] = field(default_factory=list)
    excluded: int = 0
    entries: int = 0

    def clear(self) -> None:
        self.visited, self.failures, self.closed, self.spoilt = [], [], [], []
        self.excluded = self.entries = 0

    def add(self, visited: Visited) -> None:
        self.visited.append(visited)
        self.entries += len(visited.part.entries)

    def note(self, relative: bytes, portion: Portion) -> None:
        """What a portion left out, and why."""
        if portion.excluded:
            self.excluded += portion.excluded.total()
        for problem in portion.errors:
            self.fail(os.path.join(relative, problem.name), problem.error)

    def fail(self, relative: bytes, error: OSError) -> None:
        self.failures.append((relative, error.strerror or str(error)))

    @property
    def is_full(self) -> bool:
        # A directory without entries takes as long to record as some with them.
        return self.entries + 4 * len(self.visited) >= HARVEST


@dataclass(slots=True)
class _Pace:
    """How many a second there lately were of what is counted.

    per_second: as far as is known; at the beginning a guess
    """

    per_second: float = 1000.0
    _count: int = 0
    _since: float = 0.0

    def of(self, count: int, now: float) -> float:
        """The pace, now that there are ``count`` in all; measured over at least ``PACE_SECONDS``."""
        elapsed = now - self._since
        if elapsed >= PACE_SECONDS:
            if self._since:
                self.per_second = (count - self._count) / elapsed
            self._count, self._since = count, now
        return self.per_second


class Survey:
    """The farm's executor of one rank (see ``mpingest.farm.executor.Executor``).

    peers:      other ranks to share the work with
    should_end: asked by the main thread every few ms
    census: what was found; complete once the context is left, which ends the threads and raises what was raised in one
    """

    def __init__(
        self,
        options: SurveyOptions,
        census: Census,
        sinks: Sequence[Sink],
        pool: StatPool,
        *,
        peers: int,
        should_end: Callable[[], bool],
    ) -> None:
        self.census = census
        self._options = options
        self._scratch = _below(options.root, options.scratch)
        self._sinks = sinks
        self._pool = pool
        self._peers = peers
        self._should_end = should_end
        self._changed = threading.Condition()
        self._news = threading.Event()
        self._counting = threading.Lock()
        self._counted = np.zeros(4, np.int64)
        self._ending = False
        self._directories: list[bytes] = []  # keys in the order of a table, as a heap: the next one first
        self._slices: deque[_NamesOf] = deque()
        self._idle = 0
        self._visits = 0
        self._pace = _Pace()
        self._keep = 1
        self._slices_at_farm = 0
        self._directories_at_farm = 0
        self._reading = 0  # threads that read names for others
        self._slices_read = 0  # of names for others, so far
        self._slices_kept = 0  # slices stat'ed here, so far
        self._first: Unit | None = None
        self._abandoned = False
        self._at: dict[int, tuple[float, bytes]] = {}  # by thread: since when, on the monotonic clock, it is at what
        self._events: list[Spawned | Finished] = []
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"scan-{number}", daemon=True) for number in range(options.threads)
        ]

    def __enter__(self) -> Survey:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.stop()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS if self._abandoned else None)
        if kind is None and self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Scan nothing more; what is found is kept. From any thread."""
        with self._changed:
            self._ending = True
            self._directories.clear()
            self._slices.clear()
            self._changed.notify_all()
        self._pool.close()

    # What the farm asks, from the main thread.

    def room_for(self, kind: UnitKind) -> bool:
        """Whether threads will soon have nothing of their own."""
        if kind is UnitKind.SLICE:
            return len(self._slices) < self._own_slices()
        return len(self._directories) < max(self._keep // 4, self._idle, 1)

    def begin(self, unit: Unit) -> None:
        """Have the threads do the unit, after what they have."""
        with self._changed:
            if self._first is None:
                self._first = unit
            else:
                self._events.append(Finished(unit))
            if self._ending:
                self._conclude_if_idle()
            elif unit.kind is UnitKind.SLICE:
                self._slices.append(_NamesOf.from_unit(unit))
            else:
                heappush(self._directories, _key(unit.payload))
            self._changed.notify_all()

    def events(self) -> Iterable[Spawned | Finished]:
        """What happened since the last call. Raises what was raised in a thread."""
        if not self._ending and self._should_end():
            self.stop()
        with self._changed:
            if self._error is not None:
                raise self._error
            self._news.clear()
            self._offer()
            events, self._events = self._events, []
        return events

    def wait(self, seconds: float) -> None:
        """Sleep until there is an event, at most that long."""
        self._news.wait(seconds)

    def counters(self) -> npt.NDArray[np.int64]:
        """Directories and entries counted, failures, whether the rank was told to end; shape (4,)."""
        self._counted[ENDED] = self._should_end()
        return self._counted

    def throttle(self, waiting_slices: int, waiting_subtrees: int) -> None:
        """Reading pauses while many slices wait."""
        eased = waiting_slices < self._slices_at_farm
        self._slices_at_farm = waiting_slices
        self._directories_at_farm = waiting_subtrees
        if eased:
            with self._changed:
                self._changed.notify_all()

    def allot(self, rates: Rates) -> None:
        """Stats from now on."""
        self._pool.rate.set(rates.stats)

    def lease(self, slots: int) -> None:
        """Nothing here needs any."""

    def slots(self) -> SlotUse:
        """None."""
        return NO_SLOTS

    def divisible(self, _worth_seconds: float) -> Divisible:
        """Nothing: what the threads can spare is with the farm already."""
        return INDIVISIBLE

    def divide(self, parts: int) -> list[Unit]:
        """What the threads hold and have not begun, so far as it goes: slices before directories."""
        with self._changed:
            slices = [self._slices.pop().to_unit() for _ in range(min(parts, len(self._slices)))]
            rest = min(parts - len(slices), len(self._directories))
            return slices + [self._take_last() for _ in range(rest)]

    def stalled(self, seconds: float) -> str:
        """The stat that is stuck for longest, or the directory, if no thread gets anywhere."""
        at = list(self._at.copy().values())
        longest = self._pool.longest()
        if not at or max(since for since, _ in at) > time.monotonic() - seconds:
            return ""
        if longest.seconds < seconds if longest else self._pool.rate.limited:
            return ""  # it moves, or may have to wait for its turn
        since, relative = min(at)
        path = longest.path if longest else self._path(relative)
        return f"scanning {os.fsdecode(path)} for {time.monotonic() - since:.0f} s"

    def abandon(self) -> list[Unit]:
        """Give up what runs; threads that are stuck are left behind, with what they had found."""
        self.stop()
        with self._changed:
            self._abandoned = True
            units, self._first = [self._first] if self._first else [], None
            self._events = [event for event in self._events if isinstance(event, Finished)]
        return units

    def _offer(self) -> None:
        """Gives the farm of what the threads won't come to soon as much as others may take until the next turn."""
        if not self._peers or self._first is None:
            return
        self._keep = max(1, self._idle, int(AHEAD_SECONDS * self._pace.of(self._visits, time.monotonic())))
        spare = min(len(self._directories) - self._keep, SHOWN - self._directories_at_farm)
        units = [self._take_last() for _ in range(spare)]
        self._directories_at_farm += len(units)
        surplus = len(self._slices) - self._own_slices()
        units += [self._slices.popleft().to_unit() for _ in range(surplus)]
        if units:
            self._slices_at_farm += max(0, surplus)  # the farm will say only later how many wait
            self._events.append(Spawned(units))

    def _take_last(self) -> Unit:
        """A directory from the end of the heap: one of those that come late."""
        return subtree(_path(self._directories.pop()))

    # The threads.

    def _work(self) -> None:
        harvest = _Harvest()
        thread = threading.get_ident()
        try:
            while (task := self._next_task(harvest)) is not None:
                self._at[thread] = time.monotonic(), task if isinstance(task, bytes) else task.relative
                with suppress(PoolClosed):
                    self._do(task, harvest)
                if harvest.is_full:
                    self._bring_in(harvest)
        except BaseException as error:
            with self._changed:
                self._error = self._error or error
                self._idle += 1
            self.stop()
            self._news.set()

    def _do(self, task: bytes | _NamesOf, harvest: _Harvest) -> None:
        if isinstance(task, bytes):
            self._visit(task, harvest)
        else:
            self._stat_slice(task, harvest)

    def _next_task(self, harvest: _Harvest) -> bytes | _NamesOf | None:
        """A directory or slice, None at the end. Slices first: that keeps few of them."""
        with self._changed:
            if (task := self._pop()) is not None:
                return task
            self._at.pop(threading.get_ident(), None)
            self._idle += 1
            if (task := self._awaited(LINGER_SECONDS)) is not None:
                return task
        self._bring_in(harvest)
        with self._changed:
            return self._awaited(None)

    def _awaited(self, seconds: float | None) -> bytes | _NamesOf | None:
        """What an idle thread is given to do; None at the end, or where nothing changes for so long."""
        while (task := self._pop()) is None:
            self._conclude_if_idle()
            if self._ending or not self._changed.wait(seconds):
                return None
        self._idle -= 1
        return task

    def _own_slices(self) -> int:
        """Slices that threads should have at hand: while one reads names, no more than is this rank's part of them."""
        return 2 * len(self._threads) if not self._reading or self._has_done_least else 0

    @property
    def _slices_waiting(self) -> int:
        return len(self._slices) + self._slices_at_farm

    @property
    def _has_done_least(self) -> bool:
        """Whether there is plenty for others, and each has taken more of what is read here than was stat'ed here."""
        taken = self._slices_read - self._slices_kept - self._slices_waiting
        return self._slices_waiting > PLENTY * self._peers and self._slices_kept * self._peers <= taken

    def _pop(self) -> bytes | _NamesOf | None:
        if self._slices and self._own_slices():
            return self._keep_slice()
        if self._directories:
            self._visits += 1
            return _path(heappop(self._directories))
        return None

    def _conclude_if_idle(self) -> None:
        if self._first is not None and self._idle == len(self._threads) and not (self._directories or self._slices):
            self._events.append(Finished(self._first))
            self._first = None
            self._news.set()

    def _bring_in(self, harvest: _Harvest) -> None:
        """Counts and records what a thread has found."""
        if self._abandoned:
            return
        with self._counting:
            self.census.count([visited.part for visited in harvest.visited])
            self.census.exclude(harvest.excluded)
            for path, reason in harvest.failures:
                self.census.fail(path, reason)
            for path in harvest.closed:
                self.census.close(path)
            for path in harvest.spoilt:
                self.census.spoil(path)
            census = self.census
            self._counted = np.array([census.directories, census.entries, census.unreadable, False], np.int64)
        if harvest.visited:
            for sink in self._sinks:
                sink.record(harvest.visited)
        harvest.clear()

    def _path(self, relative: bytes) -> bytes:
        return os.path.join(self._options.root, relative) if relative else self._options.root

    def _visit(self, relative: bytes, harvest: _Harvest) -> None:
        path = self._path(relative)
        try:
            if self._options.device not in (None, os.lstat(path).st_dev):
                return
            with DirectoryScan(path, excludes=self._options.excludes, pool=self._pool) as scan:
                self._read(relative, scan, harvest)
        except FileNotFoundError as error:
            if not relative:
                harvest.fail(b".", error)
        except OSError as error:
            harvest.fail(relative or b".", error)

    def _read(self, relative: bytes, scan: DirectoryScan, harvest: _Harvest) -> None:
        """Scans an open directory, or has others scan parts of it."""
        found: list[bytes] = []
        held: Portion | None = None  # until it is known whether it is the last one
        count = 0
        shared = False
        for names in scan.names(self._options.slice_size):
            count += 1
            if shared or (self._peers and count > WHOLE_SLICES and len(names) == self._options.slice_size):
                if not shared:
                    shared = True
                    self._note_reading(1)
                self._share(_NamesOf(relative, names), harvest)
                continue
            self._at[threading.get_ident()] = time.monotonic(), relative
            if held is not None:
                harvest.add(Visited(Part(relative, held.entries, whole=False), ended=False, complete=None))
                if harvest.is_full:
                    self._bring_in(harvest)
            held = self._without_scratch(relative, scan.stat(names))
            harvest.note(relative, held)
            found += _directories(relative, held)
            if self._idle or shared:
                self._descend(found)
                found = []
        if shared:
            self._note_reading(-1)
        entries = held.entries if held else NO_ENTRIES
        complete = None if shared else not (scan.errors or scan.excluded)
        harvest.add(Visited(Part(relative, entries, whole=count <= 1), ended=True, complete=complete))
        if count > 1 and not shared:
            harvest.closed.append(relative)
        if shared and (scan.errors or scan.excluded):
            harvest.spoilt.append(relative)
        for problem in scan.errors:
            if not problem.name:
                harvest.fail(relative or b".", problem.error)
        self._descend(found)

    def _note_reading(self, change: int) -> None:
        with self._changed:
            self._reading += change
            self._changed.notify_all()

    def _share(self, slice_: _NamesOf, harvest: _Harvest) -> None:
        """Adds a slice to those that wait, and helps while there are too many."""
        with self._changed:
            self._slices.append(slice_)
            self._slices_read += 1
            self._changed.notify_all()
        ahead = min(SLICES_AHEAD, max(NAMES_AHEAD // len(slice_.names.blob), len(self._threads)))
        while not self._ending and (own := self._own_slice(ahead)):
            self._stat_slice(own, harvest)
            if harvest.is_full:
                self._bring_in(harvest)

    def _own_slice(self, ahead: int) -> _NamesOf | None:
        """What to stat before more is read: this rank's part, or what no one takes while too much waits."""
        with self._changed:
            while not self._ending:
                waiting = self._slices_waiting
                if self._slices and self._has_done_least:
                    return self._keep_slice()
                if waiting <= ahead:
                    return None
                self._changed.wait(_TURN_SECONDS)
                if self._slices and self._slices_waiting >= waiting:
                    return self._keep_slice()
            return None

    def _keep_slice(self) -> _NamesOf:
        self._slices_kept += 1
        return self._slices.popleft()

    def _stat_slice(self, slice_: _NamesOf, harvest: _Harvest) -> None:
        relative = slice_.relative
        try:
            with DirectoryScan(self._path(relative), excludes=self._options.excludes, pool=self._pool) as scan:
                portion = self._without_scratch(relative, scan.stat(slice_.names))
        except FileNotFoundError:
            return
        except OSError as error:
            harvest.fail(relative or b".", error)
            return
        harvest.note(relative, portion)
        if portion.left_out:
            harvest.spoilt.append(relative)
        harvest.add(Visited(Part(relative, portion.entries, whole=False), ended=False, complete=None))
        self._descend(_directories(relative, portion))

    def _without_scratch(self, relative: bytes, portion: Portion) -> Portion:
        if relative != self._scratch[0]:
            return portion
        kept = np.array([name != self._scratch[1] for name in portion.entries.names()], np.bool_)
        return replace(portion, entries=portion.entries.select(kept))

    def _descend(self, found: list[bytes]) -> None:
        """Adds directories to those to be visited."""
        if not found:
            return
        with self._changed:
            if self._ending:
                return
            for path in found:
                heappush(self._directories, _key(path))
            if self._idle:
                self._changed.notify_all()


def _below(root: bytes, path: str | None) -> tuple[bytes | None, bytes]:
    """Directory, relative to the root, and name of a path; None where it doesn't lie in the root."""
    directory, _, name = os.fsencode(path or "").rpartition(b"/")
    top, below = os.path.join(root, b""), os.path.join(directory, b"")
    return (below[len(top) : -1], name) if path and below.startswith(top) else (None, name)


def _directories(relative: bytes, portion: Portion) -> list[bytes]:
    """Paths of the directories in it."""
    entries = portion.entries
    index = np.flatnonzero(entries.is_directory())
    prefix = relative + b"/" if relative else b""
    return [prefix + entries.name(each) for each in index.tolist()]
