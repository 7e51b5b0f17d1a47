"""``mpingest stop``."""

from __future__ import annotations

import click

from mpingest.cli.options import jobs_dir_option


@click.command(short_help="Have the run of a job end early, in good order.")
@click.argument("job")
@click.option("--now", is_flag=True, help="Also cancel its batch jobs (scancel), those that have yet to begin as well.")
@click.option("--wait", is_flag=True, help="Wait until the run has ended.")
@jobs_dir_option
def stop(job: str, now: bool, wait: bool, jobs_dir: str) -> None:
    """Have whoever runs JOB stop: what is under way comes to its end, what was done is recorded.

    It takes the run a second to notice and up to half a minute to end, with exit code 75. It goes by a file in the job
    directory, so from any host that sees that. With start --interval it also ends the waiting for the next pass.
    A batch job that has itself requeued when a run was stopped early begins again: --now ends that, too.

    \b
    Examples:
      mpingest stop run42-1f0c
      mpingest stop --now run42-1f0c
      mpingest stop --wait run42-1f0c && mpingest start /data/run42 /tempZone/home/rods/run42

    \b
    Exit codes: 0 asked, or with --wait: ended; 1 nobody runs the job, or it or Slurm can't be told; 2 wrong usage.
    """
    from mpingest.jobs.directory import JobDirectory
    from mpingest.jobs.stopping import request_stop, wait_until_ended

    directory = JobDirectory.existing(jobs_dir, job)
    asked = request_stop(directory, now=now)
    if asked.holder:
        click.echo(f"asked to stop: {asked.holder}")
    for batch_job in asked.cancelled:
        click.echo(f"cancelled: batch job {batch_job}")
    if wait and asked.holder:
        wait_until_ended(directory, asked.holder)
        click.echo("it has ended")
