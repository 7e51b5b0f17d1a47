"""``mpingest start``."""

from __future__ import annotations

import click

from mpingest.handler.operations import DeleteMode, Operation
from mpingest.jobs.directory import default_jobs_directory
from mpingest.jobs.spec import RunOptions

DELETE_MODES = {mode.name.lower(): mode for mode in DeleteMode}
OPERATIONS = {operation.name.lower(): operation for operation in Operation}


@click.command(short_help="Run a job in this MPI world; again: only what changed.")
@click.argument("root")
@click.argument("target")
@click.option(
    "--operation",
    type=click.Choice(list(OPERATIONS)),
    default="register_sync",
    show_default=True,
    help="register_sync: register files in place. register_as_replica_sync: the same, and where an object is there "
    "already, as one more replica of it. put: copy new files into the vault. put_sync: copy new and changed files. "
    "put_append: copy new files, and of files that have grown what is new. no_op: only call the handler.",
)
@click.option("--event-handler", metavar="FILE", help="Python script with a class event_handler; it may override all.")
@click.option("--resource", metavar="NAME", help="Resource to register on or put to [default: the environment's].")
@click.option("--job-name", metavar="NAME", help="Name of the job [default: made from ROOT and TARGET].")
@click.option(
    "--jobs-dir",
    metavar="DIR",
    envvar="MPINGEST_JOBS_DIR",
    default=default_jobs_directory,
    show_default="~/.mpingest/jobs",
    help="Where jobs keep their state; must be on a file system that all ranks see.",
)
@click.option(
    "--sessions-per-rank",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="Threads per rank, each with a connection of its own.",
)
@click.option(
    "--slice-size",
    type=click.IntRange(1, 100_000),
    default=1000,
    show_default=True,
    help="Entries of one directory that travel between ranks as one unit.",
)
@click.option(
    "--zone-timeout",
    type=click.FloatRange(0),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for a zone that stops answering before the run ends with exit code 75.",
)
@click.option(
    "--stall-timeout",
    type=click.FloatRange(0),
    default=900.0,
    show_default=True,
    metavar="SECONDS",
    help="End the run with exit code 75 if a rank makes no progress for so long, as when a file server is dead; "
    "it names rank and path. 0: never.",
)
@click.option("--ignore-cache", is_flag=True, help="Compare with the collections, not with the checkpoint.")
@click.option("--initial-ingest", is_flag=True, help="Do not look what is in the collections: nothing is.")
@click.option(
    "--delete-mode",
    type=click.Choice(list(DELETE_MODES)),
    default="do_not_delete",
    show_default=True,
    help="What to do about objects whose files are gone: unregister (with register operations), or trash or "
    "no_trash (with put_sync and put_append). Only what mpingest itself recorded is ever deleted.",
)
@click.option(
    "--max-delete",
    type=click.IntRange(0),
    metavar="N",
    help="Delete nothing if more than N entries are gone. [default: half of what is recorded]",
)
@click.option("--allow-empty", is_flag=True, help="ROOT is meant to be empty.")
def start(
    root: str,
    target: str,
    operation: str,
    event_handler: str | None,
    resource: str | None,
    job_name: str | None,
    jobs_dir: str,
    sessions_per_rank: int,
    slice_size: int,
    zone_timeout: float,
    stall_timeout: float,
    ignore_cache: bool,
    initial_ingest: bool,
    delete_mode: str,
    max_delete: int | None,
    allow_empty: bool,
) -> None:
    """Bring everything below the directory ROOT into the collection TARGET.

    The same line again sends only what is new or has changed since. With more than one rank, rank 0 hands out the
    work and the others do it.

    \b
    Examples:
      mpingest start /data/run42 /tempZone/home/rods/run42
      mpiexec -n 8 mpingest start --operation put_sync /landing /tempZone/home/rods/landing
      srun --mpi=pmi2 mpingest start --event-handler handler.py /lustre/proj /tempZone/home/rods/proj

    \b
    Exit codes: 0 all done; 1 could not run; 2 wrong usage; 3 ran to the end, some entries failed (see failures.jsonl
    in the run's directory); 75 stopped early, run the same line again; 70 internal error.
    """
    from mpingest.farm.world import is_first_rank
    from mpingest.jobs.run import Request, start

    options = RunOptions(
        operation=OPERATIONS[operation],
        resource=resource,
        handler=event_handler,
        sessions=sessions_per_rank,
        slice_size=slice_size,
        zone_timeout=zone_timeout,
        stall_timeout=stall_timeout or None,
        ignore_cache=ignore_cache,
        initial_ingest=initial_ingest,
        allow_empty=allow_empty,
        delete_mode=DELETE_MODES[delete_mode],
        max_delete=max_delete,
    )
    summary = start(Request(root, target, job_name, jobs_dir, options))
    if is_first_rank():
        for line in summary.lines():
            click.echo(line)
    raise SystemExit(summary.exit_code)
