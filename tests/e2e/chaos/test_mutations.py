"""The harness itself: where a safeguard of mpingest is missing, it finds what comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import FULL

from .job import ChaoticJob, Unexpected
from .program import SAFEGUARDS
from .scenario import draw

QUICK = {"seal": (1, 0), "look back": (3, 1), "verify already done": (4, 13, 14)}
"""Seeds that find it, mostly the first."""


@pytest.mark.parametrize("without", SAFEGUARDS)
def test_some_seed_fails_without(zone: EmbeddedZone, tmp_path: Path, target: str, without: str) -> None:
    for seed in range(100) if FULL else QUICK[without]:
        directory = tmp_path / str(seed)
        directory.mkdir()
        try:
            ChaoticJob(draw(seed), zone, directory, f"{target}-{seed}", without).go_through()
        except Unexpected as error:
            print(error)
            return
    pytest.fail(f"nobody misses: {without}")
