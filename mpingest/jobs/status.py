"""Where a job stands, by its directory, its lock and the batch system: for people and programs, with no MPI."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from mpingest.errors import ExitCode, MpingestError
from mpingest.jobs.batch import BatchJob, own_batch_jobs
from mpingest.jobs.directory import Holder, JobDirectory, RunDirectory
from mpingest.jobs.progress import Progress
from mpingest.jobs.spec import JobSpec
from mpingest.jobs.text import human_bytes, shown_path


class State(Enum):
    """In a word."""

    NEW = "new"
    """No run of it has begun, none is queued."""
    QUEUED = "queued"
    """A batch job for it is pending, or has only just begun."""
    RUNNING = "running"
    WAITING = "waiting"
    """Between two passes of --interval."""
    STOPPED = "stopped"
    """The last run ended early, in order."""
    FAILED = "failed"
    """The last run came to its end, but some entries failed."""
    DONE = "done"
    DEAD = "dead"
    """The last run ended without giving its lock back: killed, or its node is gone."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One job.

    holder: who has its lock, dead or alive.  batch_jobs: those of it that Slurm still knows, oldest first.
    run: number of the last run, 0 for none.  progress: what it has counted so far, empty if it hasn't yet.
    summary: what it reported in the end, empty if it hasn't.
    """

    spec: JobSpec
    directory: str
    state: State
    holder: Holder | None
    batch_jobs: Sequence[BatchJob]
    run: int
    progress: Mapping[str, Any]
    summary: Mapping[str, Any]

    @property
    def figures(self) -> Mapping[str, Any]:
        """The last run's, so far or in the end; see ``tally.as_mapping``. Empty if there are none."""
        total: Mapping[str, Any] = self.summary.get("total", self.progress)
        return total

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "job": self.spec.to_json(),
            "directory": self.directory,
            "state": self.state.value,
            "holder": asdict(self.holder) if self.holder else None,
            "batch_jobs": [asdict(job) for job in self.batch_jobs],
            "run": self.run,
            "progress": dict(self.progress) or None,
            "summary": dict(self.summary) or None,
        }

    @property
    def exit_code(self) -> ExitCode:
        """As of the run that led to where it stands; DONE where there is none, or it is not over."""
        if self.state is State.DEAD:
            return ExitCode.STOPPED_EARLY
        return next((code for code, state in _ENDS.items() if state is self.state), ExitCode.DONE)

    def line(self) -> str:
        """For a log that people read."""
        if self.pace:
            return f"job {self.spec.name}, run {self.run}: {self.pace.line()}"
        batch_jobs = "".join(f"; batch job {job}" for job in self.batch_jobs if not job.has_ended)
        return f"job {self.spec.name}: {self.state.value}{self._why()}{batch_jobs}"

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        yield f"job {self.spec.name}: {self.state.value}{self._why()}"
        yield f"  root         {shown_path(self.spec.root)}"
        yield f"  target       {self.spec.target}"
        yield f"  directory    {self.directory}"
        if self.holder:
            yield f"  {'held by' if self.holder.lives else 'was held by':<12} {self.holder}"
        yield from (f"  batch job    {job}" for job in self.batch_jobs)
        if self.run:
            yield f"  run          {self._run()}"
        if self.figures:
            yield from _figure_lines(self.figures)
        if self.pace:
            yield from _pace_lines(self.pace)
        yield from (f"  note         {note}" for note in self.summary.get("notes", ()))

    def _why(self) -> str:
        return {
            State.NEW: ", no run has begun",
            State.WAITING: " between two passes",
            State.STOPPED: f" early{self._by()}: run the same line again",
            State.FAILED: ", some entries: they are tried again by the next run",
            State.DEAD: ", its run was killed or its node is gone: run the same line again",
        }.get(self.state, "")

    def _by(self) -> str:
        reason = self.summary.get("stopped")
        return f" by {reason}" if reason else ""

    @property
    def pace(self) -> Progress | None:
        """How far the run is that is on now; None if there is none, or it hasn't said so."""
        if self.state is not State.RUNNING or self.summary:
            return None
        try:
            return Progress.from_json(self.progress)
        except (KeyError, TypeError, ValueError):
            return None

    def _run(self) -> str:
        if self.summary:
            return f"{self.run}, took {self.summary['seconds']:.1f} s, exit code {self.summary['exit_code']}"
        ended = "" if self.state is State.RUNNING else ", has reported nothing"
        return f"{self.run}{ended}" + (", so far:" if self.progress else "")


def status_of(job: JobDirectory) -> JobStatus:
    """Of one job. Raises MpingestError where its directory can't be read."""
    return _status(job, own_batch_jobs())


def statuses(jobs: Sequence[JobDirectory], on_error: Callable[[MpingestError], None]) -> Iterator[JobStatus]:
    """Of many, with one question to the batch system. on_error: told of each whose directory can't be read."""
    known = own_batch_jobs() if jobs else {}
    for job in jobs:
        try:
            yield _status(job, known)
        except MpingestError as error:
            on_error(error)


