"""Faults on demand: requests that fail, connections that drop, crashes, agents that die, waits, refused logins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Action(StrEnum):
    """What a fault does to the request that it hits."""

    FAIL = "fail"
    """Answer with ``status`` instead."""
    DROP_BEFORE = "drop-before"
    """Close the connection, nothing done."""
    DROP_AFTER = "drop-after"
    """Do it, commit it, then close the connection without an answer."""
    CRASH = "crash"
    """Do it, commit it, then the whole server dies of SIGKILL."""
    DIE = "die"
    """The agent dies, nothing done: what it has open stays locked in the catalog, as if somebody wrote it."""
    DELAY = "delay"
    """Wait ``seconds`` first."""


ANY_API = 0


@dataclass
class Fault:
    """Hits the requests of one API (0: any) after the first ``skip``, then every ``every``-th, ``times`` times at most.

    times: None for no end
    """

    action: Action
    api: int = ANY_API
    status: int = 0
    seconds: float = 0.0
    skip: int = 0
    every: int = 1
    times: int | None = 1
    _seen: int = field(default=0, repr=False)
    _hits: int = field(default=0, repr=False)

    def hits(self, api: int) -> bool:
        """Whether it hits this request; to be asked once for each."""
        if self.api not in {ANY_API, api} or self._hits == self.times:
            return False
        self._seen += 1
        if self._seen <= self.skip or (self._seen - self.skip - 1) % self.every:
            return False
        self._hits += 1
        return True

    @classmethod
    def read(cls, values: dict[str, Any]) -> Fault:
        """From the public fields, as ``as_dict`` gives them. Raises TypeError or ValueError."""
        return cls(**(values | {"action": Action(values["action"])}))

    def as_dict(self) -> dict[str, Any]:
        """The public fields."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}


class Faults:
    """The faults that are on, and the limits on logins, connections and requests at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._freed = threading.Condition()
        self._under_way = 0
        self._max_parallel: int | None = None
        self.refuse_logins = False
        self.max_connections: int | None = None

    @property
    def max_parallel(self) -> int | None:
        """Requests that are done at a time, all others wait for their turn; None for any number."""
        return self._max_parallel

    @max_parallel.setter
    def max_parallel(self, number: int | None) -> None:
        with self._freed:
            self._max_parallel = number
            self._freed.notify_all()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A request's turn to be done, delays included."""
        with self._freed:
            self._freed.wait_for(lambda: self._max_parallel is None or self._under_way < self._max_parallel)
            self._under_way += 1
        try:
            yield
        finally:
            with self._freed:
                self._under_way -= 1
                self._freed.notify()

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Switch everything off."""
        with self._lock:
            self._faults.clear()
            self.refuse_logins, self.max_connections = False, None
        self.max_parallel = None

    def hitting(self, api: int) -> list[Fault]:
        """The faults that hit this request."""
        if not self._faults:
            return []
        with self._lock:
            return [fault for fault in self._faults if fault.hits(api)]
