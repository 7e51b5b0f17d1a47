"""The controller against simulated servers, by a virtual clock."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import numpy as np
import pytest

from mpingest.jobs.steering import RESPITE, Observation, Steering

TICK = 0.25
SECONDS = 300.0
FIXED = (1, 2, 4, 8, 16)


@dataclass
class Server:
    """Requests in flight in a closed loop: as many as the limit allows.

    seconds(rng, in_flight, now): what a request takes that begins now
    """

    seconds: Callable[[Random, int, float], float]
    slots: Callable[[float], int] = lambda _: 10**6
    wanted: Callable[[float], int] = lambda _: 10**6
    fails: Callable[[Random, int], bool] = lambda _rng, _in_flight: False
    rng: Random = field(default_factory=lambda: Random(1))

    def run(self, limit_of: Callable[[Observation], int], limit: int, seconds: float = SECONDS) -> float:
        """Requests a second. limit_of: called each tick."""
        now, ticks, done, took, squares, overloads, requests = 0.0, 0, 0, 0.0, 0.0, 0, 0
        waiting: list[float] = []  # when each was sent that waits for a slot
        running: list[tuple[float, float]] = []  # when each ends, and when it was sent
        while now < seconds:
            in_flight = len(waiting) + len(running)
            while in_flight < min(limit, self.wanted(now)):
                waiting.append(now)
                in_flight += 1
            while waiting and len(running) < self.slots(now):
                heapq.heappush(running, (now + self.seconds(self.rng, in_flight, now), waiting.pop(0)))
            tick = (ticks + 1) * TICK
            if running and running[0][0] <= tick:
                now, sent = heapq.heappop(running)
                took += now - sent
                squares += (now - sent) ** 2
                requests += 1
                failed = self.fails(self.rng, in_flight)
                overloads += failed
                done += not failed
            else:
                now, ticks = tick, ticks + 1
                sums = (np.array([done]), np.array([took]), squares)
                seen = Observation(now, requests, overloads, *sums, self.wanted(now))
                limit = limit_of(seen)
        return done / seconds


def steered(server: Server, seconds: float = SECONDS, most: int = 32) -> tuple[float, Steering]:
    steering = Steering(most)

    def limit_of(seen: Observation) -> int:
        steering.observe(seen)
        return steering.limit

    return server.run(limit_of, steering.limit, seconds), steering


def best_fixed(make: Callable[[], Server], seconds: float = SECONDS) -> float:
    return max(make().run(lambda _, limit=limit: limit, limit, seconds) for limit in FIXED)


@dataclass
class Bundles:
    """As ``Server``, but each connection sends some short requests and then one that takes seconds.

    seconds(in_flight): what the long one takes that begins now
    """

    seconds: Callable[[int], float]
    members: int = 300
    short: float = 0.01
    shorts: int = 25

    def run(self, limit_of: Callable[[Observation], int], limit: int, seconds: float = SECONDS) -> float:
        """Members a second. limit_of: called each tick."""
        now, ticks, requests, squares = 0.0, 0, 0, 0.0
        done, took = np.zeros(2), np.zeros(2)
        running: list[tuple[float, float, int]] = []  # when each ends, when it was sent, which of its connection
        while now < seconds:
            while len(running) < limit:
                heapq.heappush(running, (now + self.short, now, 0))
            tick = (ticks + 1) * TICK
            if running[0][0] > tick:
                now, ticks = tick, ticks + 1
                limit = limit_of(Observation(now, requests, 0, done.copy(), took.copy(), squares, 100))
                continue
            now, sent, place = heapq.heappop(running)
            kind = int(place == self.shorts)
            done[kind] += self.members if kind else 1
            took[kind] += now - sent
            squares += (now - sent) ** 2
            requests += 1
            if len(running) < limit:
                place = (place + 1) % (self.shorts + 1)
                lasts = self.seconds(len(running) + 1) if place == self.shorts else self.short
                heapq.heappush(running, (now + lasts, now, place))
        return float(done[1]) / seconds


def exponential(mean: float) -> Callable[[Random, int, float], float]:
    return lambda rng, _in_flight, _now: rng.expovariate(1 / mean)


HALF = SECONDS / 2


def in_two_halves(first: float, then: float) -> Callable[[Random, int, float], float]:
    return lambda rng, _in_flight, now: rng.expovariate(1 / (first if now < HALF else then))


def growing(mean: float, bearable: int) -> Callable[[Random, int, float], float]:
    return lambda rng, in_flight, _now: rng.expovariate(1 / (mean * (1 + in_flight / bearable)))


def noisy(mean: float) -> Callable[[Random, int, float], float]:
    """Long tails, and a speed of its own that comes and goes."""
    return lambda rng, _in_flight, now: rng.lognormvariate(math.log(mean), 1.2) * (1 + 0.5 * math.sin(now / 7))


def crowding(mean: float, slots: int) -> Callable[[Random, int, float], float]:
    """Each request beyond the slots makes all of them slower."""
    return lambda rng, in_flight, _now: rng.expovariate(1 / (mean * (1 + 0.1 * max(0, in_flight - slots))))


SERVERS: dict[str, Callable[[], Server]] = {
    "1 slot": lambda: Server(exponential(0.003), lambda _: 1),
    "2 slots": lambda: Server(exponential(0.003), lambda _: 2),
    "8 slots": lambda: Server(exponential(0.012), lambda _: 8),
    "8 slots, slow": lambda: Server(exponential(0.1), lambda _: 8),
    "half as fast in mid-run": lambda: Server(in_two_halves(0.012, 0.024), lambda _: 8),
    "half as many slots in mid-run": lambda: Server(exponential(0.012), lambda now: 8 if now < HALF else 4),
    "twice as many slots in mid-run": lambda: Server(exponential(0.012), lambda now: 4 if now < HALF else 8),
    "latency that grows": lambda: Server(growing(0.003, 4)),
    "too many cost": lambda: Server(crowding(0.006, 4), lambda _: 4),
    "noise": lambda: Server(noisy(0.012), lambda _: 8),
}


@pytest.mark.parametrize("server", SERVERS)
def test_about_as_fast_as_the_best_fixed_number(server: str) -> None:
    best = best_fixed(SERVERS[server])
    speed, steering = steered(SERVERS[server]())
    assert speed > 0.9 * best, steering.limit


@pytest.mark.parametrize(("slots", "most"), [(2, 4), (8, 32)])
def test_long_requests_are_waited_for(slots: int, most: int) -> None:
    """Short ones, of which more come with each connection, say little about those that go on for seconds."""
    server = Bundles(lambda in_flight: 1.2 * max(1.0, in_flight / slots))
    best = max(server.run(lambda _, limit=limit: limit, limit) for limit in FIXED)
    steering, limits = Steering(64), []

    def limit_of(seen: Observation) -> int:
        steering.observe(seen)
        limits.append(steering.limit)
        return steering.limit

    assert server.run(limit_of, steering.limit) > 0.8 * best
    assert max(limits) <= most
    assert sum(limits) / len(limits) <= 2 * slots


@pytest.mark.parametrize(("server", "most"), [("1 slot", 4), ("2 slots", 6), ("8 slots", 18), ("too many cost", 9)])
def test_no_more_in_flight_than_are_of_use(server: str, most: int) -> None:
    """Over the second half, on average."""
    steering, limits = Steering(32), []

    def limit_of(seen: Observation) -> int:
        steering.observe(seen)
        limits.append(steering.limit)
        return steering.limit

    SERVERS[server]().run(limit_of, steering.limit)
    later = limits[len(limits) // 2 :]
    assert sum(later) / len(later) <= most


@pytest.mark.parametrize("most", [1, 2, 5])
def test_never_above_the_highest_limit(most: int) -> None:
    steering = Steering(most)

    def limit_of(seen: Observation) -> int:
        steering.observe(seen)
        assert 1 <= steering.limit <= most
        return steering.limit

    Server(exponential(0.01)).run(limit_of, steering.limit, 60)


def test_an_overload_halves_the_limit_and_keeps_it_down() -> None:
    server = Server(exponential(0.01), fails=lambda rng, in_flight: in_flight > 8 and rng.random() < 0.2)
    steering, trail = Steering(64), []

    def limit_of(seen: Observation) -> int:
        if decision := steering.observe(seen):
            trail.append(decision)
        return steering.limit

    server.run(limit_of, steering.limit, 60)
    overloads = [decision for decision in trail if decision.why == "overload"]
    assert overloads
    for decision in overloads:
        assert decision.limit == decision.before // 2
        later = [other for other in trail if decision.at < other.at < decision.at + 10]
        assert all(other.limit <= decision.before for other in later)
    assert len(overloads) <= 60 / RESPITE + 2


def test_nothing_is_learnt_while_there_is_too_little_to_do() -> None:
    """Two requests at most could be in flight: whether more would pay can't be known."""
    _, steering = steered(Server(exponential(0.01), wanted=lambda _: 2), 60)
    assert steering.limit <= 3


