"""What all requests of a rank have in common: how many may be under way, how many a second, and what came of them.

A slot is the right to have a request under way, and a connection open: a gate counts both. What is done is counted by
kind of request, in units that cost a server about the same each, with the time that it took.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from irods.exception import NetworkException

from mpingest.ingest.retry import Interrupted
from mpingest.ingest.statuses import SUCCESS, is_overload
from mpingest.scan.rate import Rate


class Kind(IntEnum):
    """Kinds of requests, and the unit in which each is counted."""

    REGISTER = 0
    """Objects."""
    PUT = 1
    """Objects with content in one message, and opening and closing others."""
    CONTENT = 2
    """Bytes of content that make up most of a request."""
    EXTRACT = 3
    """Members of archives."""
    OTHER = 4
    """Requests."""


MUCH_CONTENT = 1024 * 1024
"""Bytes from which on a request is counted by its content."""


class Traffic:
    """Of one rank. Safe for several threads.

    gate: how many requests are under way; requests, content: how many of them, and bytes that they carry, a second
    """

    def __init__(self, slots: int = sys.maxsize) -> None:
        self.gate = Gate(slots)
        self.requests = Rate()
        self.content = Rate()
        self.counts = RequestCounts()

    def close(self) -> None:
        """Nobody waits any more, neither now nor later: who finds no slot is Interrupted."""
        self.gate.close()
        self.requests.close()
        self.content.close()


@dataclass(slots=True)
class RequestCounts:
    """requests: how many were sent; changes: those of them that change the catalog; overloads: those that the server

    had no means for.

    done: by ``Kind``, in its units, int64, shape (len(Kind),); took: nanoseconds from sending to reply, likewise
    squares: the sum of the squares of what each took, seconds²
    """

    requests: int = 0
    changes: int = 0
    overloads: int = 0
    done: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(Kind), np.int64))
    took: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(Kind), np.int64))
    squares: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sent(self, *, changes: bool) -> None:
        """One more."""
        with self._lock:
            self.requests += 1
            self.changes += changes

    def answered(self, status: int, kind: Kind, amount: int, seconds: float) -> None:
        """One came to its reply, or broke off."""
        with self._lock:
            self.overloads += is_overload(status)
            self.done[kind] += amount if status >= SUCCESS else 0
            self.took[kind] += int(seconds * 1e9)
            self.squares += seconds * seconds


class Full(Exception):
    """There is no free slot."""


class Gate:
    """Lets threads in that have a request to send, as many at a time as there are slots; their number can change.

    Each gets a connection of its session's pool. Where fewer threads are inside, connections stay open, but never more
    than there are slots, whatever their session.
    """

    def __init__(self, slots: int) -> None:
        self._changed = threading.Condition()
        self._slots = slots
        self._inside = 0
        self._waiting = 0
        self._helpers_wanted = 0
        self._closed = False
        self._connecting: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        """By session, threads that are inside and have no connection yet."""
        self._exceeded = False
        """Whether more connections were open than there are slots when somebody last looked."""

    @property
    def slots(self) -> int:
        """How many there are."""
        return self._slots

    @property
    def used(self) -> int:
        """Connections that are open or will be in a moment."""
        pools = [(session.pool, connecting) for session, connecting in list(self._connecting.items())]
        return sum(len(pool.active) + max(len(pool.idle), connecting) for pool, connecting in pools)

    @property
    def inside_or_waiting(self) -> int:
        """Threads inside, and those that would come in if they could."""
        return self._inside + self._waiting

    @property
    def is_withheld(self) -> bool:
        """Whether somebody waits, and there is no slot at all."""
        return self._waiting > 0 and not self._slots

    @property
    def helpers_wanted(self) -> int:
        """Slots with which what is under way would be done sooner."""
        return self._helpers_wanted

    @property
    def crowded(self) -> bool:
        """Whether somebody waits, or more are inside than should be: who only helps is to leave."""
        return self._waiting > 0 or self._inside > self._slots

    @property
    def has_room(self) -> bool:
        """Whether a slot is free that nobody waits for."""
        return self._waiting == 0 and self._inside < self._slots

    def resize(self, slots: int) -> None:
        """So many from now on. Who is inside stays there. Never waits."""
        with self._changed:
            self._slots = slots
            self._changed.notify_all()
        self.trim()

    def close(self) -> None:
        """Nobody waits any more: who finds no free slot is Interrupted."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def enter(self, session: Any, *, waits: bool = True) -> None:
        """Once there is a free slot. The caller is going to get a connection of the session, and says ``connected``.

        waits: else, raises Full where there is no free slot, or somebody waits for it. Raises Interrupted once closed.
        """
        with self._changed:
            if self._inside >= self._slots or (self._waiting and not waits):
                self._wait_for_slot(waits=waits)
            self._inside += 1
            connecting = self._connecting[session] = self._connecting.get(session, 0) + 1
        if connecting > len(session.pool.idle):  # there may be one more
            self.trim()

    def connected(self, session: Any) -> None:
        """The caller has its connection, or will have none."""
        with self._changed:
            self._connecting[session] -= 1

    def leave(self) -> None:
        """Whatever the caller had to do over its connection is done, and nobody uses that."""
        with self._changed:
            self._inside -= 1
            self._changed.notify()
        if self._exceeded:
            self.trim()

    @contextmanager
    def wanting(self, helpers: int) -> Iterator[None]:
        """What is under way could use so many more slots."""
        self._want(helpers)
        try:
            yield
        finally:
            self._want(-helpers)

    def trim(self) -> None:
        """Closes connections that nobody uses while too many are open. Never waits: who is connecting trims, too."""
        for session in list(self._connecting):
            while self.used > self._slots and len(session.pool.idle) > self._connecting[session]:
                if not _close_idle(session.pool):
                    break
        self._exceeded = self.used > self._slots

    def _wait_for_slot(self, *, waits: bool) -> None:
        if not waits:
            raise Full
        self._waiting += 1
        try:
            self._changed.wait_for(lambda: self._closed or self._inside < self._slots)
        finally:
            self._waiting -= 1
        if self._inside >= self._slots:
            raise Interrupted

    def _want(self, helpers: int) -> None:
        with self._changed:
            self._helpers_wanted += helpers


def _close_idle(pool: Any) -> bool:
    """Close a connection of a pool; False where there was none, or the pool is busy connecting."""
    if not pool._lock.acquire(blocking=False):
        return False
    try:
        connection = pool.idle.pop() if pool.idle else None
    finally:
        pool._lock.release()
    if connection is None:
        return False
    with suppress(NetworkException, OSError):
        connection.disconnect()
    return True
