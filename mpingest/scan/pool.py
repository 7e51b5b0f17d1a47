"""Several stats in flight per rank: the threads that share the names of a slice.

Where a stat takes a microsecond or two (a warm cache), handing work to another thread costs more than the work, so the
caller does all of it. Where it takes hundreds (a parallel file system), the caller invites idle threads, its guests,
who take names of the same slice until none is left. What a stat takes is measured all the while.

A thread at work holds one of as many slots as there may be stats in flight. Callers wait for a slot; guests are
invited only to free ones, and give theirs up to a caller that waits. So many callers keep all slots busy with
directories of their own, and one caller with a flat directory has them all.
"""

from __future__ import annotations

import math
import os
import threading
import time
from dataclasses import dataclass
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mpingest.scan.backend import NATIVE, StatBatch
from mpingest.scan.entries import ENTRY_DTYPE
from mpingest.scan.names import NameSlice
from mpingest.scan.rate import Rate

SLOW_NS = 30_000 if NATIVE else 100_000
"""What a stat takes at least where guests are invited. In Python, threads get into each other's way sooner."""
SHARE_NS = 200_000
"""What there must be to do for each guest."""
GRAIN_NS = 100_000
"""What a thread takes at a time, about."""
MOST_GRAIN = 64
QUANTUM_NS = 500_000
"""How long a caller works before it looks whether guests would help."""
TURN_NS = 5_000_000
"""How long a guest works before it looks whether a caller needs its slot."""
PROBE_SECONDS = 0.1
"""How often a caller invites nobody for once, to see whether stats are slow still: see ``StatPool._learn``."""
LONELY_SECONDS = 5.0
"""How often all other callers are held to be useless for once, likewise."""
INERTIA = 16
"""Stats, or turns, by which what they take is judged, about."""

LONG_TURN_NS = 100_000
"""What a caller does at a time without the GIL, at least, for another caller to pay where stats are fast."""
_CORES = len(os.sched_getaffinity(0))

_NOT_YET = -1


def useful_callers(threads: int, stat_ns: float, turn_ns: float, *, native: bool = NATIVE, cores: int = _CORES) -> int:
    """How many callers at once pay, of ``threads``.

    All where stats are slow. Where they are fast, small directories are mostly Python, whose threads only wait for
    each other: two of them take longer than one. Large ones take all cores, where the GIL is not held.

    stat_ns, turn_ns: what a stat takes, and what a caller does at a time, in nanoseconds
    """
    if stat_ns >= SLOW_NS:
        return threads
    return min(threads, cores) if native and turn_ns >= LONG_TURN_NS else 1


