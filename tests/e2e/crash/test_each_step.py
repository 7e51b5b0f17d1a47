"""An accident before and after everything that a run makes lasting."""

from __future__ import annotations

from typing import Any

import pytest
from irods.session import iRODSSession

from tests.conftest import FULL

from .accident import STEPS
from .conftest import Job

QUICK = (
    "any before scan 3",
    "any after reply 15",
    "any after answer 25",
    "any before record 3",
    "any before seal 2",
    "any before publish 1",
    "any after publish 1",
    "0 before publish 1",
    "0 before unlink 2",
    "0 before join_failures 1",
)
ALL = tuple(
    f"{rank} {when} {step} {number}"
    for step in STEPS
    for when in ("before", "after")
    for rank in (0, 2)
    for number in (1, 3)
)


@pytest.mark.parametrize("accident", ALL if FULL else QUICK)
def test_the_next_run_comes_to_the_same(
    job: Job, session: iRODSSession, expected: list[tuple[Any, ...]], accident: str
) -> None:
    killed = job.run(accident=accident)
    if accident in QUICK:
        assert killed.returncode != 0, "there was no such step"
    again = job.run()
    assert again.returncode == 0, again.stderr
    job.assert_like(expected, session)
    idle = job.run()
    assert idle.returncode == 0, idle.stderr
    assert " 0 requests" in idle.stdout, idle.stdout
