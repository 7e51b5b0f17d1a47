"""``mpingest failures``."""

from __future__ import annotations

import click

from mpingest.cli.options import which_run
from mpingest.cli.printing import print_found


@click.command(short_help="What failed in a run of a job, why, and whether a rerun helps.")
@which_run
@click.option(
    "--names",
    type=click.IntRange(0, 10_000),
    default=3,
    show_default=True,
    metavar="N",
    help="Name the first N failures for each reason.",
)
def failures(job: str, run: int | None, as_json: bool, jobs_dir: str, names: int) -> None:
    """Group what failed in the last run of JOB by reason: how many, the first of them, and whether a rerun helps.

    Errors of the zone are grouped by their names, others by what they say without names and numbers. Of a run that was
    cut off, or goes on, it is what the ranks have noted so far. Neither a zone nor MPI is needed.

    \b
    Examples:
      mpingest failures run42-6imq3d46
      mpingest failures --run 3 --names 20 run42-6imq3d46
      mpingest failures --json run42-6imq3d46 | jq '.groups[] | {error, count}'

    \b
    Exit codes: 0 done, whatever failed in the run; 1 could not run; 2 wrong usage.
    """
    from mpingest.jobs.directory import JobDirectory
    from mpingest.jobs.failures import failures_of

    found = failures_of(JobDirectory.existing(jobs_dir, job), run, names)
    print_found(as_json, found.to_json, found.lines)
