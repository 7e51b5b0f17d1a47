"""Who writes which data object now: at most one replica of it, through any number of descriptors with one token."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field


@dataclass
class Writer:
    """number: of the replica that is written; token: with which others may write it too."""

    number: int
    token: str = field(default_factory=lambda: str(uuid.uuid4()))


class Writers:
    """Writers by data id. To be used inside a transaction: the catalog's lock is the lock."""

    def __init__(self) -> None:
        self._by_object: dict[int, Writer] = {}

    def of(self, data_id: int) -> Writer | None:
        """Who writes that object, if anyone."""
        return self._by_object.get(data_id)

    def begin(self, data_id: int, number: int) -> Writer:
        """Lock the object for one replica."""
        writer = Writer(number)
        self._by_object[data_id] = writer
        return writer

    def end(self, data_id: int) -> None:
        """Unlock it."""
        self._by_object.pop(data_id, None)
