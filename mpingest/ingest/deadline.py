"""The time one entry may take.

A Python call that is stuck cannot be killed. So an entry with a limit is worked on by a thread of its own, which is
left behind when the time is up: the entry fails, its session thread goes on with the next. What was left behind can
do no more harm through mpingest: each of its requests looks at the deadline first, and waits for a reply no longer.
What the script does by itself, with its session or with files, goes on until its call returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar

MOST_STUCK = 32
"""Calls of a rank that may be stuck before entries with a limit are no longer begun."""

Answer = TypeVar("Answer")


class TookTooLong(Exception):
    """The entry's time is up."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """seconds: what the entry was given; at: when they are over, on the monotonic clock."""

    seconds: float
    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Counted from now."""
        return cls(seconds, time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds left, > 0. Raises TookTooLong."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise TookTooLong(f"took longer than its timeout of {self.seconds:g} s")
        return left


@dataclass
class Watch:
    """Does work within a time. Safe for several threads."""

    _stuck: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, seconds: float, work: Callable[[Deadline], Answer]) -> Answer:
        """The answer of ``work``, or what it raises. Raises TookTooLong where it doesn't return in time."""
        self._check_stuck()
        deadline = Deadline.after(seconds)
        answer: Future[Answer] = Future()
        thread = threading.Thread(target=_settle, args=(answer, work, deadline), name="limited", daemon=True)
        thread.start()
        thread.join(seconds)
        if not answer.done():
            with self._lock:
                self._stuck.append(thread)
            raise TookTooLong(f"took longer than its timeout of {seconds:g} s")
        return answer.result()

    def _check_stuck(self) -> None:
        with self._lock:
            self._stuck = [thread for thread in self._stuck if thread.is_alive()]
            if len(self._stuck) >= MOST_STUCK:
                raise TookTooLong(f"not tried: {MOST_STUCK} calls for other entries are stuck in the event handler")


def _settle(answer: Future[Answer], work: Callable[[Deadline], Answer], deadline: Deadline) -> None:
    try:
        answer.set_result(work(deadline))
    except BaseException as error:  # whatever it is, it belongs to who waits
        answer.set_exception(error)
