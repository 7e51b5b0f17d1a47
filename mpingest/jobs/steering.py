"""How many requests a job has in flight: found out while it runs, by what more and fewer of them make of its speed.

A pure state machine, told now and then what was done; the clock is the caller's. It compares the speed with one limit
with that of the next, measured one right after the other, so a server whose speed changes misleads it once at most.

1. **Slow start.** The limit is doubled while that pays.
2. **Probes.** Then every so often a somewhat higher or lower limit is tried: a higher one is kept where the speed has
   grown by a fair part of what the limit has, a lower one where it has hardly fallen. So the limit settles at about the
   smallest with which the server is as fast as it can be. Where nothing is better the next probe comes later; where the
   speed has changed by itself, soon.
3. **Overload.** Where the server says that it has no means for more, the limit is halved, and not raised for some time.

Speeds are compared by what was done of each kind of request, each kind weighed by the time that it took: a put counts
as several registers, and that a job comes to other files misleads it little. A measurement lasts as long as a few of
the requests that most of the time goes to, be they bundles of seconds among collections of milliseconds. Nothing is
learnt, nor tried, while less is to be done than could be in flight.

A limit that follows what was measured is that of congestion control (slow start, additive increase and multiplicative
decrease: Jacobson, 1988); probes up and down are those of hill climbing, as thread pools use it (Hellerstein et al.,
"Optimizing concurrency levels in the .NET ThreadPool", 2009).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FIRST_LIMIT = 2
STEP = 1.5
"""By what the limit is changed for a probe."""
WORTH_RAISING = 0.15
"""What part of the growth of the limit the speed has to grow by for the higher one to be kept, in logarithms."""
WORTH_KEEPING = 0.10
"""What part of the fall of the limit the speed has to fall by for the higher one to be kept, likewise."""
CHANGED = 1.2
"""By what the speed has to change by itself for the next probe to come soon."""
CLEARLY_WORTH_KEEPING = 0.5
"""As that, at a glance: where the speed falls by so much, the lower limit is not kept any longer to be sure."""
DOUBLING_PAYS = 0.3
"""As ``WORTH_RAISING``, for slow start, which measures less and goes further."""
SHORTEST_PAUSE = {True: 4.0, False: 12.0}
LONGEST_PAUSE = {True: 12.0, False: 60.0}
"""Seconds between probes upward, and downward, which cost more where they show that nothing is better."""
RESPITE = 15.0
"""Seconds after an overload without a higher limit."""
TOLERATED = 0.01
"""Part of the requests that may fail for want of means."""

_SETTLING = 2
"""Observations that are left out after a change: what they tell of is in part older."""
_ENOUGH_SECONDS, _LONGEST = 20.0, 60.0
"""Seconds after which a measurement ends with fewer requests, and whatever there is."""
_BUSY = 0.8
"""Part of the observations of a measurement in which there has to be enough to do."""
_TOLD = 0.3
"""Part of what is in flight that has to be told of, lest a few short requests stand for long ones that go on."""
_MANY_TURNS = 10
"""From so many on what was answered tells how many were in flight; before, it is mere chance when long ones end."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Observation:
    """What there was up to ``now``, in seconds by the caller's clock.

    requests:  how many were sent
    overloads: those of them for which the server had no means
    done:      what those did that were answered, by kind, float64, shape (k,)
    took:      seconds that they took, by kind, float64, shape (k,)
    squares:   the sum of the squares of what each took, seconds²
    wanted:    requests that could be in flight now, if the limit allowed it
    """

    now: float
    requests: int
    overloads: int
    done: Numbers
    took: Numbers
    squares: float
    wanted: int


@dataclass(frozen=True, slots=True)
class Decision:
    """A change of the limit. at: seconds; speed: requests a second, and latency: seconds of one, before the change."""

    at: float
    before: int
    limit: int
    speed: float
    latency: float
    why: str


@dataclass(frozen=True, slots=True)
class _Measured:
    """at: seconds; speed, latency: see ``Decision``; rates: done a second, costs: seconds of one, both by kind.

    turn: seconds that the request takes that is in flight at some moment: those that take longer count for more
    told: what part of all that was in flight the requests are that were answered, where the limit was made use of
    busy: whether there was enough to do for the limit
    """

    at: float
    speed: float
    latency: float
    turn: float
    told: float
    rates: Numbers
    costs: Numbers
    busy: bool

    def ratio(self, later: _Measured) -> float:
        """The speed of another measurement by this one's."""
        weights = np.where(self.costs > 0, self.costs, later.costs)
        mine, its = float(self.rates @ weights), float(later.rates @ weights)
        return its / mine if mine and its else 1.0


@dataclass(frozen=True, slots=True)
class _Extent:
    """Of a measurement, at least: observations; requests; requests one after another, for few long ones say little."""

    ticks: int
    requests: int
    turns: float


_START = _Extent(2, 30, 2)
_REST = _Extent(8, 300, 12)
_GLANCE = _Extent(2, 100, 4)
_PROBE = _Extent(6, 300, 12)

Course = Generator[_Extent, _Measured, None]
"""Yields what the next measurement takes; is sent that."""


