"""``mpingest report``."""

from __future__ import annotations

import click

from mpingest.cli.options import which_run
from mpingest.cli.printing import print_found


@click.command(short_help="What a run of a job has done.")
@which_run
def report(job: str, run: int | None, as_json: bool, jobs_dir: str) -> None:
    """Print the summary of the last run of JOB as mpingest start printed it. Neither a zone nor MPI is needed.

    \b
    Examples:
      mpingest report run42-6imq3d46
      mpingest report --run 3 --json run42-6imq3d46

    \b
    Exit codes: 0 done, whatever the run has come to; 1 could not run, as where the run has no summary because it was
    cut off or goes on; 2 wrong usage.
    """
    from mpingest.jobs.directory import JobDirectory
    from mpingest.jobs.report import report_of

    summary = report_of(JobDirectory.existing(jobs_dir, job), run)
    print_found(as_json, summary.to_json, summary.lines)
