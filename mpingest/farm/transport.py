"""Drives the state machines: ``run_farm`` and the loops of the two roles.

A loop turns as fast as messages come and go, else sleeps ever longer, up to 5 ms, unless what runs wakes it: no rank
spins, and a message is noticed within 10 ms. On a host with more ranks than cores a busy rank looks more seldom: each
look takes a core from others, and their caches. Only the calling thread talks MPI (MPI_THREAD_FUNNELED). What the
caller wants done on rank 0 while the farm runs has a thread of its own, for the loop there does nothing but pass
messages.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from mpingest.farm.coordinator import Coordinator
from mpingest.farm.executor import Executor, Spawned
from mpingest.farm.limits import Limits
from mpingest.farm.links import Link, MpiLink, local_links
from mpingest.farm.messages import ProtocolError
from mpingest.farm.share import SHARE_DTYPE, Share
from mpingest.farm.units import Unit
from mpingest.farm.worker import COORDINATOR, Worker
from mpingest.farm.world import ranks_of_host

if TYPE_CHECKING:
    from mpi4py import MPI

_REPORT_SECONDS = 0.25
_LOOK_SECONDS = 20e-3
"""How often a worker sees what its executor has come to besides events."""
_SHOW_SECONDS = 1.0
_WORTH_SECONDS = 0.05
_WISHES_A_SECOND = 20_000
_REPORTS_A_SECOND = 1000
"""Reports of mere progress that the coordinator gets at most."""
FIRST_PAUSE = 50e-6
"""Seconds for which a loop sleeps when no message came; then twice as long each time, up to the next."""
LONGEST_PAUSE = 5e-3
RARE_PAUSE = 20e-3
"""The longest one of a busy rank where many share a core, and of one that has waited for others for long."""
_SENDING_PAUSE = 0.5e-3
"""The longest one while a message is under way."""

Counters = npt.NDArray[np.int64]
_NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class FarmResult:
    """How the farm ended; the same on all ranks.

    shares:  ``SHARE_DTYPE``, shape (ranks,)
    stopped: whether it was stopped; what was then dropped stands in the shares
    stalled: ranks that made no progress, and what each was stuck on; if there are any, it was stopped
    """

    shares: npt.NDArray[np.void]
    stopped: bool
    stalled: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the caller wants besides; see ``run_farm``."""

    on_progress: Callable[[Counters], None] | None
    should_stop: Callable[[], bool] | None
    patience: float
    stall_timeout: float | None
    limits: Limits
    steer: Callable[[Counters], Limits] | None


