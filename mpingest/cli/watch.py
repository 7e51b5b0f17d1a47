"""``mpingest watch``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mpingest.cli.options import jobs_dir_option

if TYPE_CHECKING:
    from mpingest.jobs.status import JobStatus

_INTERRUPTED = 130
"""What a shell makes of a command that ^C has ended."""


@click.command(short_help="See a job go on.")
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="For programs: each time a line with what status --json says.")
@click.option(
    "--interval",
    type=click.FloatRange(0.1),
    metavar="SECONDS",
    help="How often to look [default: 1 on a terminal and with --json, else 30].",
)
@jobs_dir_option
def watch(job: str, as_json: bool, interval: float | None, jobs_dir: str) -> None:
    """See JOB go on, from any host, until nothing more is to be expected of it: its run has ended, or was killed.

    Where it is queued, or waits between two passes, so does this. Only the directory of the job is read, once a second
    (and Slurm asked twice a minute); the run takes no notice. On a terminal it is drawn, elsewhere a line is written
    each time that there is news. ^C ends only the watching.

    \b
    Examples:
      mpingest watch run42-1f0c
      mpingest watch --json --interval 60 run42-1f0c >> run42.jsonl
      mpingest watch run42-1f0c && mpingest verify run42-1f0c

    \b
    Exit codes, of the run that was watched, or else the last one: 0 all done, or there is none; 3 some entries failed;
    75 stopped early or dead, run the same line again. Else: 1 no such job; 2 wrong usage; 130 ended by ^C.
    """
    from mpingest.jobs.directory import JobDirectory
    from mpingest.jobs.output import until_closed
    from mpingest.jobs.status import follow

    directory = JobDirectory.existing(jobs_dir, job)
    is_terminal = os.isatty(sys.stdout.fileno())
    looks = follow(directory, interval or (1.0 if is_terminal or as_json else 30.0))
    show = _write_json if as_json else _draw if is_terminal else _write_lines
    with until_closed():
        try:
            last = show(looks)
        except KeyboardInterrupt:
            raise SystemExit(_INTERRUPTED) from None
        raise SystemExit(last.exit_code)


def _write_json(looks: Iterator[JobStatus]) -> JobStatus:
    from mpingest.jobs.output import print_lines

    for found in looks:
        print_lines([json.dumps(found.to_json())])
    return found


def _write_lines(looks: Iterator[JobStatus]) -> JobStatus:
    from mpingest.jobs.output import print_lines
    from mpingest.jobs.status import GOES_ON

    written = ""
    for found in looks:
        if found.state in GOES_ON and found.line() != written:
            written = found.line()
            print_lines([written])
    print_lines(found.lines())
    return found


def _draw(looks: Iterator[JobStatus]) -> JobStatus:
    from mpingest.jobs.display import Screen, drawing, lines

    with Screen(sys.stdout, lambda: os.get_terminal_size(sys.stdout.fileno()).columns) as screen:
        for found in looks:
            screen.show(drawing(found.spec.name, found.pace) if found.pace else lines(found.lines()))
    return found
