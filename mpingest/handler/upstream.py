"""The names that scripts for the iRODS Automated Ingest Framework import, whether or not that is installed."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any, NoReturn

from mpingest.handler import core, operations

PACKAGE = "irods_capability_automated_ingest"


def provide_upstream_names() -> None:
    """Let ``irods_capability_automated_ingest.core``, ``.utils`` and ``.redis_utils`` be those of mpingest.

    Other modules of the package are its own, where it is installed.
    """
    spec = importlib.util.find_spec(PACKAGE) if PACKAGE not in sys.modules else None
    package = sys.modules.setdefault(PACKAGE, ModuleType(PACKAGE))
    if not hasattr(package, "__path__"):
        package.__path__ = list(spec.submodule_search_locations or ()) if spec else []
    _provide("core", Core=core.Core)
    _provide("utils", Operation=operations.Operation, DeleteMode=operations.DeleteMode)
    _provide("redis_utils", get_redis=get_redis)


def get_redis(*_args: Any, **_options: Any) -> NoReturn:
    """There is no Redis. Raises RuntimeError that says what to use instead."""
    raise RuntimeError(
        "get_redis(): mpingest has no Redis. What changed is known from the job's checkpoint; "
        "for retries use max_retries() and delay(); keep counts or state of your own in a file or a database"
    )


def _provide(name: str, **names: Any) -> None:
    module = ModuleType(f"{PACKAGE}.{name}")
    vars(module).update(names)
    sys.modules[module.__name__] = module
    setattr(sys.modules[PACKAGE], name, module)
