"""What a rank writes to two pipes comes in the order in which it was written."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpingest.jobs.terminal import wait_until_passed_on


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_what_was_written_is_waited_for(pipe: tuple[int, int]) -> None:
    theirs, ours = pipe
    os.write(ours, b"drawn")
    taken: list[bytes] = []
    reader = threading.Timer(0.2, lambda: taken.append(os.read(theirs, 100)))
    reader.start()
    wait_until_passed_on(ours)
    reader.join(0.1)
    assert taken == [b"drawn"]


def test_who_never_reads_is_not_waited_for_long(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"drawn")
    began = time.monotonic()
    wait_until_passed_on(pipe[1])
    assert 0.9 < time.monotonic() - began < 5


def test_nothing_waits_where_there_is_nothing_to_wait_for(pipe: tuple[int, int], tmp_path: Path) -> None:
    began = time.monotonic()
    wait_until_passed_on(pipe[1])
    with open(tmp_path / "file", "wb", buffering=0) as file:
        file.write(b"drawn")
        wait_until_passed_on(file.fileno())
    assert time.monotonic() - began < 0.5
