"""Drives the state machines: ``run_farm`` and the loops of the two roles.

A loop turns as fast as something happens and else sleeps ever longer, up to 5 ms: no rank spins, and a message is
noticed within 10 ms. Only the calling thread talks MPI (MPI_THREAD_FUNNELED).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from mpingest.farm.coordinator import Coordinator
from mpingest.farm.executor import Executor, Spawned
from mpingest.farm.links import Link, MpiLink, local_links
from mpingest.farm.messages import ProtocolError
from mpingest.farm.share import SHARE_DTYPE, Share
from mpingest.farm.units import Unit
from mpingest.farm.worker import COORDINATOR, Worker

if TYPE_CHECKING:
    from mpi4py import MPI

_REPORT_SECONDS = 1.0
_FIRST_PAUSE = 50e-6
_LONGEST_PAUSE = 5e-3

Counters = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FarmResult:
    """How the farm ended; the same on all ranks.

    shares:  ``SHARE_DTYPE``, shape (ranks,)
    stopped: whether it was stopped; what was then dropped stands in the shares
    """

    shares: npt.NDArray[np.void]
    stopped: bool


def run_farm(
    comm: MPI.Comm | None,
    roots: Sequence[Unit],
    executor: Executor | None,
    on_progress: Callable[[Counters], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> FarmResult:
    """Runs the roots and all that they spawn, each unit once, on the ranks of ``comm``. Collective.

    comm:        None, or a communicator of one rank, has this process play both roles; else rank 0 coordinates only
    roots:       what to start with; taken from rank 0
    executor:    runs units; not needed on a rank that coordinates only
    on_progress: on rank 0, gets each rank's counters, int64, shape (ranks, k), at most once a second and at the end;
                 k is 0 until the first worker has spoken
    should_stop: on rank 0, asked at most once a second; True ends the farm as soon as the running units have ended

    Raises ProtocolError where units were lost or done twice. An exception leaves the other ranks waiting: see
    ``world.abort_on_error``.
    """
    on_progress = on_progress or _ignore
    should_stop = should_stop or _never
    if comm is None or comm.size == 1:
        return _run_alone(roots, _required(executor), on_progress, should_stop)
    farm_comm, request = comm.Idup()  # so that no other traffic mixes with the farm's
    wait_asleep(request)
    result = _run_rank(farm_comm, roots, executor, on_progress, should_stop)
    farm_comm.Free()
    return result


def _run_alone(
    roots: Sequence[Unit],
    executor: Executor,
    on_progress: Callable[[Counters], None],
    should_stop: Callable[[], bool],
) -> FarmResult:
    coordinator_link, worker_link = local_links()
    coordinating = _Coordinating(Coordinator(range(1), roots), coordinator_link, on_progress, should_stop)
    working = _Working(Worker(), worker_link, executor)
    _drive([coordinating, working])
    row = coordinating.share.row() + working.share.row()
    return _checked(row.reshape(1, -1), coordinating.stopped)


def _run_rank(
    comm: MPI.Comm,
    roots: Sequence[Unit],
    executor: Executor | None,
    on_progress: Callable[[Counters], None],
    should_stop: Callable[[], bool],
) -> FarmResult:
    link = MpiLink(comm)
    role: _Coordinating | _Working
    if comm.rank == COORDINATOR:
        role = _Coordinating(Coordinator(range(1, comm.size), roots), link, on_progress, should_stop)
    else:
        role = _Working(Worker(), link, _required(executor))
    _drive([role])
    rows = _gather_asleep(comm, np.append(role.share.row(), role.stopped))
    return _checked(rows[:, :-1], bool(rows[:, -1].any()))


def _checked(rows: Counters, stopped: bool) -> FarmResult:
    """The result from the ranks' shares, shape (ranks, 8); every unit created was finished or dropped, once."""
    shares = np.ascontiguousarray(rows).view(SHARE_DTYPE)[:, 0]
    created, finished, dropped = (int(shares[f"units_{what}"].sum()) for what in ("created", "finished", "dropped"))
    if created != finished + dropped:
        raise ProtocolError(f"{created} units created, but {finished} finished and {dropped} dropped")
    return FarmResult(shares, stopped)


def _gather_asleep(comm: MPI.Comm, row: Counters) -> Counters:
    """Every rank's row on every rank, shape (ranks, len(row)); a barrier, too, that no one spins at."""
    rows = np.empty((comm.size, len(row)), np.int64)
    wait_asleep(comm.Iallgather(row, rows))
    return rows


