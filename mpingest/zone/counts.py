"""How many requests of each API there were, and how many of them changed the catalog."""

from __future__ import annotations

import threading
from collections import Counter


class Counts:
    """Thread-safe counters by API number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[int] = Counter()
        self._changes: Counter[int] = Counter()
        self._connections = 0

    def count(self, api: int, *, changed: bool) -> None:
        """One request more."""
        with self._lock:
            self._requests[api] += 1
            if changed:
                self._changes[api] += 1

    def connected(self) -> int:
        """One connection more; how many there are now."""
        with self._lock:
            self._connections += 1
            return self._connections

    def disconnected(self) -> None:
        """One connection less."""
        with self._lock:
            self._connections -= 1

    def reset(self) -> None:
        """Start counting requests from 0."""
        with self._lock:
            self._requests.clear()
            self._changes.clear()

    def snapshot(self) -> tuple[Counter[int], Counter[int], int]:
        """Requests, those that changed the catalog, open connections."""
        with self._lock:
            return self._requests.copy(), self._changes.copy(), self._connections
