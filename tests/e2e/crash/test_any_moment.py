"""SIGKILL of one rank, or of all, at random moments."""

from __future__ import annotations

import time
from random import Random
from typing import Any

import pytest
from irods.session import iRODSSession

from tests.conftest import FULL
from tests.e2e.killing import kill
from tests.e2e.worlds import kill_all, ranks_of

from .conftest import RANKS, Job

SEEDS = range(100 if FULL else 4)
LONGEST_SECONDS = 3.0
"""Longer than a run takes."""


def kill_some(job: Job, random: Random) -> None:
    """Begins a run and kills one rank of it or all."""
    world = job.begin(RANKS)
    time.sleep(random.uniform(0, LONGEST_SECONDS))
    ranks = ranks_of(world)
    if ranks and random.random() < 0.5:
        kill([random.choice(ranks)])
        world.communicate(timeout=60)
    kill_all(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_next_run_comes_to_the_same(
    job: Job, session: iRODSSession, expected: list[tuple[Any, ...]], seed: int
) -> None:
    random = Random(seed)
    for _ in range(random.randint(1, 3)):
        kill_some(job, random)
    again = job.run()
    assert again.returncode == 0, again.stderr
    job.assert_like(expected, session)
