"""The time one entry may take."""

from __future__ import annotations

import threading
import time

import pytest

from mpingest.ingest.deadline import MOST_STUCK, Deadline, TookTooLong, Watch


def test_what_is_done_in_time_gives_its_answer() -> None:
    assert Watch().run(5, lambda deadline: deadline.seconds) == 5


def test_what_it_raises_is_raised() -> None:
    def fail(_: Deadline) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        Watch().run(5, fail)


def test_what_takes_too_long_is_left_behind_and_can_go_no_further() -> None:
    go_on, ended = threading.Event(), threading.Event()

    def late(deadline: Deadline) -> None:
        go_on.wait()
        try:
            deadline.left()
        except TookTooLong:
            ended.set()

    began = time.monotonic()
    with pytest.raises(TookTooLong, match=r"timeout of 0\.05 s"):
        Watch().run(0.05, late)
    assert time.monotonic() - began < 5
    go_on.set()
    assert ended.wait(5)


def test_only_so_many_may_be_stuck() -> None:
    watch, go_on = Watch(), threading.Event()
    for _ in range(MOST_STUCK):
        with pytest.raises(TookTooLong, match="took longer"):
            watch.run(0.001, lambda _: go_on.wait())
    with pytest.raises(TookTooLong, match="not tried"):
        watch.run(5, lambda _: 1)
    go_on.set()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert watch.run(5, lambda _: 1) == 1
            return
        except TookTooLong:
            time.sleep(0.01)
    pytest.fail("those that are no longer stuck still count")
