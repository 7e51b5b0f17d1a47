"""Loading a user's script."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType
from typing import Any

from mpingest.errors import MpingestError
from mpingest.handler.calls import Defaults, Handler
from mpingest.handler.charmap import CharacterMap
from mpingest.handler.upstream import provide_upstream_names

HANDLER_CLASS = "event_handler"


@lru_cache
def load_handler(path: str, defaults: Defaults) -> Handler:
    """Load the class ``event_handler`` of the script at ``path``, once in a process.

    Raises MpingestError: one line that says what is wrong with the script.
    """
    provide_upstream_names()
    with process_state_kept():
        module = _import_script(path)
        handler_class = getattr(module, HANDLER_CLASS, None)
        if not isinstance(handler_class, type):
            raise MpingestError(f"event handler {path}: defines no class {HANDLER_CLASS!r}")
        methods = {
            name: getattr(handler_class, name)
            for name in dir(handler_class)
            if not name.startswith("_") and callable(getattr(handler_class, name))
        }
        character_map = _character_map(path, handler_class) if "character_map" in methods else None
    return Handler(defaults, module, handler_class, methods, character_map)


@contextmanager
def process_state_kept() -> Iterator[None]:
    """Whatever a script does meanwhile to the working directory and to signal handlers is undone."""
    directory = os.getcwd()
    # Only the main thread can change them.
    handlers = _signal_handlers() if threading.current_thread() is threading.main_thread() else {}
    try:
        yield
    finally:
        os.chdir(directory)
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _signal_handlers() -> dict[int, Any]:
    handlers = {int(number): signal.getsignal(number) for number in signal.valid_signals()}
    # One that wasn't set from Python (None) couldn't be put back.
    return {number: handler for number, handler in handlers.items() if handler is not None}


def _character_map(path: str, handler_class: type) -> CharacterMap:
    try:
        return CharacterMap.of(handler_class.character_map())  # type: ignore[attr-defined]
    except ValueError as error:
        raise MpingestError(f"event handler {path}: character_map(): {error}") from error
    except (Exception, SystemExit) as error:
        reason = f"character_map() raised {type(error).__name__}: {error}"
        raise MpingestError(f"event handler {path}: {reason}") from error


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
        if not os.path.exists(path):
            raise MpingestError(f"event handler {path}: no such file") from error
        raise MpingestError(f"event handler {path}: {error}") from error
    except SyntaxError as error:
        raise MpingestError(f"event handler {path}: syntax error in line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise MpingestError(f"event handler {path}: cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.dont_write_bytecode = writes_bytecode
    return module
