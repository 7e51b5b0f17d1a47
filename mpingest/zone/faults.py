"""Faults on demand: a request that fails, a connection that drops, a wait, a refused login."""

from __future__ import annotations

import threading
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
    """The faults that are on, and the limits on logins and connections."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.refuse_logins = False
        self.max_connections: int | None = None

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Switch everything off."""
        with self._lock:
            self._faults.clear()
            self.refuse_logins, self.max_connections = False, None

    def hitting(self, api: int) -> list[Fault]:
        """The faults that hit this request."""
        if not self._faults:
            return []
        with self._lock:
            return [fault for fault in self._faults if fault.hits(api)]
