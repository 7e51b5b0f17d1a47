"""Figures as people read them."""

from __future__ import annotations

import os


def human_bytes(count: float) -> str:
    """Bytes with a decimal unit."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} PB"


def shown_path(path: bytes) -> str:
    """A path on one line, whatever it holds; "." for the root as a relative one."""
    text = os.fsdecode(path) or "."
    return text if text.isprintable() else repr(text)
