"""The methods of a handler, called with the signatures that scripts are written for; their answers, checked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol, TypeVar

from mpingest.handler.charmap import CharacterMap
from mpingest.handler.declared import Avu, Permission, avus_of, permissions_of, sendable
from mpingest.handler.operations import DeleteMode, Operation

_ON_METADATA_CHANGE = ("pre_data_obj_modify", "post_data_obj_modify", "metadata", "acl")
_FOR_SINGLE_OBJECTS = ("pre_data_obj_create", "post_data_obj_create", "metadata", "acl", "collection_for", "timeout")

Meta = dict[str, Any]
User = tuple[str, str]
"""Zone and name of a user."""
Answer = TypeVar("Answer")


def object_options(operation: Operation, *, one_more_replica: bool = False) -> dict[str, Any]:
    """``options`` of the hooks around an object's request, as the framework fills them."""
    if operation is Operation.NO_OP:
        return {}
    return {"allow_redirect": False} | ({"regRepl": ""} if one_more_replica else {})


class Logger(Protocol):
    """What a logger of a handler can do (structlog's methods)."""

    def debug(self, event: str, **fields: Any) -> Any: ...  # noqa: D102
    def info(self, event: str, **fields: Any) -> Any: ...  # noqa: D102
    def warning(self, event: str, **fields: Any) -> Any: ...  # noqa: D102
    def error(self, event: str, **fields: Any) -> Any: ...  # noqa: D102


class HandlerFailure(Exception):
    """A handler method raised, or returned what it may not."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What holds where there is no script, or the script doesn't say. user: None for the one who runs the job."""

    operation: Operation = Operation.REGISTER_SYNC
    delete_mode: DeleteMode = DeleteMode.DO_NOT_DELETE
    user: User | None = None


