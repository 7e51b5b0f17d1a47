"""Options of all commands that scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from mpingest.scan.excludes import FILE_TYPES, Excludes

_NOTHING = "none"
"""The framework's word for it."""


def scan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What commands that scan have in common; see ``excludes_of`` for what is left out."""
    begins = "whose absolute path begins with a match"
    again = "May be given again."
    options = (
        click.option(
            "--stat-threads",
            type=click.IntRange(1, 256),
            default=8,
            show_default=True,
            metavar="N",
            help="Stats in flight at most, per rank; more than one only where they are slow.",
        ),
        click.option(
            "--max-stat-rate",
            type=click.FloatRange(0, min_open=True),
            metavar="N",
            help="Do no more than N stats a second, all ranks together [default: no limit].",
        ),
        click.option(
            "--slice-size",
            "--files-per-task",
            type=click.IntRange(1, 100_000),
            default=1000,
            show_default=True,
            metavar="N",
            help="Entries of one directory that travel between ranks as one unit.",
        ),
        click.option(
            "--exclude-file-type",
            metavar="TYPES",
            multiple=True,
            help=f"Leave out types, a comma between them: {', '.join(FILE_TYPES)}. {again}",
        ),
        click.option(
            "--exclude-file-name",
            metavar="REGEX",
            multiple=True,
            help=f"Leave out files {begins}: all but directories. {again}",
        ),
        click.option(
            "--exclude-directory-name",
            metavar="REGEX",
            multiple=True,
            help=f"Leave out directories {begins}, and all below. {again}",
        ),
        click.option(
            "--stall-timeout",
            type=click.FloatRange(0),
            default=900.0,
            show_default=True,
            metavar="SECONDS",
            help="End with exit code 75 if a rank makes no progress for so long, as when a file server is dead; it "
            "names rank and path. 0: never.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def excludes_of(chosen: dict[str, Any]) -> Excludes:
    """What they say, taken out of the command's parameters. Raises UsageError where that is nothing."""
    types = [word for words in chosen.pop("exclude_file_type") for word in words.split(",")]
    try:
        return Excludes(
            _wanted(types), _wanted(chosen.pop("exclude_file_name")), _wanted(chosen.pop("exclude_directory_name"))
        )
    except ValueError as error:
        raise click.UsageError(f"excludes: {error}") from error


def _wanted(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(word for word in words if word != _NOTHING)