def run_farm(
    comm: MPI.Comm | None,
    roots: Sequence[Unit],
    executor: Executor | None,
    *,
    on_progress: Callable[[Counters], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    patience: float = math.inf,
    stall_timeout: float | None = None,
    limits: Limits = _NO_LIMITS,
    steer: Callable[[Counters], Limits] | None = None,
) -> FarmResult:
    """Runs the roots and all that they spawn, each unit once, on the ranks of ``comm``. Collective.

    comm:          None, or a communicator of one rank, has this process play both roles; else rank 0 coordinates only
    roots:         what to start with; taken from rank 0
    executor:      runs units; not needed on a rank that coordinates only
    on_progress:   on rank 0, gets each rank's counters, int64, shape (ranks, k), at most once a second and at the end;
                   k is 0 until the first worker has spoken. A rank tells its counters four times a second, in a world
                   of more than 250 workers less often, and when it becomes idle
    should_stop:   on rank 0, asked all the time, so it has to be quick; True drops what has not begun, and the farm
                   ends as soon as what runs has ended
    patience:      seconds that what runs gets to end once the farm is stopping; then it is given up
    stall_timeout: seconds after which a rank whose units make no progress at all has the farm stopped, and gives them
                   up; None has all wait for it
    limits:        what all executors together may do: see ``Coordinator.allot``. Taken from rank 0
    steer:         on rank 0, gets the counters as often as they are told, and says what the limits are from then on

    ``on_progress`` and ``steer`` are called from a thread of their own.

    Raises ProtocolError where units were lost or done twice. An exception leaves the other ranks waiting: see
    ``world.abort_on_error``.
    """
    wishes = _Wishes(on_progress, should_stop, patience, stall_timeout, limits, steer)
    if comm is None or comm.size == 1:
        return _run_alone(roots, _required(executor), wishes)
    farm_comm, request = comm.Idup()  # so that no other traffic mixes with the farm's
    wait_asleep(request)
    result = _run_rank(farm_comm, roots, executor, wishes)
    farm_comm.Free()
    return result


def _run_alone(roots: Sequence[Unit], executor: Executor, wishes: _Wishes) -> FarmResult:
    coordinator_link, worker_link = local_links()
    with _Observer(wishes) as observer:
        coordinating = _Coordinating(Coordinator(range(1), roots), coordinator_link, observer, wishes, workers=1)
        working = _Working(Worker(), worker_link, executor, wishes, workers=1)
        _drive([coordinating, working])
    row = coordinating.share.row() + working.share.row()
    return _checked(row.reshape(1, -1), coordinating.stopped, coordinating.stalled)


def _run_rank(comm: MPI.Comm, roots: Sequence[Unit], executor: Executor | None, wishes: _Wishes) -> FarmResult:
    link, ranks = MpiLink(comm), _ranks_here(comm)
    if comm.rank != COORDINATOR:
        longest = busy_pause(ranks, os.cpu_count() or 1)
        working = _Working(Worker(), link, _required(executor), wishes, workers=comm.size - 1, busy_pause=longest)
        _drive([working])
        return _concluded(comm, working.share, False, [])
    with _Observer(wishes) as observer:
        coordinator = Coordinator(range(1, comm.size), roots)
        coordinating = _Coordinating(coordinator, link, observer, wishes, workers=comm.size - 1)
        _drive([coordinating])
    return _concluded(comm, coordinating.share, coordinating.stopped, coordinating.stalled)


def _concluded(comm: MPI.Comm, share: Share, stopped: bool, stalled: Sequence[tuple[int, str]]) -> FarmResult:
    """The result of all ranks, from each one's."""
    rows = all_rows(comm, np.append(share.row(), stopped))
    stopped = bool(rows[:, -1].any())
    if stopped:  # else there is nothing to tell
        stalled = comm.bcast(stalled, COORDINATOR)
    return _checked(rows[:, :-1], stopped, stalled)


def _ranks_here(comm: MPI.Comm) -> int:
    """How many ranks there are on this host. Collective."""
    host = ranks_of_host(comm)
    if host is None:
        return 1
    ranks = host.size
    host.Free()
    return ranks


def busy_pause(ranks: int, cores: int) -> float:
    """The longest pause, in seconds, of a rank that has something to do, on a host with so many ranks and cores."""
    return min(max(1.0, ranks / cores) * LONGEST_PAUSE, RARE_PAUSE)


def worth_seconds(workers: int) -> float:
    """Work that is worth having another rank do it: all such wishes go through rank 0."""
    return max(_WORTH_SECONDS, workers / _WISHES_A_SECOND)


def report_seconds(workers: int) -> float:
    """How often a worker reports mere progress."""
    return max(_REPORT_SECONDS, workers / _REPORTS_A_SECOND)


def _checked(rows: Counters, stopped: bool, stalled: Sequence[tuple[int, str]]) -> FarmResult:
    """The result from the ranks' shares, shape (ranks, 8); every unit created was finished or dropped, once."""
    shares = np.ascontiguousarray(rows).view(SHARE_DTYPE)[:, 0]
    created, finished, dropped = (int(shares[f"units_{what}"].sum()) for what in ("created", "finished", "dropped"))
    if created != finished + dropped:
        raise ProtocolError(f"{created} units created, but {finished} finished and {dropped} dropped")
    return FarmResult(shares, stopped, stalled)


def all_rows(comm: MPI.Comm | None, row: Counters) -> Counters:
    """Every rank's row, int64, shape (ranks, len(row)), on every rank; a barrier, too, that no one spins at.

    comm: None for a world of one rank. Collective.
    """
    if comm is None:
        return row[np.newaxis]
    rows = np.empty((comm.size, len(row)), np.int64)
    wait_asleep(comm.Iallgather(row, rows))
    return rows


def wait_asleep(request: MPI.Request) -> None:
    """What ``request.Wait`` does, but it does not spin.

    What takes several rounds of messages goes on only when all ranks look, so each sleeps but a part of what it waited:
    an eighth up to 5 ms, then, while it may be long, a 200th up to 20 ms.
    """
    began = time.monotonic()
    while not request.Test():
        waited = time.monotonic() - began
        time.sleep(min(waited / 8, max(LONGEST_PAUSE, min(waited / 200, RARE_PAUSE))))


class _Role(Protocol):
    @property
    def finished(self) -> bool: ...

    @property
    def longest_pause(self) -> float: ...

    def turn(self) -> bool:
        """Does what there is to do now; whether a message came or was sent, so that more may come soon."""

    def pause(self, seconds: float) -> None:
        """Sleeps, at most that long."""


def _drive(roles: Sequence[_Role]) -> None:
    """Turns all roles of this process until they have finished; between messages the last one says how to sleep."""
    backoff = _Backoff()
    while not all(role.finished for role in roles):
        talked = [role.turn() for role in roles]
        if any(talked):
            backoff.reset()
        else:
            roles[-1].pause(backoff.next(roles[-1].longest_pause))


class _Observer:
    """The thread on rank 0 that steers, and shows progress, at most once a second.

    It may write to a file system that hangs for a while: the farm goes on meanwhile. Use as a context manager; leaving
    it shows the last progress. What is raised in the thread comes out of ``show``, or on leaving.

    limits: what all executors together may do now
    """

    def __init__(self, wishes: _Wishes) -> None:
        self.limits = wishes.limits
        self._second = _Interval(_SHOW_SECONDS)
        self._wishes = wishes
        self._latest: deque[Counters] = deque(maxlen=1)
        self._error: BaseException | None = None
        self._news = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="observer", daemon=True)

    def __enter__(self) -> _Observer:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            return  # the world ends, whatever the thread is at
        self._ending = True
        self._news.set()
        self._thread.join()
        self._check()

    def show(self, counters: Counters) -> None:
        """Has the thread see these instead of any that it has not yet come to. Never waits."""
        self._check()
        self._latest.append(counters)
        self._news.set()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            while not self._ending:
                self._news.wait()
                self._news.clear()
                self._observe()
            self._observe()
        except BaseException as error:
            self._error = error

    def _observe(self) -> None:
        if not self._latest:
            return
        counters = self._latest[-1]
        if self._wishes.steer and not self._ending:
            self.limits = self._wishes.steer(counters)
        if self._wishes.on_progress and (self._ending or self._second.is_over()):
            self._wishes.on_progress(counters)


