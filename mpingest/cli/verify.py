"""``mpingest verify``."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from mpingest.cli.framework import spelled_either_way
from mpingest.cli.options import json_option
from mpingest.cli.printing import print_found
from mpingest.cli.start import run_options, start

_SHARED = (
    *("operation", "event_handler", "append_json", "as_user", "special", "follow_symlinks", "jobs_dir"),
    *("exclude_file_type", "exclude_file_name", "exclude_directory_name"),
    *("stat_threads", "max_stat_rate", "slice_size", "stall_timeout", "allow_empty"),
    *("sessions", "sessions_per_rank", "max_connections", "max_requests_rate"),
    *("zone_timeout", "irods_idle_disconnect_seconds"),
    *("log_filename", "log_when", "log_interval", "log_level"),
)
"""Parameters of ``start`` that say how to look."""


def _options_of_start() -> list[click.Parameter]:
    options: list[click.Parameter] = []
    for option in start.params:
        if option.name in _SHARED and isinstance(option, click.Option):
            shared = copy(option)
            if shared.name in {"operation", "special", "follow_symlinks"}:
                shared.show_default = "as in the last run"
            options.append(shared)
    return options


@click.command(
    short_help="Whether file system, record and catalog agree about a job.",
    context_settings={"token_normalize_func": spelled_either_way},
    params=_options_of_start(),
)
@click.argument("job")
@click.option("--checksum", is_flag=True, help="Read all files and compare their checksums with the catalog's, too.")
@click.option("--repair", is_flag=True, help="Mark what differs, so that the next run puts it right.")
@click.option(
    "--names",
    type=click.IntRange(0, 10_000),
    default=5,
    show_default=True,
    metavar="N",
    help="Name the first N differences of each kind.",
)
@json_option
@click.pass_context
def verify(
    context: click.Context, /, job: str, checksum: bool, repair: bool, names: int, as_json: bool, **chosen: Any
) -> None:
    """Compare what is on disk, what is recorded of the job JOB and what is in the catalog: which entries there are,
    size, mtime and physical path (of what is registered), the status of replicas; with --checksum, the content.

    That takes one scan of each directory, one listing of its collection and one of the collections in it. Nothing is
    changed in the zone. All differences are written to verification/differences.jsonl in the job's directory, a JSON
    object a line; they are counted by kind, and the first of each are named.

    How to look is taken from the last run: operation or event handler, excludes, links, special files, user. What is
    given here holds instead. An event handler is asked for operation, target_path, as_user and collection_for alone;
    it finds in append_json what is given here.

    With --checksum each file is read, and its checksum computed in the way that the catalog has it. Where the catalog
    has none, there is nothing to compare: such files are counted, or, with --repair, the server is asked to compute
    one and keep it.

    With --repair, what the next run can put right is recorded so that it takes it: an object that is missing is made
    again, one that is not as the file is overwritten (a registered one updated). What has changed on disk needs no
    mark. What others put into the collections is listed as extra and never touched. For replicas that are stale beside
    a good one, or left intermediate or locked, the command that a rodsadmin has to give is named.

    \b
    Examples:
      mpingest verify run42-6imq3d46
      mpiexec -n 8 mpingest verify --checksum landing-4ztk2a7q
      srun --mpi=pmi2 mpingest verify --repair --json proj-x3b7n2ka > verified.json

    \b
    Exit codes: 0 all agree; 1 could not run; 2 wrong usage; 3 there are differences; 75 stopped early; 70 internal
    error.
    """
    from mpingest.farm.world import is_first_rank
    from mpingest.jobs import verify_text
    from mpingest.jobs.verify import Request
    from mpingest.jobs.verify import verify as compare

    given = {name for name in chosen if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    jobs_directory = chosen.pop("jobs_dir")
    options = run_options(_defaults_of_start() | chosen)
    found = compare(Request(job, jobs_directory, options, given, checksum, repair, names))
    if is_first_rank():
        print_found(as_json, partial(verify_text.to_json, found), partial(verify_text.lines, found))
    raise SystemExit(found.exit_code)


def _defaults_of_start() -> dict[str, Any]:
    """What ``start`` takes for its other parameters where nothing is given."""
    defaults = start.make_context("start", ["ROOT", "TARGET"]).params
    return {name: value for name, value in defaults.items() if name not in _SHARED}
