"""When a request is tried again, and when the zone is given up.

A request that breaks off tells little: was it the request, the connection, or is the zone gone? So once one has, a
thread of the rank asks the zone something else, on a connection of its own, and until there is an answer no thread
sends anything (a circuit breaker). No entry fails because the zone was away; one that breaks its connection again and
again while the zone answers is the entry's own trouble, and is reported.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from mpingest.errors import ExitCode, MpingestError
from mpingest.ingest.statuses import PASSING, RequestError, Verdict

BUSY_TRIES = 4
BROKEN_TRIES = 10
"""How often a request may break off, about a minute apart in the end, while the zone answers others."""
_TRIES = {Verdict.TRANSIENT: BROKEN_TRIES} | dict.fromkeys(PASSING, BUSY_TRIES)
FIRST_DELAY = 0.25
LONGEST_DELAY = 15.0
CLOSER_LOOK = 0.25
"""Seconds after which a thread that waits for the zone sees that it is back."""


class ZoneGone(MpingestError):
    """The zone has not answered for longer than the run may wait."""

    exit_code = ExitCode.STOPPED_EARLY


Answer = TypeVar("Answer")


class Ending(Protocol):
    """The part of ``threading.Event`` that is used; set when the run ends, whatever still waits."""

    def is_set(self) -> bool: ...  # noqa: D102
    def wait(self, timeout: float) -> bool:
        """Sleep at most ``timeout`` seconds; whether the event is set."""


class Interrupted(Exception):
    """The run ends before this has come to its end."""


@dataclass
class Breaker:
    """Keeps the threads of a rank from sending anything while the zone does not answer. Safe for several threads.

    probe:        asks the zone something. Raises RequestError
    zone_timeout: seconds to wait for a zone that doesn't answer
    ending:       set when the run ends: then nothing is waited for
    """

    probe: Callable[[], object]
    zone_timeout: float
    ending: Ending
    clock: Callable[[], float] = time.monotonic
    _probing: threading.Lock = field(default_factory=threading.Lock)

    def wait_until_closed(self) -> None:
        """Returns at once unless a thread is asking whether the zone is there. Raises Interrupted."""
        while self._probing.locked():
            self._pause(CLOSER_LOOK)

    def open(self) -> None:
        """A request broke off: returns once the zone answers this thread, or another. Raises ZoneGone, Interrupted."""
        if not self._probing.acquire(blocking=False):
            self.wait_until_closed()
            return
        try:
            self._ask()
        finally:
            self._probing.release()

    def pause_after(self, tries: int) -> None:
        """Wait the longer the more tries there were. Raises Interrupted."""
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (tries - 1))
        self._pause(delay * random.uniform(0.5, 1.0))  # noqa: S311

    def _ask(self) -> None:
        began = self.clock()
        tries = 0
        while True:
            try:
                self.probe()
            except RequestError as error:
                if error.verdict is not Verdict.TRANSIENT:
                    return  # that is an answer
                waited = self.clock() - began
                if waited > self.zone_timeout:
                    raise ZoneGone(f"the zone has not answered for {waited:.0f} s ({error})") from error
            else:
                return
            tries += 1
            self.pause_after(tries)

    def _pause(self, seconds: float) -> None:
        if self.ending.wait(seconds):
            raise Interrupted


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to go on."""

    breaker: Breaker

    @property
    def ending(self) -> Ending:
        """Set when the run ends: then nothing is tried again."""
        return self.breaker.ending

    def run(self, request: Callable[[], Answer]) -> Answer:
        """Call until it succeeds, with growing, jittered pauses.

        Raises the last RequestError, ZoneGone, Interrupted.
        """
        tries = 0
        while True:
            self.breaker.wait_until_closed()
            try:
                return request()
            except RequestError as error:
                tries += 1
                limit = _TRIES.get(error.verdict, 0)
                if tries >= limit:
                    raise
                if error.verdict is Verdict.TRANSIENT:
                    self.breaker.open()
            self.breaker.pause_after(tries)
