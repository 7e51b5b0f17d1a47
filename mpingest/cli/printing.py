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
        click.echo(line.encode(errors="backslashreplace").decode())
    check_written()
