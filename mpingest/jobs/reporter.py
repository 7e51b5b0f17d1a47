"""Says how far a run is while it goes on: rank 0's thread that keeps progress.json and shows it to people."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from mpingest.handler.calls import Logger
from mpingest.jobs import tally
from mpingest.jobs.directory import RunDirectory, write_json
from mpingest.jobs.progress import Meter, Phase, Progress
from mpingest.jobs.terminal import terminal_width

SHOW_SECONDS = 1.0
LINE_SECONDS = 30.0
"""How often a line is written where there is no terminal, and an event into the log."""
_PATIENCE_SECONDS = 1.0
"""How long a file system that hangs may keep the run from its end."""

Show = Callable[[Progress], None]


class NoReporter:
    """Says nothing: what ranks have that are not the first."""

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """What the run is at within the block; shown at once."""
        yield

    @contextmanager
    def farm(self, logger: Logger) -> Iterator[None]:
        """What is noted within the block comes on top of all before. logger: tells of it, too."""
        yield

    def note(self, counts: tally.Counts, steering: Mapping[str, Any]) -> None:
        """What each rank has counted in this farm, and what rank 0 lets them do.

        counts: shape (ranks, tally.SIZE), or (ranks, 0) where no worker has said anything yet
        """


class Reporter(NoReporter):
    """Rank 0's. Use as a context manager: the thread ends with it. Whoever notes something waits for no file.

    show: draws it for people; its OSErrors are let go, for a run doesn't end for want of its progress
    """

    def __init__(self, run: RunDirectory, workers: int, show: Show) -> None:
        self._meter = Meter(run.number, workers, time.monotonic())
        self._path = run.file("progress.json")
        self._show = show
        self._steering: Mapping[str, Any] = {}
        self._lock = threading.Lock()
        self._logger: Logger | None = None
        self._logging = threading.Lock()
        self._log_due = time.monotonic() + LINE_SECONDS
        self._news = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)

    def __enter__(self) -> Reporter:
        self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._enter(Phase.ENDED)
        self._ended = True
        self._news.set()
        self._thread.join(_PATIENCE_SECONDS)

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:  # noqa: D102
        before = self._enter(phase)
        try:
            yield
        finally:
            self._enter(before)

    @contextmanager
    def farm(self, logger: Logger) -> Iterator[None]:  # noqa: D102
        with self._lock:
            self._meter.begin_farm()
        self._logger = logger
        try:
            yield
        finally:
            with self._logging:  # whoever gave the logger closes it now
                self._logger = None

    def note(self, counts: tally.Counts, steering: Mapping[str, Any]) -> None:  # noqa: D102
        if counts.shape[1]:
            with self._lock:
                self._meter.note(counts)
                self._steering = steering

    def _enter(self, phase: Phase) -> Phase:
        with self._lock:
            before, self._meter.phase = self._meter.phase, phase
        self._news.set()
        return before

    def _work(self) -> None:
        ended = False
        while not ended:
            self._news.wait(SHOW_SECONDS)
            self._news.clear()
            ended = self._ended  # before the report, so that the last one comes after the end
            self._report()

    def _report(self) -> None:
        with self._lock:
            progress, steering = self._meter.progress(time.monotonic()), self._steering
        with suppress(OSError):
            self._show(progress)
        with suppress(OSError):
            write_json(self._path, progress.to_json() | dict(steering), durable=False)
        with self._logging:
            if self._logger and time.monotonic() >= self._log_due:
                self._logger.info("progress", **progress.to_json())
                self._log_due += LINE_SECONDS


@contextmanager
def reporter_of(job: str, run: RunDirectory, workers: int, *, shown: bool, alone: bool) -> Iterator[Reporter]:
    """Of a run with so many ranks that work.

    shown: on stderr, too: drawn where that leads to a terminal and nobody else writes there, else as lines
    alone: whether no other rank writes there
    """
    with ExitStack() as stack:
        show: Show = _nowhere
        if shown:
            show = _drawn(stack, job) if alone and terminal_width() else Lines(job)
        yield stack.enter_context(Reporter(run, workers, show))


def _nowhere(_: Progress) -> None:
    """Shows nothing."""


def _drawn(stack: ExitStack, job: str) -> Show:
    from mpingest.jobs.display import Screen, drawing  # it takes its time to load

    screen = stack.enter_context(Screen(sys.stderr, terminal_width))
    return lambda progress: screen.show(drawing(job, progress))


class Lines:
    """Shows progress on stderr, as a line now and then."""

    def __init__(self, job: str) -> None:
        self._job = job
        self._due = time.monotonic() + LINE_SECONDS

    def __call__(self, progress: Progress) -> None:
        """Write the line if it is due."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + LINE_SECONDS
        print(f"job {self._job}, run {progress.run}: {progress.line()}", file=sys.stderr, flush=True)