class Steering:
    """limit: requests that may be in flight now; most: the highest limit."""

    def __init__(self, most: int) -> None:
        self.limit = min(FIRST_LIMIT, most)
        self._most = most
        self._why = ""
        self._no_higher_before = -math.inf
        self._ignored = 0
        self._ignored_before = -math.inf
        self._seen: list[Observation] = []
        """Of the measurement under way, the one before it first."""
        self._begin(self._from_slow_start())

    def observe(self, seen: Observation) -> Decision | None:
        """Takes note; the change of the limit that follows, if any."""
        if not self._seen:
            self._seen = [seen]
            return None
        if self._ignored or seen.now < self._ignored_before:
            self._ignored = max(0, self._ignored - 1)
            self._seen = [seen]
            return None
        self._seen.append(seen)
        measured = self._measured()
        before = self.limit
        if self._is_overload():
            self._give_way(seen.now)
        elif self._suffices(measured):
            self._seen = [seen]
            self._extent = self._course.send(measured)
        if self.limit == before:
            return None
        self._seen, self._ignored = [seen], _SETTLING
        self._ignored_before = seen.now + min(measured.turn, _LONGEST)
        return Decision(seen.now, before, self.limit, measured.speed, measured.latency, self._why)

    def _begin(self, course: Course) -> None:
        self._course = course
        self._extent = next(course)

    def _measured(self) -> _Measured:
        first, last = self._seen[0], self._seen[-1]
        seconds, requests = last.now - first.now, last.requests - first.requests
        done, took = last.done - first.done, last.took - first.took
        busy = sum(seen.wanted >= self.limit for seen in self._seen[1:]) >= _BUSY * (len(self._seen) - 1)
        total = float(took.sum())
        if not requests or not total:
            return _Measured(last.now, 0.0, 0.0, 0.0, 0.0, np.zeros_like(done), np.zeros_like(done), busy=False)
        costs = np.divide(took, done, out=np.zeros_like(took), where=done > 0)
        turn = (last.squares - first.squares) / total
        told = total / (self.limit * seconds)
        rates = done / seconds
        if busy and seconds < _MANY_TURNS * turn:
            rates /= told
        return _Measured(last.now, requests / seconds, total / requests, turn, told, rates, costs, busy)

    def _suffices(self, measured: _Measured) -> bool:
        extent, seconds = self._extent, self._seen[-1].now - self._seen[0].now
        is_much = seconds > _ENOUGH_SECONDS or seconds * measured.speed > extent.requests
        is_told = measured.told > _TOLD or not measured.busy
        is_enough = is_much and is_told and seconds >= extent.turns * measured.turn
        return len(self._seen) > extent.ticks and (is_enough or seconds > _LONGEST)

    def _is_overload(self) -> bool:
        before, now = self._seen[-2:]
        return now.overloads - before.overloads > TOLERATED * (now.requests - before.requests)

    def _give_way(self, now: float) -> None:
        self._no_higher_before = now + RESPITE
        self._change(max(1, self.limit // 2), "overload")
        self._ignored = _SETTLING
        self._begin(self._probes())

    def _change(self, limit: int, why: str) -> None:
        self.limit, self._why = limit, why

    # Courses.

    def _from_slow_start(self) -> Course:
        yield _START  # of the time while connections are opened, which says little
        base = yield _START
        while (higher := min(2 * self.limit, self._most)) > self.limit:
            if not base.busy:
                base = yield _START
                continue
            before = self.limit
            self._change(higher, "slow start")
            trial = yield _START
            if not trial.busy or _elasticity(base, trial, higher / before) < DOUBLING_PAYS:
                self._change(before, "not worth it" if trial.busy else "not enough to do")
                break
            base = trial
        yield from self._probes()

    def _probes(self) -> Course:
        pause = dict(SHORTEST_PAUSE)
        base = yield _REST
        due = {upward: base.at + pause[upward] for upward in pause}
        while True:
            later = yield _REST
            if base.busy and later.busy and not 1 / CHANGED < base.ratio(later) < CHANGED:
                due = dict.fromkeys(due, later.at)
            base = later
            upward = min(due, key=lambda upward: due[upward])
            if not base.busy or base.at < due[upward]:
                continue
            end, pays = yield from self._probe(base, upward=upward)
            pause[upward] = min(LONGEST_PAUSE[upward], STEP * pause[upward])
            if pays:
                pause = dict(SHORTEST_PAUSE)
            due[upward] = end + pause[upward]
            due = {direction: min(due[direction], end + pause[direction]) for direction in due}

    def _probe(self, base: _Measured, *, upward: bool) -> Generator[_Extent, _Measured, tuple[float, bool]]:
        """When it was over, and whether the limit has changed."""
        before, other = self.limit, self._other(upward, base.at)
        if other == before:
            return base.at, False
        self._change(other, f"probe {'up' if upward else 'down'}")
        trial = yield _PROBE if upward else _GLANCE
        if not upward and trial.busy and _elasticity(base, trial, other / before) < CLEARLY_WORTH_KEEPING:
            trial = yield _PROBE
        elasticity = _elasticity(base, trial, other / before)
        pays = trial.busy and (elasticity >= WORTH_RAISING if upward else elasticity <= WORTH_KEEPING)
        if not pays:
            self._change(before, "not worth it" if trial.busy else "not enough to do")
        return trial.at, pays

    def _other(self, upward: bool, now: float) -> int:
        if not upward:
            return max(1, min(self.limit - 1, round(self.limit / STEP)))
        if now < self._no_higher_before:
            return self.limit
        return min(self._most, max(self.limit + 1, round(self.limit * STEP)))


def _elasticity(base: _Measured, trial: _Measured, growth: float) -> float:
    """What part of the growth of the limit that of the speed is, in logarithms: 1 for as much, 0 for none."""
    return math.log(base.ratio(trial)) / math.log(growth)
