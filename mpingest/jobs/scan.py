"""The life cycle of a scan without a zone: every rank surveys, all merge what they found, rank 0 reports."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mpingest.errors import ExitCode, MpingestError
from mpingest.farm.collective import merge_on_first, on_first
from mpingest.farm.limits import Limits, Rates
from mpingest.farm.transport import FarmResult, all_rows, run_farm
from mpingest.farm.worker import COORDINATOR
from mpingest.farm.world import abort_on_error, open_world_if_launched
from mpingest.jobs.listing import CSV_HEADER, Lines, Listing, csv_rows, paths0
from mpingest.jobs.manifest_out import ManifestOut, conclude_manifest, manifest_entries
from mpingest.jobs.output import output, until_closed
from mpingest.jobs.root import checked_root
from mpingest.jobs.signals import stops_as_errors, stops_noted
from mpingest.jobs.survey import ENDED, Sink, Survey, SurveyOptions, subtree
from mpingest.scan.census import Census
from mpingest.scan.excludes import Excludes
from mpingest.scan.pool import StatPool
from mpingest.scan.rate import Rate

if TYPE_CHECKING:
    from mpi4py import MPI

LINES: dict[str, Lines] = {"csv": csv_rows, "paths0": paths0}
"""Formats that tell of each entry."""

RANK_DTYPE = np.dtype([(name, np.int64) for name in ("directories", "entries", "segments", "stopped", "peak_memory")])
"""What one rank did; peak memory in bytes; stopped: the number of the signal, or 0."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for.

    output:        where the manifest goes, None for nowhere
    format:        a key of ``LINES``, else only statistics are wanted
    top:           how many of the largest to name
    threads:       stats in flight per rank
    max_stat_rate: stats a second of all ranks together
    stall_timeout: seconds without any progress on a rank after which the scan ends, None to wait for ever
    """

    root: str
    output: str | None
    format: str
    top: int
    threads: int
    max_stat_rate: float
    slice_size: int
    excludes: Excludes
    one_file_system: bool
    stall_timeout: float | None


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan has found; the census is whole on rank 0 only.

    root:    absolute
    seconds, scan_seconds: in all, and from when all ranks were there until all was counted
    stopped: why it ended early, else ""
    ranks:   ``RANK_DTYPE``, shape (ranks,)
    """

    root: bytes
    census: Census
    seconds: float
    scan_seconds: float
    stopped: str
    unreadable: int
    ranks: npt.NDArray[np.void]

    @property
    def exit_code(self) -> ExitCode:
        """Of the command."""
        if self.stopped:
            return ExitCode.STOPPED_EARLY
        return ExitCode.SOME_FAILED if self.unreadable else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class _Plan:
    """What every rank has to know. scratch: the directory for segments, None where no manifest is needed."""

    root: bytes
    device: int | None
    scratch: str | None
    began_ns: int


def scan(request: Request) -> Found:
    """Scan a tree in this MPI world, or alone. Collective. Raises MpingestError, the same on all ranks."""
    began = time.monotonic()
    comm = open_world_if_launched()
    with stops_as_errors():
        plan = on_first(comm, lambda: _plan(request, comm))
        ready = time.monotonic()
        try:
            with abort_on_error(comm):
                census, ranks, stopped = _survey_and_merge(comm, plan, request)
            scan_seconds = time.monotonic() - ready
            unreadable = _conclude(comm, plan, request, census, ranks, complete=not stopped)
        finally:
            _remove(plan.scratch)
    return Found(plan.root, census, time.monotonic() - began, scan_seconds, stopped, unreadable, ranks)


def _survey_and_merge(comm: MPI.Comm | None, plan: _Plan, request: Request) -> tuple[Census, npt.NDArray[np.void], str]:
    """The census, on rank 0 that of all ranks; what each rank did; why the scan ended early."""
    try:
        census, row, result = _survey(comm, plan, request)
        ranks = _gathered(comm, row)
        merge_on_first(comm, census)
    except BaseException:
        _remove(plan.scratch)  # now: the whole world ends here
        raise
    return census, ranks, _why_stopped(ranks, result)


def _plan(request: Request, comm: MPI.Comm | None) -> _Plan:
    root = checked_root(request.root, allow_empty=True)
    device = os.stat(root).st_dev if request.one_file_system else None
    scratch = None
    if request.output is not None:
        scratch = _make_scratch(*_checked_output(request.output))
    elif request.format in LINES and comm is not None:
        scratch = _make_scratch(".", request.format)
    return _Plan(root, device, scratch, time.time_ns())


def _checked_output(output: str) -> tuple[str, str]:
    """Directory and name of the manifest."""
    directory, name = os.path.split(output)
    if not name or os.path.isdir(output):
        raise MpingestError(f"output {output!r}: is not the name of a file")
    return directory or ".", name


