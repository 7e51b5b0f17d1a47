"""``mpingest list``."""

from __future__ import annotations

import builtins

import click

from mpingest.cli.options import jobs_dir_option
from mpingest.cli.printing import print_found
from mpingest.errors import ExitCode, MpingestError


@click.command("list", short_help="All jobs, and where each stands.")
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of what status --json says of each.")
@jobs_dir_option
def list(as_json: bool, jobs_dir: str) -> None:
    """All jobs in --jobs-dir, and where each stands by its lock, its last run and Slurm.

    \b
    States:
      new      no run of it has begun
      queued   a batch job for it is pending, or about to begin with it
      running  a run is on now; the figures are what it has counted so far
      waiting  between two passes of start --interval
      stopped  the last run ended early; the same line again goes on
      failed   the last run came to its end, but some entries failed; the next run tries them again
      done     the last run came to its end and all is in the zone
      dead     the last run was killed or its node is gone; the same line again goes on

    Neither MPI nor the zone is needed. A run on another host
    counts as running for a minute after it was last heard of, unless Slurm says that its batch job has ended.

    \b
    Examples:
      mpingest list
      mpingest list --json | jq -r '.[] | select(.state == "dead") | .job.name'

    Exit code 1 if the directory of a job is damaged; the others are listed.
    """
    from mpingest.jobs.directory import JobDirectory
    from mpingest.jobs.status import statuses, table

    damaged: builtins.list[MpingestError] = []
    jobs = [*statuses(JobDirectory.all(jobs_dir), damaged.append)]
    print_found(as_json, lambda: [job.to_json() for job in jobs], lambda: table(jobs) if jobs else ())
    for error in damaged:
        click.echo(f"mpingest: {error}", err=True)
    if not jobs and not damaged:
        click.echo(f"mpingest: no job in {jobs_dir}", err=True)
    raise SystemExit(ExitCode.CANNOT_RUN if damaged else ExitCode.DONE)
