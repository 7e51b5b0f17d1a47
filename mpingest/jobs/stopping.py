"""A run that is to end early: who has said so, and how much time it still has.

Any rank may get a signal, but only rank 0 stops the run: for a signal of its own, at a time that was set, or when the
job directory holds a file ``stop``. Other ranks pass their signals on as ``mpingest stop`` asks for it: by that file.

What is under way gets ``pipeline.PATIENCE_SECONDS``; then all is sealed, and merged if that is done in time. Whatever
hangs, the process ends when ``LONGEST_SECONDS`` are over.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from mpingest.errors import MpingestError
from mpingest.farm.collective import deal
from mpingest.farm.worker import COORDINATOR
from mpingest.farm.world import end_world
from mpingest.jobs.batch import BatchJob, cancel, own_batch_jobs, seconds_left
from mpingest.jobs.directory import Holder, JobDirectory
from mpingest.jobs.ending import Ending
from mpingest.jobs.limits import TimeLimits
from mpingest.jobs.signals import STOPPING, Stopped

if TYPE_CHECKING:
    from mpi4py import MPI

MERGE_SECONDS = 19.0
"""How long after a stop there may still be merged, so that all has ended well before Slurm's SIGKILL, 30 s after."""
LONGEST_SECONDS = 27.0
"""How long after a stop the process is ended, whatever hangs."""
BATCH_END_RESERVE = LONGEST_SECONDS - MERGE_SECONDS
"""Seconds before the end of the batch job at which nothing is merged any more."""
WORK_SHARE = 0.1
"""Part of what is left of the batch job that is worked at least, however long before its end is to be stopped."""
_LOOK_SECONDS = 0.2
_FILE_SECONDS = 1.0
_WAIT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Moment:
    """at: on the monotonic clock; merge_until: likewise, how long there is time to merge."""

    at: float
    reason: str
    merge_until: float


