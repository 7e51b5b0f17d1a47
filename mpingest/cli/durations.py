"""Durations on the command line."""

from __future__ import annotations

import click

from mpingest.jobs.durations import seconds_of


def duration(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Seconds, > 0, of what ``seconds_of`` takes. Raises BadParameter."""
    if value is None:
        return None
    seconds = seconds_of(value.strip())
    if not seconds:
        raise click.BadParameter(f"{value!r} is no duration, such as 90s, 30m, 1h30m, seconds, HH:MM:SS or D-HH:MM:SS")
    return seconds
