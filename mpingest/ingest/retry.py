"""When a request is tried again, and when the zone is given up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from mpingest.errors import ExitCode, MpingestError
from mpingest.ingest.statuses import RequestError, Verdict

BUSY_TRIES = 4
FIRST_DELAY = 0.25
LONGEST_DELAY = 15.0


class ZoneGone(MpingestError):
    """The zone has not answered for longer than the run may wait."""

    exit_code = ExitCode.STOPPED_EARLY


Answer = TypeVar("Answer")


class Pause(Protocol):
    """The part of ``threading.Event`` that is used."""

    def wait(self, timeout: float) -> bool:
        """Sleep at most ``timeout`` seconds; whether the event is set."""


class Interrupted(Exception):
    """The run ends while a request waits to be tried again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to go on.

    zone_timeout: seconds to wait for a zone that doesn't answer at all
    ending:       set when the run ends: then nothing is tried again
    """

    zone_timeout: float
    ending: Pause
    clock: Callable[[], float] = time.monotonic

    def run(self, request: Callable[[], Answer]) -> Answer:
        """Call until it succeeds, with growing, jittered pauses.

        Raises the last RequestError, ZoneGone, Interrupted.
        """
        began = self.clock()
        tries = 0
        while True:
            try:
                return request()
            except RequestError as error:
                tries += 1
                if error.verdict is Verdict.TRANSIENT:
                    self._check_patience(self.clock() - began, error)
                elif error.verdict is not Verdict.BUSY or tries >= BUSY_TRIES:
                    raise
            delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** (tries - 1))
            if self.ending.wait(delay * random.uniform(0.5, 1.0)):  # noqa: S311
                raise Interrupted

    def _check_patience(self, waited: float, error: RequestError) -> None:
        if waited > self.zone_timeout:
            raise ZoneGone(
                f"the zone has not answered for {waited:.0f} s ({error}): run the same line again when it is back"
            ) from error
