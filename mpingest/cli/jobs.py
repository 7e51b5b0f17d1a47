"""Options of commands that look at jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from mpingest.jobs.directory import default_jobs_directory


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """JOB, and which of its runs."""
    options = (
        click.argument("job"),
        click.option("--run", type=click.IntRange(1), metavar="N", help="Of run N [default: the last one]."),
        click.option("--json", "as_json", is_flag=True, help="For programs."),
        click.option(
            "--jobs-dir",
            metavar="DIR",
            envvar="MPINGEST_JOBS_DIR",
            default=default_jobs_directory,
            show_default="~/.mpingest/jobs",
            help="Where jobs keep their state.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
