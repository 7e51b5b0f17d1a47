"""What a handler can ask for. Names and values are those of the iRODS Automated Ingest Framework."""

from __future__ import annotations

from enum import Enum


class Operation(Enum):
    """What to do about an entry."""

    REGISTER_SYNC = 0
    REGISTER_AS_REPLICA_SYNC = 1
    PUT = 2
    PUT_SYNC = 3
    PUT_APPEND = 4
    NO_OP = 5

    @property
    def sends_content(self) -> bool:
        """Whether the bytes of a file travel (and not only its name and size)."""
        return self in (Operation.PUT, Operation.PUT_SYNC, Operation.PUT_APPEND)


class DeleteMode(Enum):
    """What to do about an object whose file is gone."""

    DO_NOT_DELETE = 0
    UNREGISTER = 1
    TRASH = 2
    NO_TRASH = 3
