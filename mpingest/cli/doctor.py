"""``mpingest doctor``."""

from __future__ import annotations

import click

from mpingest.cli.options import jobs_dir_option
from mpingest.errors import ExitCode


@click.command(short_help="Check MPI, zone, file system and Slurm, and say what to do.")
@jobs_dir_option
def doctor(jobs_dir: str) -> None:
    """Look whether all is here that a run needs, on this host and with these modules loaded.

    \b
    Examples:
      mpingest doctor
      srun --mpi=pmi2 --ntasks=2 mpingest doctor

    Exit code 1 if anything would keep a run from being done.
    """
    from mpingest.farm.world import is_first_rank
    from mpingest.jobs.doctor import Verdict, examine, join_world

    if not is_first_rank():
        join_world()
        return
    failed = False
    for finding in examine(jobs_dir):
        failed |= finding.verdict is Verdict.FAILED
        click.echo(f"{finding.verdict.value:<7} {finding.subject:<7} {finding.text}")
        if finding.remedy:
            click.echo(f"{'':<15} {finding.remedy}")
    raise SystemExit(ExitCode.CANNOT_RUN if failed else ExitCode.DONE)