class _Coordinating:
    """The loop of the coordinator."""

    def __init__(
        self, coordinator: Coordinator, link: Link, observer: _Observer, wishes: _Wishes, workers: int
    ) -> None:
        self._coordinator = coordinator
        self._should_stop = wishes.should_stop
        self._link = link
        self._observer = observer
        self._steering = _Interval(report_seconds(workers))
        self._limits = observer.limits
        self._link.send(coordinator.allot(self._limits))
        self._link.send(coordinator.start())

    @property
    def finished(self) -> bool:
        return self._coordinator.finished and not self._link.still_sending()

    @property
    def stopped(self) -> bool:
        return self._coordinator.stopping

    @property
    def stalled(self) -> Sequence[tuple[int, str]]:
        return self._coordinator.stalled

    @property
    def share(self) -> Share:
        return _with_traffic(self._coordinator.share, self._link)

    def turn(self) -> bool:
        heard = False
        for source, message in self._link.arrivals():
            self._link.send(self._coordinator.receive(source, message))
            heard = True
        ended = heard and self._coordinator.finished  # true once: nothing is heard after FINISH
        limits, is_due = self._observer.limits, self._steering.is_over()
        if ended or is_due:
            self._observer.show(self._coordinator.counters.copy())
        if is_due or limits is not self._limits:
            self._limits = limits
            self._link.send(self._coordinator.allot(limits))
        if self._should_stop and self._should_stop():
            self._link.send(self._coordinator.stop())
        return heard

    @property
    def longest_pause(self) -> float:
        return _SENDING_PAUSE if self._link.still_sending() else LONGEST_PAUSE

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


