"""Options that say what a scan leaves out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from mpingest.scan.excludes import FILE_TYPES, Excludes

_NOTHING = "none"
"""The framework's word for it."""


def exclude_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--exclude-file-type, --exclude-file-name, --exclude-directory-name; see ``excludes_of``."""
    begins = "whose absolute path begins with a match"
    for name, metavar, what in (
        ("--exclude-directory-name", "REGEX", f"Leave out directories {begins}, and all below."),
        ("--exclude-file-name", "REGEX", f"Leave out files {begins}: all but directories."),
        ("--exclude-file-type", "TYPES", f"Leave out types, a comma between them: {', '.join(FILE_TYPES)}."),
    ):
        option = click.option(name, metavar=metavar, multiple=True, help=f"{what} May be given again.")
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
