"""When a run is to end by itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """When a run is to end by itself.

    seconds:     after its start; None for no limit
    stop_before: seconds before the batch job ends, where its end is known; 0 for not at all
    """

    seconds: float | None = None
    stop_before: float = 0.0
