"""``mpingest manifest merge``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mpingest.cli.options import jobs_dir_option
from mpingest.errors import ExitCode

if TYPE_CHECKING:
    from mpingest.jobs.merging import Merged


@click.command(short_help="Take what runs of a job have left into its checkpoint.")
@click.argument("job")
@jobs_dir_option
def merge(job: str, jobs_dir: str) -> None:
    """Take what runs of JOB have recorded and not merged into its checkpoint.

    Every run does so when it begins and ends. By hand it is of use after a run that was cut off: to see what it did,
    or to have it done before the next one begins. No zone is needed. With several ranks, they share the work.

    \b
    Examples:
      mpingest manifest merge run42-1f0c
      mpiexec -n 8 mpingest manifest merge run42-1f0c

    \b
    Exit codes: 0 all done; 1 could not run; 2 wrong usage; 3 done, but for damaged segments, which were set aside; 75
    stopped early or no room left, run the same line again; 70 internal error.
    """
    from mpingest.farm.world import is_first_rank
    from mpingest.jobs.merging import merge_job

    merged = merge_job(jobs_dir, job)
    if is_first_rank():
        for note in merged.notes:
            click.echo(f"mpingest: note: {note}", err=True)
        click.echo(_told(merged))
    raise SystemExit(ExitCode.SOME_FAILED if merged.result and merged.result.damaged else ExitCode.DONE)


def _told(merged: Merged) -> str:
    count = len(merged.result.merged) if merged.result else 0
    taken = f"{count:,} segment{'s' * (count != 1)} taken in" if count else "nothing to take in"
    return f"{taken}; the checkpoint has {merged.entries:,} entries in {merged.directories:,} directories"
