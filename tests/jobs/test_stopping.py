"""When a run ends by itself."""

from __future__ import annotations

import time

import pytest

from mpingest.jobs.limits import TimeLimits
from mpingest.jobs.stopping import Stops


@pytest.mark.parametrize("stop_before", [8.0, 120.0], ids=["in a batch job that is long enough", "in a short one"])
def test_the_batch_job_ends_but_not_before_some_work_is_done(
    monkeypatch: pytest.MonkeyPatch, stop_before: float
) -> None:
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(int(time.time()) + 11))
    with Stops(None, TimeLimits(stop_before=stop_before)) as stops:
        stops.wait(0.5)
        assert not stops.should_stop()
        assert stops.wait(10) == "the end of the batch job"


def test_a_batch_job_without_an_end_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_END_TIME", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with Stops(None, TimeLimits(stop_before=120)) as stops:
        assert stops.wait(0.5) == ""
