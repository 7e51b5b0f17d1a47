"""Signals that end a run: each becomes an error that unwinds, so that what is recorded is sealed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mpingest.errors import ExitCode, MpingestError

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
"""What batch systems, launchers and people send to end a run."""


class Stopped(MpingestError):
    """A signal ends the run."""

    exit_code = ExitCode.STOPPED_EARLY


@contextmanager
def stops_as_errors() -> Iterator[None]:
    """Have the main thread raise Stopped at the first of these signals; a second one ends the process at once."""
    previous = {number: signal.signal(number, _stop) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def stops_noted() -> Iterator[list[signal.Signals]]:
    """A list that gets the first of these signals; a second one ends the process at once."""
    noted: list[signal.Signals] = []

    def note(number: int, _: FrameType | None) -> None:
        noted.append(signal.Signals(number))
        for each in STOPPING:
            signal.signal(each, signal.SIG_DFL)

    previous = {number: signal.signal(number, note) for number in STOPPING}
    try:
        yield noted
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop(number: int, _: FrameType | None) -> None:
    for each in STOPPING:
        signal.signal(each, signal.SIG_DFL)
    raise Stopped(f"stopped by {signal.Signals(number).name}: run the same line again")