class _Working:
    """The loop of a worker."""

    def __init__(
        self,
        worker: Worker,
        link: Link,
        executor: Executor,
        wishes: _Wishes,
        *,
        workers: int,
        busy_pause: float = LONGEST_PAUSE,
    ) -> None:
        self._worker = worker
        self._link = link
        self._executor = executor
        self._stall_timeout = wishes.stall_timeout or math.inf
        self._patience = wishes.patience
        self._give_up = math.inf  # on the monotonic clock
        self._second = _Interval(1.0)
        self._report = _Interval(report_seconds(workers))
        self._quiet = _Interval(worth_seconds(workers))
        self._look = _Interval(_LOOK_SECONDS)
        self._worth = worth_seconds(workers)
        self._busy_pause = busy_pause

    @property
    def finished(self) -> bool:
        return self._worker.finished and not self._link.still_sending()

    @property
    def share(self) -> Share:
        return _with_traffic(self._worker.share, self._link)

    def turn(self) -> bool:
        heard = self._hear()
        if self._worker.idle and not heard and not self._worker.owes_slots:
            return False
        has_news = self._collect() + self._begin() > 0
        if not (heard or has_news or self._worker.owes_slots or self._look.is_over()):
            return False
        self._look.restart()
        if self._worker.running and self._second.is_over():
            self._look_for_stall()
        self._executor.throttle(self._worker.waiting_slices, self._worker.waiting_subtrees)
        counters, divisible = self._executor.counters(), self._executor.divisible(self._worth)
        said = self._worker.speak(
            counters, divisible, self._executor.slots(), due=self._report.is_over(), quiet=self._quiet.lasts
        )
        if said:
            self._quiet.restart()
        self._link.send(said)
        return heard or bool(said)

    @property
    def longest_pause(self) -> float:
        if self._link.still_sending():
            return _SENDING_PAUSE
        return self._busy_pause if self._worker.running else LONGEST_PAUSE

    def pause(self, seconds: float) -> None:
        if self._worker.running:
            self._executor.wait(seconds)
        else:
            time.sleep(seconds)

    def _hear(self) -> bool:
        heard = False
        for source, message in self._link.arrivals():
            was_stopping = self._worker.stopping
            self._link.send(self._worker.receive(source, message, self._executor.divide))
            if self._worker.stopping and not was_stopping:
                self._executor.stop()
                self._give_up = time.monotonic() + self._patience
            if (allotment := self._worker.take_allotment()) is not None:
                self._executor.allot(allotment)
            if (lease := self._worker.take_lease()) is not None:
                self._executor.lease(lease)
            heard = True
        return heard

    def _look_for_stall(self) -> None:
        what = self._executor.stalled(self._stall_timeout)
        if what:
            self._link.send(self._worker.stall(what))
        if self._worker.stopping and (what or time.monotonic() > self._give_up):
            self._worker.abandon(self._executor.abandon())

    def _collect(self) -> int:
        """How many events there were."""
        events = list(self._executor.events())
        for event in events:
            if isinstance(event, Spawned):
                self._worker.add(event.units)
            else:
                self._worker.finish(event.unit)
        return len(events)

    def _begin(self) -> int:
        """How many units begin."""
        count = 0
        while unit := self._worker.take(self._executor.room_for):
            self._executor.begin(unit)
            count += 1
        if self._worker.waiting and not self._worker.running:
            raise RuntimeError("the executor runs nothing and yet has no room for any unit")
        return count


class _Backoff:
    """Ever longer pauses, in seconds: none at first, then doubling up to what is said."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._pause = 0.0

    def next(self, longest: float) -> float:
        pause = min(self._pause, longest)
        self._pause = max(FIRST_PAUSE, 2 * pause)
        return pause


class _Interval:
    """Says once per so many seconds that they are over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    @property
    def lasts(self) -> bool:
        return time.monotonic() < self._end

    def restart(self) -> None:
        self._end = time.monotonic() + self._seconds

    def is_over(self) -> bool:
        if self.lasts:
            return False
        self.restart()
        return True


def _with_traffic(share: Share, link: Link) -> Share:
    return replace(share, messages_sent=link.sent, messages_received=link.received)


def _required(executor: Executor | None) -> Executor:
    if executor is None:
        raise ValueError("a rank that works needs an executor")
    return executor
