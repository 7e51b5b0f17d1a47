"""What commands have found, printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any


def print_found(as_json: bool, to_json: Callable[[], Any], lines: Callable[[], Iterable[str]]) -> None:
    """On stdout, for programs or for people. Raises CannotWrite."""
    from mpingest.jobs.output import print_lines, until_closed

    with until_closed():
        print_lines([json.dumps(to_json(), indent=1)] if as_json else lines())
