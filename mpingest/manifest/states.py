"""What happened to an entry since the last run (Change) and in this run (Outcome); what is known of a directory."""

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
    """No longer in the directory, still in the catalog. Code and lstat stay as they were; the change is DELETED, or

    MODIFIED where it was unsettled, or had failed.
    """
    REMOVED = 5
    """No longer anywhere: a merge drops the row."""
    RELEASED = 6
    """Ingested, verified, and then its file was taken away by us: the object stays, whatever is gone.

    Recorded before the file goes: one that is still there has not been taken away, or has come back. Also of a
    directory that was emptied so.
    """


HAD_OBJECT = (Change.MODIFIED, Change.METADATA)
"""The changes with which a failure is recorded of what had been brought in before: its object may still be there."""


class DirectoryState(IntEnum):
    """What a run left of a directory; stored as uint8."""

    UNKNOWN = 0
    """Entries of it are recorded, the directory itself is not: nothing is said about its collection."""
    COMPLETE = 1
    """Its collection exists and its scan had no error."""
    PARTIAL = 2
    """Its collection exists, its scan did not see everything."""
    FAILED = 3
    """Its collection could not be made, or the directory not be listed."""
