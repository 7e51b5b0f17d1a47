"""The harness itself: where a safeguard of mpingest is missing, it finds what comes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import only_full

from .job import ChaoticJob, Unexpected
from .program import SAFEGUARDS
from .scenario import Scenario, Trouble, draw

ALL_CHANGE = Trouble(ranks=1, rewritten=1)
MADE_FOR = {
    "seal": Scenario(0, "put_sync", 40, ()),
    "look back": Scenario(0, "put_sync", 40, (), (ALL_CHANGE,)),
    "verify already done": Scenario(0, "register_sync", 40, (), (replace(ALL_CHANGE, accident="any before seal 1"),)),
}
"""What goes wrong without each of them."""


@pytest.mark.parametrize("safeguard", SAFEGUARDS)
def test_it_is_missed(zone: EmbeddedZone, tmp_path: Path, target: str, safeguard: str) -> None:
    def job(name: str, without: str) -> ChaoticJob:
        (tmp_path / name).mkdir()
        return ChaoticJob(MADE_FOR[safeguard], zone, tmp_path / name, f"{target}-{name}", without)

    job("with", without="").go_through()
    with pytest.raises(Unexpected) as found:
        job("without", safeguard).go_through()
    print(found.value)


@only_full
@pytest.mark.parametrize("safeguard", SAFEGUARDS)
def test_some_seed_misses_it(zone: EmbeddedZone, tmp_path: Path, target: str, safeguard: str) -> None:
    for seed in range(100):
        directory = tmp_path / str(seed)
        directory.mkdir()
        try:
            ChaoticJob(draw(seed), zone, directory, f"{target}-{seed}", safeguard).go_through()
        except Unexpected as error:
            print(f"seed {seed}: {error}")
            return
    pytest.fail(f"nobody misses: {safeguard}")
