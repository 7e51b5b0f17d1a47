"""Which steps an entry takes: one pure table from operation and situation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from mpingest.handler.operations import Operation


class Situation(IntEnum):
    """What is known of an entry's data object before anything is sent; travels as uint8."""

    ABSENT = 0
    """Not in the catalog, as far as known."""
    FOUND = 1
    """In the catalog, but not as the file is, and not (or not surely) by our doing."""
    ELSEWHERE = 2
    """In the catalog, but without a replica of this file."""
    CHANGED = 3
    """Ours, and the file has changed since."""
    UNSETTLED = 4
    """Ours, but the file changed while it was ingested, or too soon after to tell."""
    METADATA = 5
    """Ours; only the file's ctime has changed since."""
    MOVED = 6
    """Ours; it has moved along with its collection, as the file has with its directory."""
    MOVED_CHANGED = 7
    """The same, and the file has changed since it was recorded, or soon after."""


class Request(Enum):
    """What is asked of the zone."""

    NOTHING = auto()
    KEEP = auto()
    """Nothing, and what is recorded stays, too: the object is what the file was, and may have to follow it later."""
    REGISTER = auto()
    UPDATE = auto()
    """Size and mtime of our replica, as its number is recorded."""
    RELOCATE = auto()
    """The path of its file."""
    RELOCATE_AND_UPDATE = auto()
    """All three."""
    RECONCILE = auto()
    """Look at the replicas, then register, or update the one with our physical path."""
    REGISTER_REPLICA = auto()
    """One more replica of an object that is there."""
    PUT = auto()
    OVERWRITE = auto()
    APPEND = auto()
    """Only what the file has more than the object."""


class Hook(Enum):
    """Which pair of handler methods is called around it; the value is the part after pre_ and post_."""

    NONE = ""
    CREATE = "data_obj_create"
    MODIFY = "data_obj_modify"


@dataclass(frozen=True, slots=True)
class Action:
    """A request with its hooks around it."""

    request: Request
    hook: Hook


_LEAVE = Action(Request.NOTHING, Hook.NONE)
_KEEP = Action(Request.KEEP, Hook.NONE)
_HOOKS_ONLY = Action(Request.NOTHING, Hook.MODIFY)
_PUT = Action(Request.PUT, Hook.CREATE)
_OVERWRITE = Action(Request.OVERWRITE, Hook.MODIFY)
_RECONCILE = Action(Request.RECONCILE, Hook.MODIFY)
_RELOCATE = Action(Request.RELOCATE, Hook.NONE)
_RELOCATE_AND_UPDATE = Action(Request.RELOCATE_AND_UPDATE, Hook.MODIFY)

ACTIONS: dict[Operation, dict[Situation, Action]] = {
    Operation.REGISTER_SYNC: {
        Situation.ABSENT: Action(Request.REGISTER, Hook.CREATE),
        Situation.FOUND: _RECONCILE,
        Situation.ELSEWHERE: _RECONCILE,
        Situation.CHANGED: Action(Request.UPDATE, Hook.MODIFY),
        Situation.UNSETTLED: Action(Request.UPDATE, Hook.MODIFY),
        Situation.METADATA: _HOOKS_ONLY,
        Situation.MOVED: _RELOCATE,
        Situation.MOVED_CHANGED: _RELOCATE_AND_UPDATE,
    },
    Operation.REGISTER_AS_REPLICA_SYNC: {
        Situation.ABSENT: Action(Request.REGISTER, Hook.CREATE),
        Situation.FOUND: _RECONCILE,
        Situation.ELSEWHERE: Action(Request.REGISTER_REPLICA, Hook.CREATE),
        Situation.CHANGED: Action(Request.UPDATE, Hook.MODIFY),
        Situation.UNSETTLED: Action(Request.UPDATE, Hook.MODIFY),
        Situation.METADATA: _HOOKS_ONLY,
        Situation.MOVED: _RELOCATE,
        Situation.MOVED_CHANGED: _RELOCATE_AND_UPDATE,
    },
    Operation.PUT: {
        Situation.ABSENT: _PUT,
        Situation.FOUND: _OVERWRITE,
        Situation.ELSEWHERE: _OVERWRITE,
        Situation.CHANGED: _KEEP,
        Situation.UNSETTLED: _OVERWRITE,
        Situation.METADATA: _HOOKS_ONLY,
        Situation.MOVED: _LEAVE,
        Situation.MOVED_CHANGED: _OVERWRITE,
    },
    Operation.PUT_SYNC: {
        Situation.ABSENT: _PUT,
        Situation.FOUND: _OVERWRITE,
        Situation.ELSEWHERE: _OVERWRITE,
        Situation.CHANGED: _OVERWRITE,
        Situation.UNSETTLED: _OVERWRITE,
        Situation.METADATA: _HOOKS_ONLY,
        Situation.MOVED: _LEAVE,
        Situation.MOVED_CHANGED: _OVERWRITE,
    },
    Operation.PUT_APPEND: {
        Situation.ABSENT: _PUT,
        Situation.FOUND: _OVERWRITE,
        Situation.ELSEWHERE: _OVERWRITE,
        Situation.CHANGED: Action(Request.APPEND, Hook.MODIFY),
        Situation.UNSETTLED: _OVERWRITE,
        Situation.METADATA: _HOOKS_ONLY,
        Situation.MOVED: _LEAVE,
        Situation.MOVED_CHANGED: _OVERWRITE,
    },
    Operation.NO_OP: {
        Situation.ABSENT: Action(Request.NOTHING, Hook.CREATE),
        Situation.FOUND: _HOOKS_ONLY,
        Situation.ELSEWHERE: _HOOKS_ONLY,
        Situation.CHANGED: _HOOKS_ONLY,
        Situation.UNSETTLED: _HOOKS_ONLY,
        Situation.METADATA: _HOOKS_ONLY,
        Situation.MOVED: _LEAVE,
        Situation.MOVED_CHANGED: _HOOKS_ONLY,
    },
}
"""What each operation does in each situation."""
