"""The life cycle of one run in an MPI world.

Rank 0 looks whether all is right and opens the run; every rank works; all merge what they recorded; rank 0 reports.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import NoReturn

from mpingest.errors import MpingestError
from mpingest.farm.collective import on_first
from mpingest.farm.worker import COORDINATOR
from mpingest.jobs.directory import RunDirectory, own_trouble, write_json
from mpingest.jobs.hooks import call_job_hook
from mpingest.jobs.log import STDERR, open_log
from mpingest.jobs.opening import Request, World, open_run, opened_catalogs, opened_world
from mpingest.jobs.phases import Counted, delete, ingest_replaced, merge_records, release, scan_and_ingest
from mpingest.jobs.remains import forget_remains
from mpingest.jobs.reporter import reporter_of
from mpingest.jobs.spec import RunOptions
from mpingest.jobs.summary import Summary, stop_reason
from mpingest.jobs.tools import OpenRun


def start(request: Request) -> Summary:
    """Run the job in this MPI world; the summary is the same on all ranks. Collective.

    Raises MpingestError, the same on all ranks, where it can't be run.
    """
    with opened_world(request.options) as world:
        return _run(world, request)


def start_again(request: Request, interval: float, report: Callable[[Summary], None]) -> NoReturn:
    """Run the job every ``interval`` seconds, at once if a run took longer, until it is stopped. Collective.

    Raises MpingestError, the same on all ranks: Stopped, or what keeps a run from being done.
    """
    with opened_world(request.options) as world:
        while True:
            began = time.monotonic()
            summary = _run(world, request)
            report(summary)
            summary.check_complete()
            on_first(world.comm, partial(world.tidy_up_after, summary))
            on_first(world.comm, partial(world.stops.wait, began + interval - time.monotonic()))
            if world.stops.share():
                raise world.stops.stopped()


def _run(world: World, request: Request) -> Summary:
    options = request.options
    with _reported(world, open_run(world, request), options) as opened:
        began = time.monotonic()
        counted = scan_and_ingest(world, opened, options)
        refused = ""
        if counted.is_whole:  # nothing is deleted by an incomplete scan
            deleted, refused = delete(world, opened, options)
            counted += deleted
        if counted.is_whole:
            counted += ingest_replaced(world, opened, options)
        if counted.is_whole and options.after_ingest.takes_away:
            counted += release(world, opened, options)
        seconds = time.monotonic() - began
        counted = replace(counted, stopped=merge_records(world, opened) or counted.stopped)
        return on_first(world.comm, lambda: _close_run(opened, options, seconds, counted, refused))


@contextmanager
def _reported(world: World, opened: OpenRun, options: RunOptions) -> Iterator[OpenRun]:
    """The same, with a reporter on rank 0 as long as the block lasts."""
    comm = world.comm
    if comm is not None and comm.rank != COORDINATOR:
        yield opened
        return
    workers = comm.size - 1 if comm is not None else 1
    alone = comm is None or options.log.filename != STDERR
    with reporter_of(opened.spec.name, opened.run, workers, shown=options.progress, alone=alone) as reporter:
        yield replace(opened, reporter=reporter)


def _close_run(opened: OpenRun, options: RunOptions, seconds: float, counted: Counted, refused: str) -> Summary:
    if counted.is_whole:
        with opened_catalogs() as catalog_of:
            forget_remains(opened.run, catalog_of, opened.notes)
    else:
        _log_stop(opened, options, counted)
    with own_trouble():
        failures = opened.run.join_failures("failures.jsonl")
    summary = Summary(
        opened.spec,
        opened.run.number,
        round(seconds, 3),  # as it is kept
        counted.counts,
        counted.shares,
        failures,
        opened.notes,
        options.way,
        int(opened.root_row["mtime_ns"]),
        refused,
        counted.stalled,
        counted.stopped,
        options.kept(),
    )
    _keep_summary(opened.run, summary)
    try:
        call_job_hook("post_job", opened, options, summary=summary.to_json())
    except MpingestError as error:
        summary.notes.append(str(error))
        _keep_summary(opened.run, summary)
    return summary


def _log_stop(opened: OpenRun, options: RunOptions, counted: Counted) -> None:
    with open_log(opened.run.log, options.log, COORDINATOR, opened.spec.name, opened.run.number) as logger:
        logger.warning("stopped", reason=stop_reason(counted.stopped, counted.stalled))


def _keep_summary(run: RunDirectory, summary: Summary) -> None:
    with own_trouble():
        write_json(run.file("summary.json"), summary.to_json())
