"""A rank's log: JSON lines with the fields of the framework's log (event, level, @timestamp) and the rank's."""

from __future__ import annotations

import os
import socket
from typing import Any

import structlog


def open_log(directory: str, rank: int, job: str, run: int) -> Any:
    """A structlog logger that appends to ``rankNNNNN.jsonl``; every line is written whole, at once."""
    file = open(os.path.join(directory, f"rank{rank:05d}.jsonl"), "a", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    logger = structlog.wrap_logger(
        structlog.WriteLogger(file),
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="@timestamp"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(20),
    )
    return logger.bind(logger="mpingest", rank=rank, host=socket.gethostname(), job=job, run=run)
