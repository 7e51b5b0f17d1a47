"""What happened to an entry since the last run (Change) and in this run (Outcome)."""

from __future__ import annotations

from enum import IntEnum


class Change(IntEnum):
    """How an entry compares with the checkpoint; stored as uint8."""

    UNCHANGED = 0
    NEW = 1
    MODIFIED = 2
    METADATA = 3
    """Only ctime differs: mode, owner or link count changed, the content did not."""
    RETRY = 4
    """The last outcome was a failure."""
    DELETED = 5
    """In the checkpoint, no longer in the directory."""


class Outcome(IntEnum):
    """What a run did about an entry; stored as uint8."""

    DONE = 0
    SKIPPED = 1
    """Left alone by rule (operation, type of entry)."""
    FAILED = 2
    UNSETTLED = 3
    """Done, but the entry changed meanwhile or too recently to tell; the next run takes it as modified."""
    GONE = 4
    """No longer in the directory, still in the catalog."""
    REMOVED = 5
    """No longer anywhere: a merge drops the row."""
