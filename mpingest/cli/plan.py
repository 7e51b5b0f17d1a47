"""``mpingest plan``."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

import click

from mpingest.cli.framework import spelled_either_way
from mpingest.cli.options import json_option
from mpingest.cli.printing import print_found
from mpingest.cli.start import run_options, start

_NOT_SHARED = ("root", "target", "interval")
_ONLY_FOR_RUNS = (
    *("sessions", "sessions_per_rank", "max_connections", "max_requests_rate", "max_bytes_rate"),
    *("time_limit", "stop_before"),
    *("resource", "as_user", "zone_timeout", "irods_idle_disconnect_seconds", "detect_renames"),
    "after_ingest",
    *("log_filename", "log_when", "log_interval", "log_level"),
    *("profile", "profile_filename", "profile_when", "profile_interval", "progress"),
)
"""Taken, so that a line of ``start`` is one of ``plan``, but without a meaning here."""


def _options_of_start() -> list[click.Parameter]:
    options = [copy(option) for option in start.params if option.name not in _NOT_SHARED]
    for option in options:
        if isinstance(option, click.Option) and option.name in _ONLY_FOR_RUNS:
            option.hidden = True
    return options


@click.command(
    short_help="What a run of a job would do; nothing is done.",
    # What the environment says of start holds here, too.
    context_settings={"token_normalize_func": spelled_either_way, "auto_envvar_prefix": "MPINGEST_START"},
    params=_options_of_start(),
)
@click.argument("root")
@click.argument("target", required=False)
@click.option(
    "--names",
    type=click.IntRange(0, 10_000),
    default=5,
    show_default=True,
    metavar="N",
    help="Name the first N files of each change.",
)
@json_option
def plan(root: str, target: str | None, names: int, as_json: bool, **chosen: Any) -> None:
    """Say what mpingest start would do with the same arguments: how many files are new, modified, gone, which come
    first, what would be done about them, and how many requests of the zone that takes.

    Nothing is done: no zone is asked and no login is needed; nothing is written, not even to the job's directory, which
    may be read-only and in use by a run. Where no TARGET is given, the job is meant that has this ROOT.

    The requests are those of a run that finds in the collections only what the job has brought there. Collections that
    are there already are listed besides; of what they hold, what is as it should be takes no request, and anything else
    one or two more. A small new file counts as a request of its own: in bundles a run takes fewer. A handler is asked
    for what to do with each file (operation, delete_mode, collection_for) and for nothing else; what it would have to
    ask the zone for is said not to be known.

    Renames are not looked for: what start --detect-renames would rename counts as gone and as new.

    Defaults that the environment or a --config file sets for start hold for plan, too.

    \b
    Examples:
      mpingest plan /data/run42 /tempZone/home/rods/run42
      mpiexec -n 8 mpingest plan --operation put_sync --delete-mode trash /landing
      srun --mpi=pmi2 mpingest plan --json --names 100 /lustre/proj /tempZone/home/rods/proj > plan.json

    \b
    Exit codes: 0 all done; 1 could not run; 2 wrong usage; 3 ran to the end, some directories or entries cannot be read
    or are known to fail in a run; 75 stopped early; 70 internal error.
    """
    from mpingest.farm.world import is_first_rank
    from mpingest.jobs import plan_text
    from mpingest.jobs.plan import Request
    from mpingest.jobs.plan import plan as find_out

    job_name, jobs_directory = chosen.pop("job_name"), chosen.pop("jobs_dir")
    found = find_out(Request(root, target, job_name, jobs_directory, run_options(chosen), names))
    if is_first_rank():
        print_found(as_json, partial(plan_text.to_json, found), partial(plan_text.lines, found))
    raise SystemExit(found.exit_code)
