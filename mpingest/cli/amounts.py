"""Callbacks of options that take amounts."""

from __future__ import annotations

import re

import click

MOST_SESSIONS = 4096
_UNITS = {prefix: 1000**power for power, prefix in enumerate(("", "k", "m", "g", "t"))}
_BINARY_UNITS = {f"{prefix}i": 1024**power for power, prefix in enumerate("kmgt", 1)}
_SIZE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmgt]i?|)b?(?:/s)?", re.IGNORECASE | re.ASCII)


def bytes_per_second(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """A number with or without a unit, "/s" understood. Raises BadParameter."""
    if value is None:
        return None
    match = _SIZE.fullmatch(value.strip())
    size = float(match[1]) * (_UNITS | _BINARY_UNITS)[match[2].lower()] if match else 0.0
    if not size:
        raise click.BadParameter(f"{value!r} is no number of bytes a second, such as 500MB/s or 100MiB/s")
    return size


def sessions_or_auto(_: click.Context, __: click.Parameter, value: str) -> int | None:
    """A number, or None for "auto". Raises BadParameter."""
    if value == "auto":
        return None
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= MOST_SESSIONS):
        raise click.BadParameter(f"{value!r} is neither auto nor a number from 1 to {MOST_SESSIONS}")
    return int(value)
