"""What commands have found, printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import click


def print_found(as_json: bool, to_json: Callable[[], Any], lines: Callable[[], Iterable[str]]) -> None:
    """On stdout, for programs or for people. Raises CannotWrite."""
    from mpingest.jobs.output import check_written

    for line in [json.dumps(to_json(), indent=1)] if as_json else lines():
        click.echo(printable(line))
    check_written()


def printable(line: str) -> str:
    """The same, with what is no text, as names may hold it, escaped."""
    return line.encode(errors="backslashreplace").decode()
