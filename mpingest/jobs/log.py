"""A rank's log: JSON lines with the fields of the framework's log (event, level, @timestamp) and the rank's.

What goes to a terminal is written for people.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging.handlers import TimedRotatingFileHandler
from typing import Any, TextIO

import structlog

from mpingest.errors import MpingestError
from mpingest.jobs.terminal import terminal_width

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
WHENS = ("S", "M", "H", "D", "W0", "W1", "W2", "W3", "W4", "W5", "W6", "midnight")
"""Units of ``LogOptions.when``, as in logging.handlers.TimedRotatingFileHandler."""


STDERR = "-"
"""As a file name."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """filename: None for the run's directory; ``STDERR``; else a rank appends ``.rankNNNNN``.

    when, interval: a new file every ``interval`` units ``when``, every one if there is no interval; without ``when``,
    one file a run. level: the lowest; None for INFO.
    """

    filename: str | None = None
    when: str | None = None
    interval: int | None = None
    level: str | None = None


@contextmanager
def open_log(directory: str, options: LogOptions, rank: int, job: str, run: int) -> Iterator[Any]:
    """A structlog logger; every line is written whole, at once. Raises MpingestError where it can't write."""
    logging.raiseExceptions = False
    handler = _StderrHandler() if options.filename == STDERR else _handler(_path(directory, options, rank), options)
    sink = logging.Logger("mpingest")  # not one of logging's own tree: nothing else is to write here
    sink.addHandler(handler)
    level = logging.getLevelNamesMapping()[options.level or "INFO"]
    logger = structlog.wrap_logger(
        sink,
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp"),
            *(_FOR_PEOPLE if options.filename == STDERR and terminal_width() else _FOR_PROGRAMS),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    try:
        yield logger.bind(logger="mpingest", rank=rank, host=socket.gethostname(), job=job, run=run)
    finally:
        with suppress(OSError):  # what can't be written is lost: a run doesn't end for want of its log
            handler.close()


_FOR_PROGRAMS: Sequence[Any] = (structlog.processors.format_exc_info, structlog.processors.JSONRenderer())
_FOR_PEOPLE: Sequence[Any] = (structlog.dev.ConsoleRenderer(timestamp_key="@timestamp"),)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to what is stderr at the time: lines go above what is drawn there."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def _path(directory: str, options: LogOptions, rank: int) -> str:
    if options.filename:
        return f"{os.path.abspath(options.filename)}.rank{rank:05d}"
    return os.path.join(directory, f"rank{rank:05d}.jsonl")


def _handler(path: str, options: LogOptions) -> logging.Handler:
    try:
        if options.when is None:
            return logging.FileHandler(path, encoding="utf-8", errors="surrogateescape")
        return TimedRotatingFileHandler(
            path, options.when, options.interval or 1, encoding="utf-8", errors="surrogateescape"
        )
    except OSError as error:
        raise MpingestError(f"log {path}: {error.strerror}") from error
