"""``mpingest status``."""

from __future__ import annotations

import click

from mpingest.cli.options import jobs_dir_option, json_option
from mpingest.cli.printing import print_found


@click.command(short_help="Where one job stands.")
@click.argument("job")
@json_option
@jobs_dir_option
def status(job: str, as_json: bool, jobs_dir: str) -> None:
    """Where JOB stands: who runs it and since when, its batch jobs, what its last run has counted.

    See mpingest list --help for the states. Neither MPI nor the zone is needed.

    \b
    Examples:
      mpingest status run42-1f0c
      watch mpingest status run42-1f0c
      mpingest status --json run42-1f0c | jq .progress.entries
    """
    from mpingest.jobs.directory import JobDirectory
    from mpingest.jobs.status import status_of

    found = status_of(JobDirectory.existing(jobs_dir, job))
    print_found(as_json, found.to_json, found.lines)
