"""Which of the two implementations reads and stats: the compiled one where it was built, else the one in Python."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

NATIVE_VARIABLE = "MPINGEST_NATIVE"
"""Environment variable: 0 keeps the compiled implementation from being used."""


def _reason_not_native() -> str | None:
    if os.environ.get(NATIVE_VARIABLE) == "0":
        return f"{NATIVE_VARIABLE}=0"
    try:
        import_module("mpingest.scan._native")
    except ModuleNotFoundError:
        return "not built when mpingest was installed: that takes a C compiler"
    except ImportError as error:
        return str(error)
    return None


WHY_NOT_NATIVE = _reason_not_native()
"""Why scans run in Python, None if they don't."""
NATIVE = WHY_NOT_NATIVE is None
"""Whether the compiled implementation is in use."""

if TYPE_CHECKING or NATIVE:
    from mpingest.scan._native import NameReader, StatBatch
else:
    from mpingest.scan._portable import NameReader, StatBatch

__all__ = ["NATIVE", "NATIVE_VARIABLE", "WHY_NOT_NATIVE", "NameReader", "StatBatch"]
