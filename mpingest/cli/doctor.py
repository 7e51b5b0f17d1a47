"""``mpingest doctor``."""

from __future__ import annotations

import click

from mpingest.cli.options import jobs_dir_option
from mpingest.errors import ExitCode


@click.command(short_help="Check MPI, zone, file system and Slurm, and say what to do.")
@click.argument("root", required=False)
@click.argument("target", required=False)
@jobs_dir_option
def doctor(root: str | None, target: str | None, jobs_dir: str) -> None:
    """Look whether all is here that a run needs, on these hosts and with these modules loaded.

    With ROOT also whether all hosts see it and how long a stat takes there; with TARGET, whether it may be written to.
    Nothing is left behind.

    \b
    Examples:
      mpingest doctor
      mpingest doctor /lustre/project /tempZone/home/project
      srun --mpi=pmi2 --nodes=2 mpingest doctor /lustre/project

    Exit code 1 if anything would keep a run from being done.
    """
    from mpingest.jobs.doctor import Question, Verdict, examine

    failed = False
    for finding in examine(Question(jobs_dir, root, target)):
        failed |= finding.verdict is Verdict.FAILED
        click.echo(f"{finding.verdict.value:<7} {finding.subject:<8} {finding.text}")
        if finding.remedy:
            click.echo(f"{'':<16} {finding.remedy}")
    raise SystemExit(ExitCode.CANNOT_RUN if failed else ExitCode.DONE)
