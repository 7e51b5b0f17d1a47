"""How many of something a second a rank may do: a token bucket, whose rate can change while threads wait for it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

BURST_SECONDS = 0.02
"""What was not used of the rate can be used this much later, at most."""


@dataclass(slots=True)
class TokenBucket:
    """``rate`` tokens a second, of which at most those of ``BURST_SECONDS`` are kept (but one, always).

    tokens: those there at the time ``at``, in seconds; less than none are owed
    """

    rate: float
    at: float
    tokens: float = 0.0

    @property
    def capacity(self) -> float:
        """Tokens that are kept at most."""
        return max(1.0, self.rate * BURST_SECONDS)

    def take(self, most: int, now: float) -> int:
        """Takes whole tokens, at most so many; 0 where there is none."""
        self._refill(now)
        taken = max(0, min(most, math.floor(self.tokens)))
        self.tokens -= taken
        return taken

    def spend(self, amount: int, now: float) -> bool:
        """Takes so many at once, once there is one: those that are missing are owed. Whether there was one."""
        if not self.take(1, now):
            return False
        self.tokens -= amount - 1
        return True

    def delay(self) -> float:
        """Seconds from ``at`` until there is a token: infinite where the rate is 0."""
        missing = max(0.0, 1.0 - self.tokens)
        return missing / self.rate if self.rate else math.inf

    def change(self, rate: float, now: float) -> None:
        """Another rate from now on."""
        self._refill(now)
        self.rate = rate
        self.tokens = min(self.tokens, self.capacity)

    def _refill(self, now: float) -> None:
        self.tokens = min(self.capacity, self.tokens + (now - self.at) * self.rate)
        self.at = now


class Rate:
    """How many a second one rank may do, with all its threads; unlimited until ``set``."""

    def __init__(self, per_second: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._bucket: TokenBucket | None = None
        self._closed = False
        self.set(per_second)

    def set(self, per_second: float) -> None:
        """Another rate from now on; 0 pauses. Threads that wait do so by the new one. Raises ValueError."""
        if not per_second >= 0:
            raise ValueError(f"a rate of {per_second} a second")
        with self._changed:
            if math.isinf(per_second):
                self._bucket = None
            elif self._bucket is None:
                self._bucket = TokenBucket(per_second, self._clock())
            else:
                self._bucket.change(per_second, self._clock())
            self._changed.notify_all()

    @property
    def limited(self) -> bool:
        """Whether there is a limit."""
        return self._bucket is not None

    def take(self, most: int) -> int:
        """Waits until at least one may be done, and gives how many may, at most ``most``; 0 once closed."""
        with self._changed:
            while not self._closed:
                if self._bucket is None:
                    return most
                if taken := self._bucket.take(most, self._clock()):
                    return taken
                delay = self._bucket.delay()
                self._changed.wait(None if math.isinf(delay) else delay)
            return 0

    def spend(self, amount: int) -> None:
        """Waits until what was spent before is paid off, and spends so many (>= 1)."""
        with self._changed:
            while not (self._closed or self._bucket is None or self._bucket.spend(amount, self._clock())):
                delay = self._bucket.delay()
                self._changed.wait(None if math.isinf(delay) else delay)

    def give_back(self, count: int) -> None:
        """So many of those taken were not done."""
        with self._changed:
            if count and self._bucket is not None:
                self._bucket.tokens += count

    def close(self) -> None:
        """Nobody waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