def _make_scratch(directory: str, name: str) -> str:
    """A new directory for segments, on the file system where they will end."""
    path = os.path.join(os.path.realpath(directory), f".{name}.{socket.gethostname()}-{os.getpid()}")
    try:
        os.mkdir(path, 0o700)
    except OSError as error:
        raise MpingestError(
            f"{directory}: cannot be written to, where the manifest is made: {error.strerror}"
        ) from error
    return path


def _remove(scratch: str | None) -> None:
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)


def _survey(comm: MPI.Comm | None, plan: _Plan, request: Request) -> tuple[Census, npt.NDArray[np.void], FarmResult]:
    """What this rank has found and done, and how it ended."""
    census = Census(plan.began_ns, request.top)
    roots = [subtree(b"")]
    limits = Limits(rates=Rates(stats=request.max_stat_rate))
    segments = 0
    with ExitStack() as stack:
        noted = stack.enter_context(stops_noted())
        if comm is not None and comm.rank == COORDINATOR:
            watch = _Watch(noted)
            result = run_farm(
                comm,
                roots,
                None,
                on_progress=watch.note,
                should_stop=watch.should_stop,
                limits=limits,
            )
        else:
            sinks: list[Sink] = []
            manifest = None
            if plan.scratch:
                rank = comm.rank if comm is not None else COORDINATOR
                manifest = stack.enter_context(ManifestOut(plan.scratch, plan.root, rank))
                sinks.append(manifest)
            if request.format in LINES and comm is None:
                sinks.append(stack.enter_context(_listing(request)))
            workers = comm.size - 1 if comm is not None else 1
            pool = stack.enter_context(StatPool(request.threads, Rate(request.max_stat_rate / workers)))
            options = SurveyOptions(
                plan.root, plan.scratch, request.threads, request.slice_size, request.excludes, plan.device
            )
            survey = Survey(options, census, sinks, pool, peers=workers - 1, should_end=lambda: bool(noted))
            with survey:
                result = run_farm(
                    comm,
                    roots,
                    survey,
                    stall_timeout=request.stall_timeout,
                    limits=limits,
                )
            segments = manifest.close() if manifest else 0
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    row = (census.directories, census.entries, segments, noted[0] if noted else 0, memory)
    return census, np.array([row], RANK_DTYPE), result


class _Watch:
    """On rank 0: has the farm stopped once any rank was told to end."""

    def __init__(self, noted: Sequence[int]) -> None:
        self._noted = noted
        self._ended = False

    def note(self, counters: npt.NDArray[np.int64]) -> None:
        self._ended = bool(counters.shape[1] and counters[:, ENDED].any())

    def should_stop(self) -> bool:
        return self._ended or bool(self._noted)


def _gathered(comm: MPI.Comm | None, row: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Every rank's row, ``RANK_DTYPE``, shape (ranks,)."""
    return all_rows(comm, row.view(np.int64)).view(RANK_DTYPE)[:, 0]


def _why_stopped(ranks: npt.NDArray[np.void], result: FarmResult) -> str:
    """What ended the scan early, "" if nothing did."""
    if result.stalled:
        rank, what = result.stalled[0]
        return f"stopped, as rank {rank} makes no progress: {what}"
    number = int(ranks["stopped"].max())
    return f"stopped by {signal.Signals(number).name}" if number else ""


def _conclude(
    comm: MPI.Comm | None,
    plan: _Plan,
    request: Request,
    census: Census,
    ranks: npt.NDArray[np.void],
    *,
    complete: bool,
) -> int:
    """Puts the manifest in place and lists it; the number of what could not be read. Collective."""
    ends = on_first(comm, census.finish)
    table = None
    if plan.scratch and complete:
        table = request.output or os.path.join(plan.scratch, "manifest.h5")
        conclude_manifest(comm, plan.scratch, plan.root, table, segments=ranks["segments"].tolist(), ends=ends)
    return on_first(comm, lambda: _report(plan.scratch, request, census, table if comm is not None else None))


def _report(scratch: str | None, request: Request, census: Census, table: str | None) -> int:
    """On rank 0: lists the manifest, where there is one and that is wanted; the number of what could not be read."""
    if table and request.format in LINES:
        with manifest_entries(table) as found:
            _remove(scratch)  # for a launcher whose output nobody reads gives no rank the time to
            with _listing(request) as listing:
                for path, entries in found:
                    listing.write([(path, entries)])
    return census.unreadable


@contextmanager
def _listing(request: Request) -> Iterator[Listing]:
    """The listing that the user wants, on stdout."""
    alone = request.output is None
    with nullcontext() if alone else until_closed(), output(None) as stream:
        listing = Listing(stream, os.fsencode(request.root), LINES[request.format], alone=alone)
        if request.format == "csv":
            listing.head(CSV_HEADER)
        yield listing
        listing.flush()