def test_a_server_that_does_nothing_for_a_while_is_no_reason_to_change() -> None:
    def outage(rng: Random, _in_flight: int, now: float) -> float:
        return 200.0 - now if 60 < now < 200 else rng.expovariate(1 / 0.012)

    speed, steering = steered(Server(outage, lambda _: 8))
    assert 4 <= steering.limit <= 32
    assert speed > 0.8 * best_fixed(lambda: Server(outage, lambda _: 8))


def test_a_change_says_what_it_is_about() -> None:
    steering, trail = Steering(32), []

    def limit_of(seen: Observation) -> int:
        if decision := steering.observe(seen):
            trail.append(decision)
        return steering.limit

    Server(exponential(0.012), lambda _: 8).run(limit_of, steering.limit, 20)
    assert [(decision.before, decision.limit) for decision in trail[:2]] == [(2, 4), (4, 8)]
    assert trail[0].why == "slow start"
    assert trail[0].latency == pytest.approx(0.012, rel=0.5)
    assert trail[0].speed == pytest.approx(2 / 0.012, rel=0.5)
    assert all(first.limit == second.before for first, second in pairwise(trail))


def test_another_kind_of_request_is_no_other_speed() -> None:
    """Slow requests after fast ones: the limit stays where it is."""
    steering = Steering(32)
    done, took, squares, now, requests, changes = np.zeros(2), np.zeros(2), 0.0, 0.0, 0, 0
    for tick in range(1200):
        now += TICK
        in_use = min(steering.limit, 8)
        kind, seconds = (0, 0.01) if tick < 600 else (1, 0.1)
        count = in_use * TICK / seconds
        done[kind] += count
        took[kind] += steering.limit * TICK
        squares += count * (steering.limit * TICK / count) ** 2
        requests += int(count)
        decision = steering.observe(Observation(now, requests, 0, done.copy(), took.copy(), squares, 100))
        changes += decision is not None and not 4 <= decision.limit <= 16
    assert 8 <= steering.limit <= 13