@dataclass(frozen=True)
class Handler:
    """A loaded script; with no script, every method answers its default. See ``Core`` for what each one means.

    Every method raises HandlerFailure where the script's raises or returns what it may not.

    methods: what the script defines, by name; character_map: None where it defines none.
    """

    defaults: Defaults = field(default_factory=Defaults)
    module: ModuleType | None = None
    event_handler: type | None = None
    methods: dict[str, Callable[..., Any]] = field(default_factory=dict)
    character_map: CharacterMap | None = None

    def has(self, name: str) -> bool:
        """Whether the script defines a method."""
        return name in self.methods

    @property
    def wants_metadata_changes(self) -> bool:
        """Whether an entry of which only the ctime has changed makes a difference to the script."""
        return any(map(self.has, _ON_METADATA_CHANGE))

    @property
    def wants_changed_directories(self) -> bool:
        """Whether a directory in which something came or went makes a difference to the script."""
        return self.has("pre_coll_modify") or self.has("post_coll_modify")

    @property
    def wants_new_directories(self) -> bool:
        """Whether a directory whose collection is made makes a difference to the script."""
        return self.has("pre_coll_create") or self.has("post_coll_create")

    @property
    def wants_single_puts(self) -> bool:
        """Whether the script does something about each object, or may take its time, so that none goes in a bundle."""
        return any(map(self.has, _FOR_SINGLE_OBJECTS))

    @property
    def may_delete(self) -> bool:
        """Whether anything that is gone may have to be deleted."""
        return self.has("delete_mode") or self.defaults.delete_mode is not DeleteMode.DO_NOT_DELETE

    # What to do.

    def operation(self, session: Any, meta: Meta) -> Operation:
        """The operation for an entry."""
        if "operation" not in self.methods:
            return self.defaults.operation
        answer = self._call("operation", session, meta)
        if not isinstance(answer, Operation):
            raise HandlerFailure(f"operation() returned {answer!r}, not an Operation")
        return answer

    def delete_mode(self, meta: Meta) -> DeleteMode:
        """What to do about an entry that is gone."""
        if "delete_mode" not in self.methods:
            return self.defaults.delete_mode
        answer = self._call("delete_mode", meta)
        if not isinstance(answer, DeleteMode):
            raise HandlerFailure(f"delete_mode() returned {answer!r}, not a DeleteMode")
        return answer

    def to_resource(self, session: Any, meta: Meta) -> str | None:
        """The resource to write to, None for the default."""
        return self._text("to_resource", session, meta)

    def target_path(self, session: Any, meta: Meta) -> str | None:
        """The physical path as the server sees it, None for the path as scanned."""
        return self._text("target_path", session, meta)

    def collection_for(self, meta: Meta) -> str | None:
        """The collection of a file, absolute or below the target, None for that of its directory."""
        return self._text("collection_for", meta)

    def as_user(self, meta: Meta) -> User | None:
        """Whose object it is to be, None for the user who runs the job."""
        if "as_user" not in self.methods:
            return self.defaults.user
        answer = self._call("as_user", meta)
        if answer is None:
            return self.defaults.user
        if not isinstance(answer, list | tuple) or len(answer) != 2 or not all(map(sendable, answer)):
            raise HandlerFailure(f"as_user() returned {answer!r}, not a zone and a user")
        zone, name = answer
        return zone, name

    def metadata(self, meta: Meta) -> tuple[Avu, ...]:
        """Metadata of the entry's object."""
        return self._declared("metadata", meta, avus_of)

    def acl(self, meta: Meta) -> tuple[Permission, ...]:
        """Permissions on the entry's object."""
        return self._declared("acl", meta, permissions_of)

    # How long, how often.

    def max_retries(self, logger: Logger, meta: Meta) -> int:
        """How many times a failed entry is tried again."""
        return math.floor(self._number("max_retries", logger, meta))

    def delay(self, logger: Logger, meta: Meta, retries: int) -> float:
        """Seconds before the entry's ``retries``-th try again (1, 2, …)."""
        return self._number("delay", logger, meta, retries)

    def timeout(self, logger: Logger, meta: Meta) -> float:
        """Seconds that an entry may take, 0 for any."""
        return self._number("timeout", logger, meta)

    # Before and after.

    def hook(self, name: str, logger: Logger, session: Any, meta: Meta, *operation: Operation, **options: Any) -> None:
        """Call pre_/post_… of an entry if the script has it. options: see ``object_options``; none for collections."""
        if name in self.methods:
            self._call(name, self.module, logger, session, dict(meta), *operation, **options)

    def delete_hook(self, name: str, session: Any, meta: Meta) -> None:
        """Call pre_/post_…_delete if the script has it; the framework gives these no logger."""
        if name in self.methods:
            self._call(name, self.module, session, dict(meta))

    def job_hook(self, name: str, logger: Logger, meta: Meta) -> None:
        """Call pre_job or post_job if the script has it."""
        if name in self.methods:
            self._call(name, self.event_handler, logger, dict(meta))

    def _number(self, name: str, *args: Any) -> float:
        if name not in self.methods:
            return 0
        answer = self._call(name, self.event_handler, *args)
        if answer is None:
            return 0
        if not isinstance(answer, int | float) or isinstance(answer, bool) or not 0 <= answer < math.inf:
            raise HandlerFailure(f"{name}() returned {answer!r}, not a number of at least 0")
        return answer

    def _text(self, name: str, *args: Any) -> str | None:
        if name not in self.methods:
            return None
        answer = self._call(name, *args)
        if answer is None or (isinstance(answer, str) and sendable(answer)):
            return answer
        raise HandlerFailure(f"{name}() returned {answer!r}, not a string that iRODS can hold")

    def _declared(self, name: str, meta: Meta, checked: Callable[[Any], tuple[Answer, ...]]) -> tuple[Answer, ...]:
        if name not in self.methods:
            return ()
        answer = self._call(name, dict(meta))
        try:
            return checked(answer)
        except ValueError as error:
            raise HandlerFailure(f"{name}(): {error}") from error

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        try:
            return self.methods[name](*args, **options)
        except (Exception, SystemExit) as error:
            raise HandlerFailure(f"{name}() raised {type(error).__name__}: {error}") from error
