"""Durations as people and batch systems write them."""

from __future__ import annotations

import re

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)
_WITH_UNITS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII | re.IGNORECASE)
_WITH_DAYS = re.compile(r"(\d+)-(\d+)(?::(\d+))?(?::(\d+))?", re.ASCII)
_WITH_COLONS = re.compile(r"(?:(\d+):)?(\d+):(\d+)", re.ASCII)


def seconds_of(text: str) -> float | None:
    """Of 90, 90s, 1h30m, or as Slurm writes it: MM:SS, HH:MM:SS, D-HH[:MM[:SS]]; None where it is none of these."""
    if _SECONDS.fullmatch(text):
        return float(text)
    for form in (_WITH_UNITS, _WITH_DAYS):
        if text and (match := form.fullmatch(text)):
            return sum(int(part or 0) * unit for part, unit in zip(match.groups(), _UNITS.values(), strict=True))
    if match := _WITH_COLONS.fullmatch(text):
        return sum(int(part or 0) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True))
    return None
