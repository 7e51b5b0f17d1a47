"""What tells all who wait that the run ends."""

from __future__ import annotations

import threading


class Ending(threading.Event):
    """Set when the run ends. is_awaited: whether requests wait to be tried again, unless it ends before."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = 0
        self._lock = threading.Lock()

    @property
    def is_awaited(self) -> bool:  # noqa: D102
        return self._waiting > 0

    def wait(self, timeout: float | None = None) -> bool:
        """Sleep at most that long; whether the run ends."""
        self._add(1)
        try:
            return super().wait(timeout)
        finally:
            self._add(-1)

    def _add(self, number: int) -> None:
        with self._lock:
            self._waiting += number
