"""``mpingest start``."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import click

from mpingest.cli.amounts import MOST_SESSIONS, bytes_per_second, sessions_or_auto
from mpingest.cli.durations import duration
from mpingest.cli.framework import framework_options, spelled_either_way
from mpingest.cli.options import jobs_dir_option
from mpingest.cli.scanning import excludes_of, scan_options
from mpingest.handler.calls import User
from mpingest.handler.operations import DeleteMode, Operation
from mpingest.ingest.bundle_mode import BundleMode
from mpingest.ingest.proof import RELEASING
from mpingest.jobs.disposal import After, Disposal
from mpingest.jobs.limits import TimeLimits
from mpingest.jobs.log import LEVELS, STDERR, WHENS, LogOptions
from mpingest.jobs.spec import RunOptions
from mpingest.scan.links import FollowLinks

DELETE_MODES = {mode.name.lower(): mode for mode in DeleteMode}
OPERATIONS = {operation.name.lower(): operation for operation in Operation}


def _user(_: click.Context, __: click.Parameter, value: str | None) -> User | None:
    """NAME or NAME#ZONE as (zone or "", name)."""
    if value is None:
        return None
    name, _separator, zone = value.partition("#")
    if not name:
        raise click.BadParameter(f"{value!r} names no user")
    return zone, name


def _json(_: click.Context, __: click.Parameter, value: str | None) -> Any:
    try:
        return None if value is None else json.loads(value)
    except ValueError as error:
        raise click.BadParameter(f"is not JSON: {error}") from error


def _name(_: click.Context, __: click.Parameter, value: str | None) -> bytes | None:
    """The name of a file in a directory."""
    if value is None:
        return None
    if value in ("", ".", "..") or "/" in value:
        raise click.BadParameter(f"{value!r} is no name of a file in a directory")
    return os.fsencode(value)


def _after_ingest(_: click.Context, __: click.Parameter, value: str) -> Disposal:
    word, colon, directory = value.partition(":")
    if word == After.MOVE.value and directory:
        return Disposal(After.MOVE, os.fsencode(os.path.abspath(directory)))
    if colon or word not in (After.KEEP.value, After.DELETE.value):
        raise click.BadParameter(f"{value!r} is none of keep, move:DIR, delete")
    return Disposal(After(word))


