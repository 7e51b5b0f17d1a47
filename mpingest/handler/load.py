"""Loading a user's script and calling its methods with the signatures that scripts are written for."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType
from typing import Any, Protocol

from mpingest.errors import MpingestError
from mpingest.handler import core, operations
from mpingest.handler.operations import DeleteMode, Operation

HANDLER_CLASS = "event_handler"
REDIRECT_OPTIONS = {"allow_redirect": False}
UPSTREAM = "irods_capability_automated_ingest"


class Logger(Protocol):
    """What a logger of a handler can do (structlog's methods)."""

    def debug(self, event: str, **fields: Any) -> Any: ...  # noqa: D102
    def info(self, event: str, **fields: Any) -> Any: ...  # noqa: D102
    def warning(self, event: str, **fields: Any) -> Any: ...  # noqa: D102
    def error(self, event: str, **fields: Any) -> Any: ...  # noqa: D102


class HandlerFailure(Exception):
    """A handler method raised, or returned what it may not."""


@dataclass(frozen=True)
class Handler:
    """A loaded script; with no script, every method answers its default."""

    default_operation: Operation = Operation.REGISTER_SYNC
    default_delete_mode: DeleteMode = DeleteMode.DO_NOT_DELETE
    module: ModuleType | None = None
    methods: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def operation(self, session: Any, meta: dict[str, Any]) -> Operation:
        """The operation for an entry. Raises HandlerFailure where the script returns anything else."""
        if "operation" not in self.methods:
            return self.default_operation
        answer = self._call("operation", session, meta)
        if not isinstance(answer, Operation):
            raise HandlerFailure(f"operation() returned {answer!r}, not an Operation")
        return answer

    @property
    def may_delete(self) -> bool:
        """Whether anything that is gone may have to be deleted."""
        return self.has("delete_mode") or self.default_delete_mode is not DeleteMode.DO_NOT_DELETE

    def delete_mode(self, meta: dict[str, Any]) -> DeleteMode:
        """What to do about an entry that is gone. Raises HandlerFailure where the script returns anything else."""
        if not self.has("delete_mode"):
            return self.default_delete_mode
        answer = self._call("delete_mode", meta)
        if not isinstance(answer, DeleteMode):
            raise HandlerFailure(f"delete_mode() returned {answer!r}, not a DeleteMode")
        return answer

    def to_resource(self, session: Any, meta: dict[str, Any]) -> str | None:
        """The resource to write to, None for the default."""
        return self._text("to_resource", session, meta)

    def target_path(self, session: Any, meta: dict[str, Any]) -> str | None:
        """The physical path as the server sees it, None for the path as scanned."""
        return self._text("target_path", session, meta)

    def has(self, name: str) -> bool:
        """Whether the script defines a method."""
        return name in self.methods

    def hook(self, name: str, logger: Logger, session: Any, meta: dict[str, Any], *operation: Operation) -> None:
        """Call pre_/post_… if the script has it. Raises HandlerFailure."""
        if name not in self.methods:
            return
        # Collection hooks get no options: the framework calls them so.
        options = REDIRECT_OPTIONS if "data_obj" in name else {}
        self._call(name, self.module, logger, session, dict(meta), *operation, **options)

    def delete_hook(self, name: str, session: Any, meta: dict[str, Any]) -> None:
        """Call pre_/post_…_delete if the script has it; it gets no logger. Raises HandlerFailure."""
        if name in self.methods:
            options = REDIRECT_OPTIONS if "data_obj" in name else {}
            self._call(name, self.module, session, dict(meta), **options)

    def _text(self, name: str, session: Any, meta: dict[str, Any]) -> str | None:
        if name not in self.methods:
            return None
        answer = self._call(name, session, meta)
        if answer is None or isinstance(answer, str):
            return answer
        raise HandlerFailure(f"{name}() returned {answer!r}, not a string")

    def _call(self, name: str, *args: Any, **options: Any) -> Any:
        try:
            return self.methods[name](*args, **options)
        except HandlerFailure:
            raise
        except (Exception, SystemExit) as error:
            raise HandlerFailure(f"{name}() raised {type(error).__name__}: {error}") from error


@lru_cache
def load_handler(path: str, default_operation: Operation, default_delete_mode: DeleteMode) -> Handler:
    """Load the class ``event_handler`` of the script at ``path``, once in a process.

    Raises MpingestError: one line that says what is wrong with the script.
    """
    provide_upstream_names()
    module = _import_script(path)
    handler_class = getattr(module, HANDLER_CLASS, None)
    if not isinstance(handler_class, type):
        raise MpingestError(f"event handler {path}: defines no class {HANDLER_CLASS!r}")
    methods = {
        name: getattr(handler_class, name)
        for name in dir(handler_class)
        if not name.startswith("_") and callable(getattr(handler_class, name))
    }
    return Handler(default_operation, default_delete_mode, module, methods)


def _import_script(path: str) -> ModuleType:
    name = "mpingest_event_handler"
    spec = importlib.util.spec_from_file_location(name, path, loader=None)
    if spec is None or spec.loader is None:
        raise MpingestError(f"event handler {path}: not a Python file (its name must end in .py)")
    module = importlib.util.module_from_spec(spec)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError as error:
        if error.filename == path:
            raise MpingestError(f"event handler {path}: no such file") from error
        raise MpingestError(f"event handler {path}: {error}") from error
    except SyntaxError as error:
        raise MpingestError(f"event handler {path}: syntax error in line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise MpingestError(f"event handler {path}: cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.dont_write_bytecode = writes_bytecode
    return module


def provide_upstream_names() -> None:
    """Let scripts import ``irods_capability_automated_ingest.core`` and ``.utils`` where it isn't installed."""
    if UPSTREAM in sys.modules or importlib.util.find_spec(UPSTREAM) is not None:
        return
    package = ModuleType(UPSTREAM)
    package.__path__ = []
    utils = ModuleType(f"{UPSTREAM}.utils")
    utils.Operation = operations.Operation  # type: ignore[attr-defined]
    utils.DeleteMode = operations.DeleteMode  # type: ignore[attr-defined]
    base = ModuleType(f"{UPSTREAM}.core")
    base.Core = core.Core  # type: ignore[attr-defined]
    sys.modules |= {UPSTREAM: package, base.__name__: base, utils.__name__: utils}
