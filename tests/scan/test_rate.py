from __future__ import annotations

import math
import threading

import pytest

from mpingest.scan.rate import BURST_SECONDS, Rate, TokenBucket


@pytest.mark.parametrize(
    ("rate", "seconds", "most", "taken"),
    [
        (1000, 0, 5, 0),
        (1000, 0.0101, 5, 5),
        (1000, 0.0101, 50, 10),
        (1000, 3600, 500, 20),  # no more is kept than of the burst
        (1, 0.5, 5, 0),
        (1, 1.0, 5, 1),
        (1, 3600, 5, 1),
        (0, 3600, 5, 0),
        (0.5, 2.0, 5, 1),
    ],
)
def test_a_bucket_gives_whole_tokens_of_its_rate(rate: float, seconds: float, most: int, taken: int) -> None:
    assert TokenBucket(rate, at=100.0).take(most, 100.0 + seconds) == taken


def test_no_more_than_the_rate_in_the_long_run() -> None:
    bucket, taken, now = TokenBucket(300, at=0.0), 0, 0.0
    while now < 100:
        taken += bucket.take(7, now)
        now += 0.0013
    assert 300 * (100 - 1) < taken <= 300 * (100 + BURST_SECONDS)


@pytest.mark.parametrize(
    ("rate", "tokens", "delay"), [(10, 0.0, 0.1), (10, 0.5, 0.05), (10, 1.0, 0), (0, 0.5, math.inf)]
)
def test_how_long_until_there_is_one(rate: float, tokens: float, delay: float) -> None:
    assert TokenBucket(rate, 0.0, tokens).delay() == pytest.approx(delay)


def test_a_changed_rate_counts_from_the_change() -> None:
    bucket = TokenBucket(1000, at=0.0)
    bucket.change(100, 0.01)
    assert bucket.tokens == pytest.approx(2)  # of the 10 there were: the burst of the new rate
    bucket.change(0, 0.01)
    assert bucket.take(5, 1000.0) == 1


def test_without_a_limit_everything_may_be_done_at_once() -> None:
    rate = Rate()
    assert not rate.limited
    assert rate.take(12345) == 12345
    rate.set(10)
    assert rate.limited
    rate.set(math.inf)
    assert not rate.limited


def test_threads_that_wait_do_so_by_a_new_rate() -> None:
    rate = Rate(0)
    taken: list[int] = []
    threads = [threading.Thread(target=lambda: taken.append(rate.take(1))) for _ in range(3)]
    for thread in threads:
        thread.start()
    rate.set(1_000_000)
    for thread in threads:
        thread.join()
    assert taken == [1, 1, 1]


def test_nobody_waits_once_closed() -> None:
    rate = Rate(0)
    taken: list[int] = []
    thread = threading.Thread(target=lambda: taken.append(rate.take(1)))
    thread.start()
    rate.close()
    thread.join()
    assert taken == [0]


def test_what_was_not_done_can_be_given_back() -> None:
    rate = Rate(0.001)
    rate.give_back(1)
    assert rate.take(5) == 1


@pytest.mark.parametrize("rate", [-1, math.nan])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate(rate)


def test_what_is_spent_at_once_is_owed() -> None:
    bucket, spent = TokenBucket(1000, at=0.0, tokens=1.0), []
    for tick in range(1, 101):
        if bucket.spend(500, tick * 0.1):
            spent.append(tick)
    assert spent[:4] == [1, 6, 11, 16], "the first at once, then one each half second"


def test_spending_waits_for_a_new_rate() -> None:
    rate = Rate(0)
    thread = threading.Thread(target=rate.spend, args=(1000,))
    thread.start()
    rate.set(1e9)
    thread.join()
    rate.set(0)
    rate.close()
    rate.spend(1)  # nobody waits once closed
