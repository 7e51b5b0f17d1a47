"""What has not arrived yet: files by their times, directories by their marker."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from mpingest.handler.operations import Operation
from mpingest.jobs.arrivals import Arrivals, now_ns
from mpingest.jobs.spec import RunOptions
from mpingest.scan.entries import ENTRY_DTYPE, entry_row
from mpingest.scan.pool import StatPool

SECOND = 10**9
NOW = 10**6 * SECOND
LONG = NOW - 3600 * SECOND
SETTLE = Arrivals.of(RunOptions(Operation.PUT, settle=60), NOW)


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "young"),
    [
        (LONG, LONG, False),
        (NOW - 61 * SECOND, NOW - 61 * SECOND, False),
        (NOW - 59 * SECOND, NOW - 59 * SECOND, True),
        (NOW, NOW, True),
        (LONG, NOW, False),  # copied with its mtime, renamed or with another mode
        (NOW + 3600 * SECOND, NOW - 61 * SECOND, False),  # set by an instrument whose clock is wrong
        (NOW + 3600 * SECOND, NOW - 59 * SECOND, True),
        (NOW + SECOND, NOW + SECOND, True),  # written since the run began
        (-SECOND, LONG, False),
    ],
)
def test_young_is_what_may_have_been_written_lately(mtime_ns: int, ctime_ns: int, young: bool) -> None:
    rows = np.zeros(2, ENTRY_DTYPE)
    rows["mtime_ns"], rows["ctime_ns"] = [mtime_ns, LONG], [ctime_ns, LONG]
    assert SETTLE.are_young(rows).tolist() == [young, False]
    assert not Arrivals.of(RunOptions(Operation.PUT), NOW).are_young(rows).any()


def test_a_directory_is_ready_once_nothing_anywhere_below_it_is_young(tmp_path: Path) -> None:
    (tmp_path / "run/a/b").mkdir(parents=True)
    for name in ("run/DONE", "run/a/b/file"):
        (tmp_path / name).touch()
    paths = [tmp_path / "run", *(tmp_path / "run").rglob("*")]
    for path in paths:
        os.utime(path, (1, 1))

    def is_ready() -> bool:
        arrivals = Arrivals(time.time_ns() - 60 * SECOND, b"DONE")
        with StatPool() as pool:
            return arrivals.is_ready(os.fsencode(tmp_path / "run"), entry_row((tmp_path / "run").lstat()), pool)

    assert is_ready()
    for path in paths:
        os.utime(path)
        assert not is_ready(), path
        os.utime(path, (1, 1))
    (tmp_path / "run/a/link").symlink_to("/nowhere")
    assert not is_ready()


def test_only_directories_at_the_top_have_to_be_ready() -> None:
    arrivals = Arrivals(ready_file=b"DONE")
    assert [arrivals.concerns(path) for path in (b"", b"run", b"run/a")] == [False, True, False]
    assert not Arrivals().concerns(b"run")


def test_the_clock_is_that_of_the_file_system_where_it_can_be_told(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs"
    jobs.mkdir()
    file = tmp_path / "file"
    file.touch()
    assert now_ns(os.fsencode(tmp_path), str(jobs)) >= file.stat().st_mtime_ns
    assert os.listdir(jobs) == []
    assert now_ns(b"/proc", str(jobs)) >= file.stat().st_mtime_ns