class PoolClosed(Exception):
    """The pool was closed before all names were stat'ed."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """A stat under way. path: of the entry, or of one just before it; seconds: for how long its thread is at it."""

    path: bytes
    seconds: float


class Stats(NamedTuple):
    """What became of ``n`` names.

    rows:   ``ENTRY_DTYPE``, shape (n,); zero where the stat failed
    errnos: int32, shape (n,); its error number, or 0
    failed: how many failed
    """

    rows: npt.NDArray[np.void]
    errnos: npt.NDArray[np.int32]
    failed: int


@dataclass(slots=True, eq=False)
class _Job:
    """A slice under way. coming: guests invited; inside: guests at work; over: the caller sees no name left."""

    path: bytes
    names: NameSlice
    batch: StatBatch
    errnos: npt.NDArray[np.int32]
    coming: int = 0
    inside: int = 0
    over: bool = False
    error: BaseException | None = None


class StatPool:
    """At most ``threads`` stats in flight, of any number of callers.

    rate: how many a second

    Threads start when first needed and wait until ``close``, which a context manager does. They are daemons, since
    a stat may hang for good.
    """

    def __init__(self, threads: int = 1, rate: Rate | None = None) -> None:
        if threads < 1:
            raise ValueError(f"{threads} threads to stat with")
        self.threads = threads
        self.rate = rate or Rate()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._free = threads
        self._callers_waiting = 0
        self._invitations: SimpleQueue[_Job | None] = SimpleQueue()
        self._guests_started = False
        self._closed = False
        self._stat_ns = float(GRAIN_NS)
        self._turn_ns = 0.0
        self._probed = 0.0
        self._learned = -math.inf
        self._turns: dict[int, tuple[_Job, float]] = {}

    def __enter__(self) -> StatPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads as soon as their stats return; what is under way raises PoolClosed. From any thread."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()
        self.rate.close()
        for _ in range(self.threads - 1):
            self._invitations.put(None)

    def stat(self, fd: int, path: bytes, names: NameSlice, follow_links: bool = False) -> Stats:
        """Stats names of the open directory ``fd``, known as ``path``. The calling thread takes part.

        Raises PoolClosed.
        """
        rows = np.zeros(len(names), ENTRY_DTYPE)
        errnos = np.empty(len(names), np.int32)
        errnos.fill(_NOT_YET)
        batch = StatBatch(fd, names.blob, names.offsets, rows, errnos, follow=follow_links)
        job = _Job(path, names, batch, errnos)
        self._enter()
        try:
            while batch.left and not self._closed:
                self._invite(job)
                self._turn_ns += (self._turn(job, QUANTUM_NS) - self._turn_ns) / INERTIA
        finally:
            self._conclude(job)
        if job.error is not None:
            raise job.error
        if self._closed and (errnos == _NOT_YET).any():
            raise PoolClosed
        return Stats(rows, errnos, batch.failed)

    @property
    def useful_callers(self) -> int:
        """How many callers at once pay, by what was measured lately: with more, a scan takes longer."""
        if time.monotonic() - self._learned > LONELY_SECONDS:
            return 1
        return useful_callers(self.threads, self._stat_ns, self._turn_ns)

    def longest(self) -> InFlight | None:
        """The stat that has been in flight for longest; None if there is none. From any thread."""
        turns = list(self._turns.values())
        if not turns:
            return None
        job, since = min(turns, key=lambda turn: turn[1])
        pending = np.flatnonzero(job.errnos == _NOT_YET)
        path = os.path.join(job.path, job.names.name(int(pending[0]))) if len(pending) else job.path
        return InFlight(path, time.monotonic() - since)

    # What a caller does.

    def _enter(self) -> None:
        with self._lock:
            self._callers_waiting += 1
            while not self._free and not self._closed:
                self._changed.wait()
            self._callers_waiting -= 1
            self._free -= 1

    def _invite(self, job: _Job) -> None:
        """Offers the slice to free threads where that pays."""
        if self._learned == -math.inf or self._stat_ns < SLOW_NS or self._free <= 0:
            return
        now = time.monotonic()
        if not NATIVE and now - self._probed > PROBE_SECONDS and not (job.coming or job.inside):
            self._probed = now
            return
        left = job.batch.left
        with self._lock:
            wanted = min(left - 1, int(left * self._stat_ns / SHARE_NS)) - job.coming - job.inside
            count = max(0, min(wanted, self._free - self._callers_waiting))
            self._free -= count
            job.coming += count
            if count and not self._guests_started:
                self._start_guests()
        for _ in range(count):
            self._invitations.put(job)

    def _start_guests(self) -> None:
        self._guests_started = True
        for number in range(1, self.threads):
            threading.Thread(target=self._be_guest, name=f"stat-{number}", daemon=True).start()

    def _turn(self, job: _Job, nanoseconds: int) -> int:
        """Stats names of a slice for about so long; gives how long it was."""
        grain = max(1, min(MOST_GRAIN, int(GRAIN_NS / self._stat_ns)))
        alone = self._is_alone()
        left = job.batch.left
        limited = self.rate.limited
        most = self.rate.take(max(1, min(grain, left))) if limited else left
        thread = threading.get_ident()
        self._turns[thread] = job, time.monotonic()
        try:
            done, spent = job.batch.run(most, grain, nanoseconds)
        finally:
            del self._turns[thread]
        if limited:
            self.rate.give_back(most - done)
        if done and (NATIVE or (alone and self._is_alone()) or time.monotonic() - self._learned > 2 * LONELY_SECONDS):
            self._learn(done, spent)
        return spent

    def _is_alone(self) -> bool:
        return self._free == self.threads - 1

    def _learn(self, done: int, nanoseconds: int) -> None:
        """Takes in what stats took. In Python that counts only of a thread that was alone, unless there never is one:
        others make it wait for the GIL, which would look like slow stats, and call for even more threads.
        """
        self._stat_ns += (nanoseconds / done - self._stat_ns) * done / (done + INERTIA)
        self._learned = time.monotonic()

    def _conclude(self, job: _Job) -> None:
        """Gives slots back, also those of guests still to come, and waits for those inside."""
        with self._lock:
            job.over = True
            self._free += 1 + job.coming
            if self._callers_waiting:
                self._changed.notify_all()
            while job.inside and not self._closed:
                self._changed.wait()

    # What a guest does.

    def _be_guest(self) -> None:
        while (job := self._invitations.get()) is not None:
            with self._lock:
                if job.over:
                    continue
                job.coming -= 1
                job.inside += 1
            try:
                while job.batch.left and not self._callers_waiting and not self._closed:
                    self._turn(job, TURN_NS)
            except BaseException as error:
                job.error = error
            with self._lock:
                job.inside -= 1
                self._free += 1
                if self._callers_waiting or (job.over and not job.inside):
                    self._changed.notify_all()
