"""The farm over real MPI: each test starts a world of its own with mpiexec."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpingest.farm.world import find_mpiexec

REPOSITORY = Path(__file__).parents[2]
MPIEXEC = find_mpiexec()

pytestmark = pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec: pip install 'mpingest[mpich]'")


def mpiexec(ranks: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "tests.farm.program", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


def traceback_of(failed: subprocess.CompletedProcess[str]) -> list[str]:
    """Last words on stderr, without the prefix; all are from one rank."""
    prefix = f" on {socket.gethostname()}: "
    parts = [line.partition(prefix) for line in failed.stderr.splitlines() if prefix in line]
    assert len({rank for rank, _, _ in parts}) == 1
    assert parts[0][0].startswith("rank ")
    return [text for _, _, text in parts]


def outcome_of(ranks: int, *arguments: str) -> dict:
    done = mpiexec(ranks, *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_every_unit_is_run_and_counted(ranks: int) -> None:
    outcome = outcome_of(ranks, "count")
    assert outcome["finished"] == outcome["counted"] == outcome["units"]
    assert outcome["shape"] == [ranks, 1]


def test_idle_ranks_sleep() -> None:
    load = outcome_of(4, "idle")["load"]
    print("load of each rank:", load)
    assert max(load) < 0.05


def test_a_sleeping_rank_soon_notices_a_message() -> None:
    outcome = outcome_of(3, "wake")
    print("milliseconds per message:", outcome)
    assert outcome["median_ms"] < 50


def test_large_units_are_shared() -> None:
    shares = outcome_of(4, "large")["shares"]
    assert sum(shares) == 65
    assert min(shares[1:]) > 0


def test_large_messages_both_ways_do_not_block() -> None:
    assert outcome_of(3, "cross")["received"] == [32 << 20] * 3


@pytest.mark.parametrize("ranks", [1, 3])
def test_stop_ends_the_farm_early(ranks: int) -> None:
    outcome = outcome_of(ranks, "stop")
    assert outcome["stopped"] == [True] * ranks
    assert outcome["dropped"] > 0
    assert outcome["seconds"] < 5


def test_a_rank_that_stalls_ends_the_farm_for_all() -> None:
    outcome = outcome_of(4, "stall")
    [[[rank, what]]] = [outcome["stalled"][0]]
    assert what == "unit 50"
    assert outcome["stalled"] == [[[rank, what]]] * 4
    assert outcome["dropped"][rank] == 1
    assert outcome["finished"] == 100


def test_tasks_are_dealt_out_and_all_hear_of_answers_and_the_first_failure() -> None:
    outcome = outcome_of(3, "dealt")
    assert outcome["answers"] == [[[number, number % 3] for number in range(7)]] * 3
    assert outcome["failures"] == ["[Errno 28] no space"] * 3
    assert outcome["none"] == []


@pytest.mark.parametrize(
    ("where", "code", "message"),
    [
        ("before", 70, "ValueError: before the farm"),
        ("thread", 70, "ValueError: out of a unit's thread"),
        ("stray", 70, "ValueError: invalid literal"),
        ("known", 1, "the target is no collection"),
    ],
)
def test_an_exception_on_one_rank_ends_the_world(where: str, code: int, message: str) -> None:
    began = time.monotonic()
    failed = mpiexec(3, "fail", where)
    assert time.monotonic() - began < 20
    assert failed.returncode == code
    assert traceback_of(failed)[-1].startswith(message)


@pytest.mark.parametrize("breaks_stderr", [False, True])
def test_an_exception_in_a_world_without_launcher_ends_it(breaks_stderr: bool) -> None:
    command = [sys.executable, "-m", "tests.farm.program", "fail", "before"]
    shell = f"exec {shlex.join(command)}" + (" 2>&-" if breaks_stderr else "")
    failed = subprocess.run(  # a live thread would hold up any other end
        shell, shell=True, cwd=REPOSITORY, capture_output=True, text=True, timeout=20, check=False
    )
    assert failed.returncode == 70
    assert breaks_stderr or traceback_of(failed)[-1] == "ValueError: before the farm"