def follow(job: JobDirectory, interval: float) -> Iterator[JobStatus]:
    """Of one job, every ``interval`` seconds; the last is the first after which nothing more is to be expected.

    Slurm is asked twice a minute, and whenever a run begins or ends: its controller is no one's alone.
    """
    known: Mapping[str, BatchJob] = {}
    asked, seen = -math.inf, None
    while True:
        found = _status(job, known)
        now = time.monotonic()
        stage = found.holder, found.run, bool(found.summary)  # without which what Slurm has said may be outdated
        if now - asked > ASK_SECONDS or stage != seen:
            known, asked, seen = own_batch_jobs(), now, stage
            found = _status(job, known)
        yield found
        if found.state not in GOES_ON:
            return
        time.sleep(interval)


def table(jobs: Sequence[JobStatus]) -> Iterator[str]:
    """A line for each job below a heading."""
    rows = [_HEADING, *map(_row, jobs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(_ALIGNMENT, widths, row, strict=True)
        yield "  ".join(f"{cell:{alignment}{width}}" for alignment, width, cell in cells).rstrip()


def state_of(holder: Holder | None, batch_jobs: Sequence[BatchJob], run: int, summary: Mapping[str, Any]) -> State:
    """What follows from what is known of a job: see ``JobStatus``.

    A lock is believed as long as it is touched, unless Slurm says that the batch job which holds it has ended; and
    while Slurm says that this is suspended.
    """
    by_id = {job.id: job for job in batch_jobs}
    holding = by_id.get(holder.batch_job or "") if holder else None
    if holder and _lives(holder, holding):
        return State.WAITING if summary and run > holder.after_run else State.RUNNING
    if any(job.is_pending for job in batch_jobs):
        return State.QUEUED
    if holder:
        return State.DEAD
    if not run:
        return State.QUEUED if any(job.has_started for job in batch_jobs) else State.NEW
    return _ENDS.get(summary.get("exit_code", ExitCode.STOPPED_EARLY), State.FAILED)


GOES_ON = (State.QUEUED, State.RUNNING, State.WAITING)
"""After these, something else is to be expected."""
ASK_SECONDS = 30.0
"""How often one who watches asks Slurm."""
_ENDS = {ExitCode.DONE: State.DONE, ExitCode.SOME_FAILED: State.FAILED, ExitCode.STOPPED_EARLY: State.STOPPED}
_HEADING = ("JOB", "STATE", "BATCH", "RUN", "SCANNED", "DONE", "FAILED", "ROOT", "TARGET")
_ALIGNMENT = "<<<>>>><<"


def _lives(holder: Holder, batch_job: BatchJob | None) -> bool:
    if batch_job is None:
        return holder.lives
    return batch_job.is_suspended or (batch_job.has_started and holder.lives)


def _status(job: JobDirectory, known: Mapping[str, BatchJob]) -> JobStatus:
    spec = job.spec()
    # In this order: a run that ends meanwhile is seen with its lock or with its summary.
    holder = job.held()
    last = next(reversed(job.runs()), None)
    progress, summary = (_read(last, name) for name in ("progress.json", "summary.json"))
    batch_jobs = [known[id] for id in job.batch_jobs() if id in known]
    number = last.number if last else 0
    state = state_of(holder, batch_jobs, number, summary)
    return JobStatus(spec, job.path, state, holder, batch_jobs, number, progress, summary)


def _read(run: RunDirectory | None, name: str) -> dict[str, Any]:
    """A file of the run; empty where it isn't there (yet)."""
    if run is None:
        return {}
    try:
        with open(run.file(name), encoding="utf-8", errors="surrogateescape") as file:
            content = json.load(file)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _row(job: JobStatus) -> tuple[str, ...]:
    figures = job.figures
    counted = [f"{figures[name]:,}" if name in figures else "" for name in ("entries", "outcome_done")]
    open_batch_jobs = [batch_job.id for batch_job in job.batch_jobs if not batch_job.has_ended]
    return (
        job.spec.name,
        job.state.value,
        ",".join(open_batch_jobs),
        str(job.run or ""),
        *counted,
        f"{_failed(figures):,}" if figures else "",
        shown_path(job.spec.root),
        job.spec.target,
    )


def _failed(figures: Mapping[str, Any]) -> int:
    return int(figures.get("outcome_failed", 0)) + int(figures.get("directories_failed", 0))


def _figure_lines(figures: Mapping[str, Any]) -> Iterator[str]:
    size, sent = human_bytes(figures.get("bytes", 0)), human_bytes(figures.get("bytes_sent", 0))
    entries, directories = figures.get("entries", 0), figures.get("directories", 0)
    yield f"  scanned      {entries:,} files ({size}) in {directories:,} directories"
    done, requests = figures.get("outcome_done", 0), figures.get("requests", 0)
    yield f"  outcome      {done:,} done, {_failed(figures):,} failed; {requests:,} requests, {sent} sent"


def _pace_lines(pace: Progress) -> Iterator[str]:
    left = f", {pace.left()} left" if pace.seconds_left is not None else ""
    yield f"  now          {pace.heading()}; {pace.busy:,} of {pace.ranks:,} ranks busy"
    yield f"  pace         {pace.rate()}; done {pace.finished()}{left}"