def wait_asleep(request: MPI.Request) -> None:
    """What ``request.Wait`` does, but it does not spin."""
    backoff = _Backoff()
    while not request.Test():
        time.sleep(backoff.next())


class _Role(Protocol):
    @property
    def finished(self) -> bool: ...

    def turn(self) -> bool:
        """Does what there is to do now; whether there was anything."""

    def pause(self, seconds: float) -> None:
        """Sleeps, at most that long."""


def _drive(roles: Sequence[_Role]) -> None:
    """Turns all roles of this process until they have finished; when nothing happens the last one says how to sleep."""
    backoff = _Backoff()
    while not all(role.finished for role in roles):
        happened = [role.turn() for role in roles]
        if any(happened):
            backoff.reset()
        else:
            roles[-1].pause(backoff.next())


class _Coordinating:
    """The loop of the coordinator."""

    def __init__(
        self,
        coordinator: Coordinator,
        link: Link,
        on_progress: Callable[[Counters], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._coordinator = coordinator
        self._link = link
        self._on_progress = on_progress
        self._should_stop = should_stop
        self._second = _Interval(_REPORT_SECONDS)

    @property
    def finished(self) -> bool:
        return self._coordinator.finished and not self._link.still_sending()

    @property
    def stopped(self) -> bool:
        return self._coordinator.stopping

    @property
    def share(self) -> Share:
        return _with_traffic(self._coordinator.share, self._link)

    def turn(self) -> bool:
        heard = False
        for source, message in self._link.arrivals():
            self._link.send(self._coordinator.receive(source, message))
            heard = True
        ended = heard and self._coordinator.finished  # true once: nothing is heard after FINISH
        if ended or self._second.is_over():
            self._on_progress(self._coordinator.counters.copy())
            if self._should_stop():
                self._link.send(self._coordinator.stop())
        return heard or self._link.still_sending()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


class _Working:
    """The loop of a worker."""

    stopped = False

    def __init__(self, worker: Worker, link: Link, executor: Executor) -> None:
        self._worker = worker
        self._link = link
        self._executor = executor
        self._second = _Interval(_REPORT_SECONDS)

    @property
    def finished(self) -> bool:
        return self._worker.finished and not self._link.still_sending()

    @property
    def share(self) -> Share:
        return _with_traffic(self._worker.share, self._link)

    def turn(self) -> bool:
        heard = self._hear()
        if self._worker.idle and not heard:
            return self._link.still_sending()
        happened = [heard, self._collect(), self._begin()]
        self._executor.throttle(self._worker.waiting_slices)
        self._link.send(self._worker.speak(self._executor.counters(), self._second.is_over()))
        return any(happened) or self._link.still_sending()

    def pause(self, seconds: float) -> None:
        if self._worker.running:
            self._executor.wait(seconds)
        else:
            time.sleep(seconds)

    def _hear(self) -> bool:
        heard = False
        for source, message in self._link.arrivals():
            self._link.send(self._worker.receive(source, message))
            heard = True
        return heard

    def _collect(self) -> bool:
        happened = False
        for event in self._executor.events():
            if isinstance(event, Spawned):
                self._worker.add(event.units)
            else:
                self._worker.finish(event.unit)
            happened = True
        return happened

    def _begin(self) -> bool:
        begun = False
        while unit := self._worker.take(self._executor.room_for):
            self._executor.begin(unit)
            begun = True
        if self._worker.waiting and not self._worker.running:
            raise RuntimeError("the executor runs nothing and yet has no room for any unit")
        return begun


class _Backoff:
    """Ever longer pauses, in seconds: none at first, then doubling up to the longest."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._pause = 0.0

    def next(self) -> float:
        pause = self._pause
        self._pause = min(max(_FIRST_PAUSE, 2 * pause), _LONGEST_PAUSE)
        return pause


class _Interval:
    """Says once per so many seconds that they are over."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        now = time.monotonic()
        if now < self._end:
            return False
        self._end = now + self._seconds
        return True


def _with_traffic(share: Share, link: Link) -> Share:
    return replace(share, messages_sent=link.sent, messages_received=link.received)


def _required(executor: Executor | None) -> Executor:
    if executor is None:
        raise ValueError("a rank that works needs an executor")
    return executor


def _ignore(counters: Counters) -> None:
    """Progress that no one looks at."""


def _never() -> bool:
    return False
