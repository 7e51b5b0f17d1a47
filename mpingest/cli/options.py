"""Options that several commands have."""

from __future__ import annotations

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