class Stops:
    """Says on every rank whether the run is to end, and ends the process where that takes too long.

    Use as a context manager, in the main thread: a second SIGINT within it ends the process at once.

    reason: what for, "" as long as the run is to go on; on other ranks than 0 only after a signal there, or ``share``
    ending: set as soon as there is one
    """

    def __init__(self, comm: MPI.Comm | None, limits: TimeLimits) -> None:
        self.reason = ""
        self.ending = Ending()
        self._comm = comm
        self._rank, self._size = (comm.rank, comm.size) if comm is not None else (COORDINATOR, 1)
        self._limits = limits
        self._moments = _own_limit(limits.seconds) if self._rank == COORDINATOR else []
        self._signal: signal.Signals | None = None
        self._merge_until = float("inf")
        self._end = float("inf")
        self._job: JobDirectory | None = None
        self._release: Callable[[], None] | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stops", daemon=True)
        self._stack = ExitStack()

    def __enter__(self) -> Stops:
        for number in STOPPING:
            self._stack.callback(signal.signal, number, signal.signal(number, self._note))
        self._thread.start()
        if self._rank == COORDINATOR:  # Slurm may take its time to answer
            threading.Thread(target=self._look_for_batch_end, name="batch end", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self.reason:  # launchers may send another, and the process is about to end as it should
            for number in STOPPING:
                signal.signal(number, signal.SIG_IGN)
        else:
            self._stack.close()

    def should_stop(self) -> bool:
        """Whether the run is to end."""
        return bool(self.reason)

    def check_time(self) -> None:
        """Raises Stopped once there is no time left to merge."""
        if time.monotonic() > self._merge_until:
            raise self.stopped()

    def stopped(self) -> Stopped:
        """The error that says so."""
        return Stopped(stop_line(self.reason))

    def share(self) -> str:
        """The reason that any rank knows; "" if the run is to go on. From now on all ranks know it. Collective."""
        told = deal(self._comm, [self._told] * self._size)
        reason = next((reason for reason, _ in told if reason), "")
        if reason:
            self._stop(reason, time.monotonic() + min(seconds for _, seconds in told))
        return reason

    def _told(self) -> tuple[str, float]:
        """What this rank knows, and how many seconds are left to merge."""
        return self.reason, self._merge_until - time.monotonic()

    def wait(self, seconds: float) -> str:
        """Sleep that long, on rank 0, unless the run is to end; the reason."""
        self.ending.wait(seconds)
        return self.reason

    @contextmanager
    def of_job(self, job: JobDirectory, release: Callable[[], None]) -> Iterator[None]:
        """Heed, on rank 0, the job's file ``stop`` within the block; no earlier request counts.

        release: releases its lock, in case the process has to be ended
        """
        job.forget_stop_request()
        self._release = release
        self._job = job
        try:
            yield
        finally:
            self._job = None
            job.forget_stop_request()

    def pass_on(self, job: JobDirectory) -> None:
        """Have, on any rank but 0, signals passed on to rank 0, which heeds the job."""
        self._job = self._job or job

    def _note(self, number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and self._signal == signal.SIGINT:
            self._end_now("a second SIGINT")
        self._signal = self._signal or signal.Signals(number)

    def _watch(self) -> None:
        look_at_file = 0.0
        passed_on = False
        while not self._over.wait(_LOOK_SECONDS):
            now = time.monotonic()
            if self._signal and not passed_on:
                where = f" at rank {self._rank}" if self._size > 1 else ""
                self._stop(f"{self._signal.name}{where}", now + MERGE_SECONDS)
                passed_on = self._rank == COORDINATOR or self._pass_on()
            for moment in self._moments:
                if now > moment.at and not self.reason:
                    self._stop(moment.reason, moment.merge_until)
            if self._rank == COORDINATOR and self._job and now > look_at_file and not self.reason:
                look_at_file = now + _FILE_SECONDS
                if (request := self._job.stop_request()) is not None:
                    self._stop(request or "the file stop in the job directory", now + MERGE_SECONDS)
            if now > self._end:
                self._end_now(f"{self.reason}, but not in time")

    def _look_for_batch_end(self) -> None:
        self._moments += _batch_end(self._limits.stop_before)

    def _pass_on(self) -> bool:
        if self._job is None:
            return False  # rank 0 hasn't opened it yet
        with suppress(MpingestError):
            self._job.ask_to_stop(self.reason)
            return True
        return False

    def _stop(self, reason: str, merge_until: float) -> None:
        """The first reason counts, and the least time."""
        self._merge_until = min(self._merge_until, merge_until)
        self._end = self._merge_until + LONGEST_SECONDS - MERGE_SECONDS
        self.reason = self.reason or reason
        self.ending.set()

    def _end_now(self, reason: str) -> None:
        """End the process, and with it the world."""
        if self._release:
            releasing = threading.Thread(target=self._release, daemon=True)
            releasing.start()
            releasing.join(1.0)  # if the file system hangs, so be it
        end_world(self._comm, Stopped(stop_line(reason)))


def stop_line(reason: str) -> str:
    """For the terminal."""
    return f"stopped by {reason}: run the same line again"


def _own_limit(seconds: float | None) -> list[_Moment]:
    """When the run is to end by itself, as it was told."""
    if seconds is None:
        return []
    at = time.monotonic() + seconds
    return [_Moment(at, f"its time limit of {seconds:g} s", at + MERGE_SECONDS)]


def _batch_end(stop_before: float) -> list[_Moment]:
    """When the run is to end by itself, since its batch job does, as far as that is known."""
    left = seconds_left() if stop_before else None
    if left is None:
        return []
    end = time.monotonic() + left
    at = end - min(stop_before, left * (1 - WORK_SHARE))
    return [_Moment(at, "the end of the batch job", max(end - BATCH_END_RESERVE, at))]


@dataclass(frozen=True, slots=True)
class Asked:
    """holder: who was asked to end the run, None where there is none; cancelled: batch jobs, as Slurm knew them."""

    holder: Holder | None
    cancelled: Sequence[BatchJob]


def request_stop(job: JobDirectory, *, now: bool) -> Asked:
    """Ask whoever runs the job to end the run. Raises MpingestError where there is nothing to stop.

    now: cancel its batch jobs, too, those that are still to begin as well
    """
    holder = job.held()
    runs = holder is not None and holder.lives
    if runs:
        job.ask_to_stop(f"mpingest stop on {socket.gethostname()}")
    if runs and not now:
        return Asked(holder, ())
    known = own_batch_jobs()
    left = [known[id] for id in job.batch_jobs() if id in known and not known[id].has_ended]
    if not runs and not (now and left):
        queued = "".join(f"; batch job {batch_job} is to run it: --now cancels it" for batch_job in left)
        raise MpingestError(f"nobody runs job {job.name}: there is nothing to stop{queued}")
    if left:
        cancel([batch_job.id for batch_job in left])
    return Asked(holder if runs else None, left)


def wait_until_ended(job: JobDirectory, holder: Holder) -> None:
    """Sleep until the run of ``holder``, which lives, has ended, if only because it died."""
    while job.held() == holder:
        time.sleep(_WAIT_SECONDS)
