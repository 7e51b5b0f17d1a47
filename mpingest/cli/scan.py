"""``mpingest scan``."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from mpingest.cli.printing import print_found, printable
from mpingest.cli.scanning import excludes_of, scan_options

if TYPE_CHECKING:
    from mpingest.jobs.scan import Found

FORMATS = ("table", "json", "csv", "paths0")


@click.command(short_help="What is in a tree: statistics, a listing, a manifest.")
@click.argument("root")
@click.option("-o", "--output", metavar="FILE", help="Write a manifest: every entry with its lstat, in HDF5.")
@click.option(
    "--format",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="table: statistics for people. json: the same for programs. csv: a line for each entry; in paths a backslash "
    r"is written \\, a control character or a byte that is not UTF-8 \xHH. paths0: the path of each entry, followed by "
    "NUL, for xargs -0.",
)
@click.option(
    "--top",
    type=click.IntRange(0, 10_000),
    default=10,
    show_default=True,
    metavar="N",
    help="Name the N largest files, and directories with the most bytes and entries.",
)
@scan_options
@click.option("-x", "--one-file-system", is_flag=True, help="Do not go into directories on other file systems.")
def scan(
    root: str,
    output: str | None,
    format: str,
    top: int,
    stat_threads: int,
    max_stat_rate: float | None,
    slice_size: int,
    one_file_system: bool,
    stall_timeout: float,
    **chosen: Any,
) -> None:
    """Look at everything below the directory ROOT; nothing is changed and no zone is needed.

    With more than one rank, rank 0 hands out the work and the others do it.

    \b
    Examples:
      mpingest scan /data/run42
      mpingest scan --format paths0 /data/run42 | xargs -0 ...
      mpiexec -n 8 mpingest scan -o project.h5 /lustre/project
      srun --mpi=pmi2 mpingest scan --format json --max-stat-rate 50000 /lustre/project > project.json

    With several ranks a manifest is also made for csv and paths0: in the current directory, where no -o says
    where, and only until it is listed. It must be on a file system that all ranks see.

    \b
    Exit codes: 0 all done; 1 could not run; 2 wrong usage; 3 ran to the end, some directories or entries could not be
    read; 75 stopped early, what was seen is reported as partial and no manifest is left; 70 internal error.
    """
    from mpingest.farm.world import is_first_rank
    from mpingest.jobs.output import until_closed
    from mpingest.jobs.scan import Request, scan

    rate = max_stat_rate or math.inf
    request = Request(
        root,
        output,
        format,
        top,
        stat_threads,
        rate,
        slice_size,
        excludes_of(chosen),
        one_file_system,
        stall_timeout or None,
    )
    with until_closed():
        found = scan(request)
        if is_first_rank():
            _print(found, format)
        raise SystemExit(found.exit_code)


def _print(found: Found, format: str) -> None:
    from mpingest.jobs import statistics

    if format in ("json", "table"):
        print_found(format == "json", partial(statistics.to_json, found), partial(statistics.lines, found))
    for line in statistics.troubles(found):
        click.echo(f"mpingest: {printable(line)}", err=True)
