"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def _default_jobs_directory() -> str:
    from mpingest.jobs.directory import default_jobs_directory

    return default_jobs_directory()


jobs_dir_option = click.option(
    "--jobs-dir",
    metavar="DIR",
    envvar="MPINGEST_JOBS_DIR",
    default=_default_jobs_directory,
    show_default="~/.mpingest/jobs",
    help="Where jobs keep their state; must be on a file system that all ranks see.",
)


json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


def which_run(command: Callable[..., Any]) -> Callable[..., Any]:
    """JOB, and which of its runs."""
    options = (
        click.argument("job"),
        click.option("--run", type=click.IntRange(1), metavar="N", help="Of run N [default: the last one]."),
        json_option,
        jobs_dir_option,
    )
    for option in reversed(options):
        command = option(command)
    return command
