"""The threads that stat: right for any number of callers, never more at once than allowed, and they can be ended."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpingest.scan import pool as pools
from mpingest.scan.names import NameSlice
from mpingest.scan.pool import PoolClosed, StatPool, useful_callers
from mpingest.scan.rate import Rate
from tests.bench._latency import build_shim, delayed, stats_and_peak

FILES = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("files")
    for number in range(FILES):
        (path / str(number)).write_bytes(b"x" * number)
    return os.fsencode(path)


@pytest.fixture
def fd(folder: bytes) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = build_shim(tmp_path_factory.mktemp("shim"))
    if built is None:
        pytest.skip("no C compiler: install gcc")
    return built


@pytest.fixture(params=[False, True], ids=["as measured", "always shared"])
def sharing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether guests are invited even where stats are fast, so that threads really meet."""
    if request.param:
        monkeypatch.setattr(pools, "SLOW_NS", 0)
        monkeypatch.setattr(pools, "SHARE_NS", 1)
        monkeypatch.setattr(pools, "GRAIN_NS", 1)
        monkeypatch.setattr(pools, "QUANTUM_NS", 10_000)
        monkeypatch.setattr(pools, "TURN_NS", 10_000)


@pytest.mark.parametrize(("threads", "callers"), [(1, 1), (1, 4), (2, 2), (8, 1), (8, 3), (4, 8)])
def test_every_caller_gets_what_it_asked_for(sharing: None, folder: bytes, fd: int, threads: int, callers: int) -> None:
    wrong: list[object] = []

    def call(seed: int) -> None:
        for count in range(seed, FILES, 37):
            names = NameSlice.build([b"%d" % number for number in range(count)] + [b"no"])
            rows, errnos, failed = pool.stat(fd, folder, names)
            if rows["size"].tolist() != [*range(count), 0] or errnos.tolist() != [0] * count + [2] or failed != 1:
                wrong.append((rows, errnos))

    with StatPool(threads) as pool:
        workers = [threading.Thread(target=call, args=(seed,)) for seed in range(callers)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert pool.longest() is None
    assert not wrong


@pytest.mark.parametrize(
    ("stat_us", "turn_us", "native", "callers"),
    [
        (300, 300, False, 16),
        (300, 9000, True, 16),
        (1, 10, True, 1),
        (1, 200, True, 4),
        (2, 10, False, 1),
        (2, 400, False, 1),
    ],
)
def test_as_many_callers_as_pay(stat_us: float, turn_us: float, native: bool, callers: int) -> None:
    assert useful_callers(16, stat_us * 1000, turn_us * 1000, native=native, cores=4) == callers
    assert useful_callers(1, stat_us * 1000, turn_us * 1000, native=native, cores=4) == 1


def test_nothing_to_stat(folder: bytes, fd: int) -> None:
    rows, errnos, failed = StatPool(4).stat(fd, folder, NameSlice.build([]))
    assert (len(rows), len(errnos), failed) == (0, 0, 0)


def test_a_pool_needs_a_thread() -> None:
    with pytest.raises(ValueError, match="0 threads"):
        StatPool(0)


@pytest.mark.parametrize("threads", [1, 4])
def test_closing_ends_what_waits_for_its_rate(folder: bytes, fd: int, threads: int) -> None:
    pool = StatPool(threads, Rate(0))
    ended: list[type[BaseException]] = []

    def call() -> None:
        try:
            pool.stat(fd, folder, NameSlice.build([b"1", b"2"]))
        except PoolClosed as error:
            ended.append(type(error))

    callers = [threading.Thread(target=call) for _ in range(6)]
    for caller in callers:
        caller.start()
    pool.close()
    for caller in callers:
        caller.join()
    assert ended == [PoolClosed] * 6


def test_a_closed_pool_stats_nothing(folder: bytes, fd: int) -> None:
    with StatPool(2) as pool:
        pass
    with pytest.raises(PoolClosed):
        pool.stat(fd, folder, NameSlice.build([b"1"]))


def test_a_limited_rate_is_kept(folder: bytes, fd: int) -> None:
    rate = Rate(1000)
    names = NameSlice.build([b"1"] * 100)
    began = time.monotonic()
    with StatPool(4, rate) as pool:
        pool.stat(fd, folder, names)
    assert time.monotonic() - began > 0.07  # 100 names but for those of the burst


SLOW_SCAN = """
import os, sys, threading
from mpingest.scan.directory import DirectoryScan
from mpingest.scan.pool import StatPool
path, threads, callers = os.fsencode(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
def call():
    with DirectoryScan(path, pool=pool) as scan:
        assert sum(len(portion.entries) for portion in scan.portions(100)) == 300
with StatPool(threads) as pool:
    callers = [threading.Thread(target=call) for _ in range(callers)]
    [caller.start() for caller in callers]
    [caller.join() for caller in callers]
"""

BOTH = pytest.mark.parametrize("native", ["0", "1"])


def environment(native: str, variables: dict[str, str]) -> dict[str, str]:
    return os.environ | {"MPINGEST_NATIVE": native} | variables


@BOTH
@pytest.mark.parametrize(("threads", "callers"), [(1, 1), (1, 3), (6, 1), (6, 3), (3, 6)])
def test_slow_stats_are_in_flight_together_but_never_too_many(
    folder: bytes, shim: Path, tmp_path: Path, native: str, threads: int, callers: int
) -> None:
    report = tmp_path / "report"
    command = [sys.executable, "-c", SLOW_SCAN, os.fsdecode(folder), str(threads), str(callers)]
    subprocess.run(command, env=environment(native, delayed(shim, 1000, report=report)), check=True)
    count, peak = stats_and_peak(report)
    assert count >= FILES * callers
    assert peak == threads


HUNG_SCAN = """
import os, sys, threading, time
from mpingest.scan.directory import DirectoryScan
from mpingest.scan.pool import PoolClosed, StatPool, useful_callers
path = os.fsencode(sys.argv[1])
pool = StatPool(4)
def call():
    with DirectoryScan(path, pool=pool) as scan:
        try:
            list(scan.portions(1000))
        except PoolClosed:
            print("closed")
threading.Thread(target=call, daemon=True).start()
while (waiting := pool.longest()) is None or waiting.seconds < 0.3:
    time.sleep(0.01)
print(os.fsdecode(waiting.path))
pool.close()
time.sleep(0.3)
os._exit(0)
"""


@BOTH
def test_a_hung_stat_can_be_named(folder: bytes, shim: Path, native: str) -> None:
    variables = delayed(shim, 1000, hang="123")
    output = subprocess.run(
        [sys.executable, "-c", HUNG_SCAN, os.fsdecode(folder)],
        env=environment(native, variables),
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    assert output.splitlines()[0] == os.fsdecode(folder) + "/123"
