"""A rank's log: JSON lines with the fields of the framework's log (event, level, @timestamp) and the rank's."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from logging.handlers import TimedRotatingFileHandler
from typing import Any

import structlog

from mpingest.errors import MpingestError

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
WHENS = ("S", "M", "H", "D", "W0", "W1", "W2", "W3", "W4", "W5", "W6", "midnight")
"""Units of ``LogOptions.when``, as in logging.handlers.TimedRotatingFileHandler."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """filename: None for the run's directory; a rank appends ``.rankNNNNN``.

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
    path = os.path.join(directory, f"rank{rank:05d}.jsonl")
    if options.filename:
        path = f"{os.path.abspath(options.filename)}.rank{rank:05d}"
    logging.raiseExceptions = False
    handler = _handler(path, options)
    sink = logging.Logger("mpingest")  # not one of logging's own tree: nothing else is to write here
    sink.addHandler(handler)
    level = logging.getLevelNamesMapping()[options.level or "INFO"]
    logger = structlog.wrap_logger(
        sink,
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    try:
        yield logger.bind(logger="mpingest", rank=rank, host=socket.gethostname(), job=job, run=run)
    finally:
        with suppress(OSError):  # what can't be written is lost: a run doesn't end for want of its log
            handler.close()


def _handler(path: str, options: LogOptions) -> logging.Handler:
    try:
        if options.when is None:
            return logging.FileHandler(path, encoding="utf-8", errors="surrogateescape")
        return TimedRotatingFileHandler(
            path, options.when, options.interval or 1, encoding="utf-8", errors="surrogateescape"
        )
    except OSError as error:
        raise MpingestError(f"log {path}: {error.strerror}") from error