@click.command(
    short_help="Run a job in this MPI world; again: only what changed.",
    context_settings={"token_normalize_func": spelled_either_way},
)
@click.argument("root")
@click.argument("target")
@click.option(
    "--operation",
    type=click.Choice(list(OPERATIONS)),
    metavar=f"[{'|'.join(OPERATIONS)}]",
    default="register_sync",
    show_default=True,
    help="register_sync: register files in place. register_as_replica_sync: the same, and where an object is there "
    "already, as one more replica of it. put: copy new files into the vault. put_sync: copy new and changed files. "
    "put_append: copy new files, and of files that have grown what is new. no_op: only call the handler.",
)
@click.option("--event-handler", metavar="FILE", help="Python script with a class event_handler; it may override all.")
@click.option(
    "--append-json",
    metavar="JSON",
    callback=_json,
    help="Whatever the handler is to know: it finds it as meta['append_json'].",
)
@click.option("--resource", metavar="NAME", help="Resource to register on or put to [default: the environment's].")
@click.option(
    "--as-user",
    metavar="NAME[#ZONE]",
    callback=_user,
    help="Whose objects they are to be; takes a rodsadmin [default: the user of the environment].",
)
@click.option(
    "--checksum",
    is_flag=True,
    help="Have a SHA-256 of each file in the catalog: computed while it is read and verified by the server, or, of "
    "registered files, computed by the server.",
)
@click.option(
    "--bundle",
    type=click.Choice([mode.value for mode in BundleMode]),
    default="auto",
    show_default=True,
    help="Send small new files (up to 4 MiB) together, as a tar file that the server extracts: where that pays, never, "
    "or always. Names and sizes are verified afterwards, and the content of one file; of all with --checksum. Choose "
    "never where the server's rules for each object that is put (acPostProcForPut, pep_api_data_obj_put_post) have to "
    "run. Files for whose objects a handler has hooks, metadata() or acl() are put one by one in any case.",
)
@click.option(
    "--preserve-mtime",
    is_flag=True,
    help="Objects that are put get the modify time of their files. Costs one request more for each: no server takes it "
    "along with the content. Registered objects have it anyway.",
)
@scan_options
@click.option(
    "--special",
    type=click.Choice(["skip", "register"]),
    default="skip",
    show_default=True,
    help="What to do about sockets, pipes and devices, with register operations. They are never opened.",
)
@click.option(
    "--follow-symlinks",
    type=click.Choice([follow.value for follow in FollowLinks]),
    default="no",
    show_default=True,
    help="Which links to directories to descend into, and to register as what they lead to: none, those that stay "
    "inside ROOT, or all. Never one that leads back to a directory which holds it. Put operations send the content of "
    "links to files in any case.",
)
@click.option("--job-name", metavar="NAME", help="Name of the job [default: made from ROOT and TARGET].")
@jobs_dir_option
@click.option(
    "-i",
    "--interval",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Run again so long after each start, until stopped; at once where a run took longer. A pass that finds "
    "nothing sends no request, and of passes that found nothing only the last leaves a trace.",
)
@click.option(
    "--settle",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="Leave files alone that were written less than so long before the run began: a later run takes them. By "
    "mtime, or ctime where mtime is later (as with one in the future). The clock is that of ROOT's file system where "
    "the jobs directory is on it, otherwise that of the host of rank 0: choose more than clocks may differ by.",
)
@click.option(
    "--ready-file",
    callback=_name,
    metavar="NAME",
    help="Take a directory at the top of ROOT only once this file is in it (RTAComplete.txt), and, with --settle, "
    "nothing at and below it was written lately. From then on it is one like any other. Files at the top of ROOT are "
    "taken in any case.",
)
@click.option(
    "--after-ingest",
    callback=_after_ingest,
    default="keep",
    show_default=True,
    metavar="keep|move:DIR|delete",
    help="What becomes of a file once it is put: with move it goes to the same path below DIR, on whatever file "
    "system, and never in the place of another file; with delete it is gone. Only regular files, and only when the "
    "zone has a good replica of the file's size whose checksum is that of the file, which is read once more; the "
    "object stays, also with a --delete-mode later. Implies --checksum; goes with put and put_sync. A new file of the "
    "same name replaces the object with put_sync; with put it stays and is reported. Directories stay, unless "
    "--ready-file says that no more comes: then they go once nothing is left in them.",
)
@click.option(
    "--time-limit",
    metavar="DURATION",
    callback=duration,
    help="Stop early so long after the start: 90s, 30m, 1h30m, seconds, or as Slurm writes it: MM:SS, HH:MM:SS, "
    "D-HH:MM:SS.",
)
@click.option(
    "--stop-before",
    type=click.FloatRange(0),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="Stop early so long before the batch job ends, as Slurm says when that is; a short one is worked in for at "
    "least a tenth of its time. 0: don't.",
)
@click.option(
    "--sessions",
    callback=sessions_or_auto,
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="Requests in flight, of all ranks together. auto: found out while the job runs, as few as keep the zone as "
    "fast as it can be; the log of rank 0 says why it changes.",
)
@click.option("--sessions-per-rank", type=click.IntRange(1, 64), hidden=True)
@click.option(
    "--max-connections",
    type=click.IntRange(1, MOST_SESSIONS),
    default=32,
    show_default=True,
    metavar="N",
    help="Connections to the zone at most, of all ranks together: a server has a process for each, and one or two "
    "connections to its database.",
)
@click.option(
    "--max-requests-rate",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Send no more than N requests a second, all ranks together [default: no limit].",
)
@click.option(
    "--max-bytes-rate",
    callback=bytes_per_second,
    metavar="SIZE",
    help="Send no more content than so much a second, all ranks together, such as 500MB/s or 100MiB/s [default: no "
    "limit].",
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
    "--irods-idle-disconnect-seconds",
    type=click.FloatRange(0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Close connections that are not used for so long.",
)
@click.option("--ignore-cache", is_flag=True, help="Compare with the collections, not with the checkpoint.")
@click.option("--initial-ingest", is_flag=True, help="Do not look what is in the collections: nothing is.")
@click.option(
    "--detect-renames",
    is_flag=True,
    help="Rename in the catalog what has another name or place below ROOT since the last run, told by inode, size and "
    "mtime: it keeps metadata and permissions, and nothing is sent. A directory goes as a whole unless something came "
    "or went in it, then file by file. Names that are there all the time, as when two files swap theirs, are not "
    "renamed but updated. Handlers are called as for what is modified, with meta['renamed_from'].",
)
@click.option(
    "--delete-mode",
    type=click.Choice(list(DELETE_MODES)),
    metavar=f"[{'|'.join(DELETE_MODES)}]",
    default="do_not_delete",
    show_default=True,
    help="What to do about objects whose files are gone: unregister (with register operations), or trash or "
    "no_trash (with put_sync and put_append). Only what mpingest itself recorded is ever deleted.",
)
@click.option(
    "--delete-unknown",
    is_flag=True,
    help="Also delete what is in the collections and never was a file: what others put there. Costs a listing of "
    "every collection.",
)
@click.option(
    "--max-delete",
    type=click.IntRange(0),
    metavar="N",
    help="Delete nothing if more than N entries are gone. [default: half of what is recorded]",
)
@click.option("--allow-empty", is_flag=True, help="ROOT is meant to be empty.")
@click.option(
    "--progress",
    is_flag=True,
    help="Show on stderr how far the run is: drawn on a terminal, also on that of mpiexec; elsewhere, "
    "as in a batch job, a line every 30 seconds. From any other host: mpingest watch.",
)
@click.option(
    "--log-filename",
    metavar="FILE",
    help="Log of each rank: FILE.rankNNNNN, JSON lines; - for stderr, readable on a terminal [default: in the run's "
    "log/].",
)
@click.option(
    "--log-when",
    type=click.Choice(WHENS, case_sensitive=False),
    help="Unit of --log-interval: seconds, minutes, hours, days, a weekday (W0 is Monday) or midnight.",
)
@click.option(
    "--log-interval",
    type=click.IntRange(1),
    metavar="N",
    help="With --log-when: begin a new log after so many of its units [default: 1].",
)
@click.option(
    "--log-level", type=click.Choice(LEVELS, case_sensitive=False), help="What is logged at least [default: INFO]."
)
@click.option("--profile", is_flag=True, help="Write when each directory and entry began and ended, and where.")
@click.option("--profile-filename", metavar="FILE", help="As --log-filename [default: in the run's profile/].")
@click.option("--profile-when", type=click.Choice(WHENS, case_sensitive=False), help="As --log-when.")
@click.option("--profile-interval", type=click.IntRange(1), metavar="N", help="As --log-interval.")
@click.option("--profile-level", hidden=True, expose_value=False)
@framework_options
def start(root: str, target: str, job_name: str | None, jobs_dir: str, interval: float | None, **chosen: Any) -> None:
    """Bring everything below the directory ROOT into the collection TARGET.

    The same line again sends only what is new or has changed since. With more than one rank, rank 0 hands out the
    work and the others do it. Options may be spelled with underscores; those of the iRODS Automated Ingest Framework
    are taken where they have a meaning here.

    SIGTERM, SIGINT, SIGHUP or SIGUSR1 to any rank, mpingest stop, --time-limit and the end of the batch job stop a run
    in good order, within half a minute: what is under way ends or is taken back, what was done is recorded. A second
    SIGINT ends it at once.

    \b
    Examples:
      mpingest start /data/run42 /tempZone/home/rods/run42
      mpiexec -n 8 mpingest start --operation put_sync /landing /tempZone/home/rods/landing
      mpingest start --operation put_sync --detect-renames --delete-mode trash /landing /tempZone/home/rods/landing
      mpiexec -n 8 mpingest start --operation put --bundle never --checksum /landing /tempZone/home/rods/landing
      mpiexec -n 8 mpingest start --operation put --max-bytes-rate 500MB/s /landing /tempZone/home/rods/landing
      mpiexec -n 8 mpingest start --operation put --interval 60 --settle 60 --ready-file RTAComplete.txt \
        --after-ingest move:/data/ingested --allow-empty /data/landing /tempZone/home/rods/landing
      mpiexec -n 8 mpingest start --time-limit 2h /data/run42 /tempZone/home/rods/run42
      srun --mpi=pmi2 mpingest start --event-handler handler.py /lustre/proj /tempZone/home/rods/proj

    \b
    Exit codes: 0 all done; 1 could not run; 2 wrong usage; 3 ran to the end, some entries failed (see failures.jsonl
    in the run's directory); 75 stopped early, run the same line again; 70 internal error. srun says 137 where one rank
    had to end the others at once: for 70, or for 75 when a disk is full.
    """
    from mpingest.farm.world import is_first_rank
    from mpingest.jobs.opening import Request
    from mpingest.jobs.run import start, start_again
    from mpingest.jobs.summary import Summary

    def report(summary: Summary) -> None:
        if is_first_rank():
            for line in summary.lines():
                click.echo(line)

    request = Request(root, target, job_name, jobs_dir, run_options(chosen))
    if interval is not None:
        start_again(request, interval, report)
    summary = start(request)
    report(summary)
    summary.check_complete()
    raise SystemExit(summary.exit_code)


def _check_detect_renames(chosen: dict[str, Any]) -> None:
    """Raises UsageError where it goes with nothing else that was chosen."""
    if not chosen["detect_renames"]:
        return
    if chosen["ignore_cache"]:
        raise click.UsageError(
            "--detect-renames looks in the checkpoint, which --ignore-cache leaves aside: choose one"
        )
    if chosen["delete_unknown"]:
        raise click.UsageError(
            "--detect-renames does not go with --delete-unknown, to which what was renamed is unknown: choose one, "
            "then run again with the other"
        )


def _check_after_ingest(chosen: dict[str, Any]) -> None:
    """Raises UsageError where files would be taken away that must not be. What a script says is looked at later."""
    after: Disposal = chosen["after_ingest"]
    if not after.takes_away:
        return
    if FollowLinks(chosen["follow_symlinks"]) is not FollowLinks.NO:
        raise click.UsageError(
            f"--after-ingest {after} does not go with --follow-symlinks: nothing is taken away where a link leads to"
        )
    if chosen["delete_mode"] != "do_not_delete":
        raise click.UsageError(
            f"--after-ingest {after} does not go with --delete-mode, to which what is taken away were gone: choose one"
        )
    if chosen["event_handler"] is None and OPERATIONS[chosen["operation"]] not in RELEASING:
        raise click.UsageError(
            f"--after-ingest {after} takes files away, of which a whole copy has to be in a vault: it goes with "
            f"--operation put or put_sync, not {chosen['operation']}"
        )


def run_options(chosen: dict[str, Any]) -> RunOptions:
    """How a run is to go, by the parameters of the command. Raises UsageError."""
    _check_detect_renames(chosen)
    _check_after_ingest(chosen)
    return RunOptions(
        operation=OPERATIONS[chosen["operation"]],
        resource=chosen["resource"],
        user=chosen["as_user"],
        handler=chosen["event_handler"],
        append_json=chosen["append_json"],
        checksum=chosen["checksum"] or chosen["after_ingest"].takes_away,
        bundle=BundleMode(chosen["bundle"]),
        preserve_mtime=chosen["preserve_mtime"],
        excludes=excludes_of(chosen),
        register_special=chosen["special"] == "register",
        follow=FollowLinks(chosen["follow_symlinks"]),
        stat_threads=chosen["stat_threads"],
        max_stat_rate=chosen["max_stat_rate"] or math.inf,
        sessions=chosen["sessions"],
        sessions_per_rank=chosen["sessions_per_rank"],
        max_connections=chosen["max_connections"],
        max_requests_rate=chosen["max_requests_rate"] or math.inf,
        max_bytes_rate=chosen["max_bytes_rate"] or math.inf,
        slice_size=chosen["slice_size"],
        zone_timeout=chosen["zone_timeout"],
        stall_timeout=chosen["stall_timeout"] or None,
        time_limits=TimeLimits(chosen["time_limit"], chosen["stop_before"]),
        idle_seconds=chosen["irods_idle_disconnect_seconds"],
        ignore_cache=chosen["ignore_cache"],
        initial_ingest=chosen["initial_ingest"],
        allow_empty=chosen["allow_empty"],
        detect_renames=chosen["detect_renames"],
        settle=chosen["settle"],
        ready_file=chosen["ready_file"],
        after_ingest=chosen["after_ingest"],
        delete_mode=DELETE_MODES[chosen["delete_mode"]],
        delete_unknown=chosen["delete_unknown"],
        max_delete=chosen["max_delete"],
        log=_log_options(chosen, "log"),
        profile=_log_options(chosen, "profile") if chosen["profile"] or chosen["profile_filename"] else None,
        progress=chosen["progress"],
    )


def _log_options(chosen: dict[str, Any], name: str) -> LogOptions:
    """By the options --NAME-filename, --NAME-when, … Raises UsageError."""
    filename, when = chosen[f"{name}_filename"], chosen[f"{name}_when"]
    if filename == STDERR and when is not None:
        raise click.UsageError(f"--{name}-when: what goes to stderr has no new files: name a file, or leave it out")
    return LogOptions(filename, when, chosen[f"{name}_interval"], chosen.get(f"{name}_level"))
