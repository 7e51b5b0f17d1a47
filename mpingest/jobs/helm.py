"""What rank 0 lets all ranks do: requests in flight, and how much a second. Where it steers it says why."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from mpingest.farm.limits import Limits, Rates
from mpingest.farm.worker import COORDINATOR
from mpingest.handler.calls import Logger
from mpingest.jobs import tally
from mpingest.jobs.directory import RunDirectory
from mpingest.jobs.log import open_log
from mpingest.jobs.spec import RunOptions
from mpingest.jobs.steering import Decision, Observation, Steering
from mpingest.jobs.tools import Tools

_TRAIL = 100
"""Decisions that progress.json holds."""
_NANOSECOND = 1e-9


def first_limits(options: RunOptions, workers: int) -> Limits:
    """What all ranks may do at first, and for good unless the number of sessions is to be found out."""
    rates = Rates(options.max_stat_rate, options.max_requests_rate, options.max_bytes_rate)
    sessions = options.sessions or workers * (options.sessions_per_rank or 0)
    return Limits(min(sessions or Steering(options.max_connections).limit, options.max_connections), rates)


class Helm:
    """Follows the steering, where there is one, and keeps its trail: in the log, and for progress.json.

    logger: of rank 0
    """

    def __init__(self, limits: Limits, steering: Steering | None, logger: Logger) -> None:
        self.logger = logger
        self._limits = limits
        self._steering = steering
        self._trail: deque[dict[str, Any]] = deque(maxlen=_TRAIL)

    def steer(self, counts: tally.Counts) -> Limits:
        """The limits, once it is known what each rank has done. counts: ``tally``, shape (ranks, SIZE)."""
        if self._steering is None or not counts.shape[1]:
            return self._limits
        if decision := self._steering.observe(_seen(counts)):
            self._note(decision)
            self._limits = replace(self._limits, slots=self._steering.limit)
        return self._limits

    def to_json(self) -> dict[str, Any]:
        """For progress.json."""
        return {"sessions": self._limits.slots, "sessions_trail": list(self._trail)}

    def _note(self, decision: Decision) -> None:
        noted = {
            "limit": decision.limit,
            "before": decision.before,
            "requests_per_second": round(decision.speed, 1),
            "latency_ms": round(decision.latency * 1000, 2),
            "why": decision.why,
        }
        self.logger.info("sessions", **noted)
        self._trail.append({"at": datetime.now(UTC).isoformat(timespec="milliseconds")} | noted)


@contextmanager
def open_helm(job: str, run: RunDirectory, options: RunOptions, limits: Limits, tools: Tools | None) -> Iterator[Helm]:
    """Rank 0's. tools: its own, if it has any. Raises MpingestError where the log can't be written."""
    is_fixed = options.sessions or options.sessions_per_rank
    with ExitStack() as stack:
        if tools:
            logger = tools.ingestor.logger
        else:
            logger = stack.enter_context(open_log(run.log, options.log, COORDINATOR, job, run.number))
        yield Helm(limits, None if is_fixed else Steering(options.max_connections), logger)


def _seen(counts: tally.Counts) -> Observation:
    total = counts.sum(axis=0)
    return Observation(
        time.monotonic(),
        int(total[tally.REQUESTS]),
        int(total[tally.OVERLOADS]),
        total[tally.DONE : tally.TOOK].astype(np.float64),
        total[tally.TOOK : tally.SQUARES] * _NANOSECOND,
        float(total[tally.SQUARES]) * tally.SQUARED**2,
        int(total[tally.WANTED]),
    )
