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
    """In the catalog, but not as the operation wants it, and not (or not surely) by our doing."""
    CHANGED = 2
    """Ours, and the file has changed since."""
    METADATA = 3
    """Ours; only the file's ctime has changed since."""


class Request(Enum):
    """What is asked of the zone."""

    NOTHING = auto()
    REGISTER = auto()
    UPDATE = auto()
    RECONCILE = auto()
    """Look at the replicas, then adopt or update the one with our physical path."""
    PUT = auto()
    OVERWRITE = auto()


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
_HOOKS_ONLY = Action(Request.NOTHING, Hook.MODIFY)

ACTIONS: dict[Operation, dict[Situation, Action]] = {
    Operation.REGISTER_SYNC: {
        Situation.ABSENT: Action(Request.REGISTER, Hook.CREATE),
        Situation.FOUND: Action(Request.RECONCILE, Hook.MODIFY),
        Situation.CHANGED: Action(Request.UPDATE, Hook.MODIFY),
        Situation.METADATA: _HOOKS_ONLY,
    },
    Operation.PUT: {
        Situation.ABSENT: Action(Request.PUT, Hook.CREATE),
        Situation.FOUND: Action(Request.OVERWRITE, Hook.MODIFY),
        Situation.CHANGED: _LEAVE,
        Situation.METADATA: _HOOKS_ONLY,
    },
    Operation.PUT_SYNC: {
        Situation.ABSENT: Action(Request.PUT, Hook.CREATE),
        Situation.FOUND: Action(Request.OVERWRITE, Hook.MODIFY),
        Situation.CHANGED: Action(Request.OVERWRITE, Hook.MODIFY),
        Situation.METADATA: _HOOKS_ONLY,
    },
    Operation.NO_OP: {
        Situation.ABSENT: Action(Request.NOTHING, Hook.CREATE),
        Situation.FOUND: _HOOKS_ONLY,
        Situation.CHANGED: _HOOKS_ONLY,
        Situation.METADATA: _HOOKS_ONLY,
    },
}
"""The operations that can be run, and what each does in each situation."""
