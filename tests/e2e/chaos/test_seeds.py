"""Runs in trouble, then calm ones: all is in the zone once, as it is on disk, and every failure has a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import FULL

from .job import ChaoticJob
from .scenario import draw

SEEDS = range(100 if FULL else 8)


@pytest.mark.parametrize("seed", SEEDS)
def test_it_comes_out_right(
    zone: EmbeddedZone, tmp_path: Path, target: str, request: pytest.FixtureRequest, seed: int
) -> None:
    print(f"this one alone: MPINGEST_TEST_FULL=1 .venv/bin/pytest '{request.node.nodeid}'")
    ChaoticJob(draw(seed), zone, tmp_path, target).go_through()
