"""``mpingest status``."""

from __future__ import annotations

import json

import click

from mpingest.cli.options import jobs_dir_option


@click.command(short_help="Where one job stands.")
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
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
    from mpingest.jobs.output import print_lines, until_closed
    from mpingest.jobs.status import status_of

    found = status_of(JobDirectory.existing(jobs_dir, job))
    with until_closed():
        print_lines([json.dumps(found.to_json(), indent=1)] if as_json else found.lines())
