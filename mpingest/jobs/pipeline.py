"""A worker's work: scan a directory, diff it, make its collection, ingest its entries.

The farm's main thread begins units and collects events; threads of the pipeline do everything else. As many of them
ingest as the rank has slots, some more scan; whatever has a request to send takes a slot for it. A scan is a generator
that pauses after each slice: once ``SLICES_AHEAD`` wait, threads ingest instead of scanning on. That bounds the memory
of a directory of any size, and what waits can be stolen meanwhile.
"""

from __future__ import annotations

import heapq
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mpingest.farm.executor import Divisible, Finished, Spawned
from mpingest.farm.limits import Rates, SlotUse
from mpingest.farm.units import Unit, UnitKind
from mpingest.ingest.actions import Situation
from mpingest.ingest.bundles import MOST_FILES, Answer, File
from mpingest.ingest.entry import Known, Result
from mpingest.ingest.retry import Interrupted, ZoneGone
from mpingest.jobs import tally
from mpingest.jobs.profile import DIRECTORY_STEP, ENTRY_STEP
from mpingest.jobs.renames import Renames
from mpingest.jobs.slices import Part, Portion, Retry, SliceRun, next_bundle
from mpingest.jobs.tools import Tools
from mpingest.jobs.units import Slice, Subtree, is_slice, looked_at_of
from mpingest.jobs.visit import Visitor
from mpingest.manifest.states import Change, Outcome
from mpingest.scan.pool import PoolClosed

TURN_SECONDS = 2e-3
"""How much work of scanning threads have before them, so that the main loop need not turn for each directory."""
MOST_SCANS_AHEAD = 32
"""Directories that this is at most: what has been given to threads cannot be stolen."""
SLICES_AHEAD = 8
"""Slices that may wait for a rank before its scans pause."""
SEAL_CHECK_SECONDS = 5.0
"""How often an idle thread looks for rows that have waited long enough, and connections that nobody uses."""
MOST_GATHERED = 100
"""Slices that may wait to become bundles together."""
GATHERING_SECONDS = 0.5
"""How long files wait for others that are to be in the same bundle."""
MOST_SESSIONS = 64
"""Threads of a rank that ingest at a time."""
WORTH_A_SLOT = 100
"""Files of a bundle for which another connection pays."""
MOST_ASLEEP = 64
"""Slices that may wait for entries to be tried again, beside those under way."""
SCANNING = "scanning"
"""What a thread says that it is doing in a directory."""
PATIENCE_SECONDS = 10.0
"""How long threads get to end what they are at when the run does; Slurm kills 30 s after its SIGTERM."""
TAKE_BACK_SECONDS = 3.0
"""How long they get to take back what was given up."""


class Visits(Protocol):
    """What threads do about directories, and about slices of which there is something to look at.

    Both give, a step at a time, the units that come of it.
    """

    def visit(self, subtree: Subtree) -> Iterator[list[Unit]]: ...  # noqa: D102
    def look(self, looked_at: Any, /) -> Iterator[list[Unit]]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class _Scan:
    """A directory under way; ``steps`` gives the units found slice by slice."""

    unit: Unit
    relative: bytes
    steps: Iterator[list[Unit]]


@dataclass(frozen=True, slots=True)
class _Note:
    """What a thread is at. since: on the monotonic clock; relative: the path, from the root."""

    since: float
    doing: str
    relative: bytes


@dataclass
class Pipeline:
    """The farm's executor of one rank (see ``mpingest.farm.executor.Executor``).

    Use as a context manager: leaving it ends the threads.

    rates: those that hold until the farm says otherwise; slots there are none until then
    """

    visitor: Visits
    tools: Tools
    rates: Rates
    _events: deque[Spawned | Finished] = field(default_factory=deque)
    _slices: deque[SliceRun] = field(default_factory=deque)
    _scans: deque[_Scan] = field(default_factory=deque)
    _looks: deque[_Scan] = field(default_factory=deque)
    _scanning: list[Unit] = field(default_factory=list)
    """Directories, and slices of names to look at."""
    _slices_waiting: int = 0
    _subtrees_waiting: int = 0
    _error: BaseException | None = None
    _zone_gone: str = ""
    """What to say of it, once it is."""
    _stopping: bool = False
    _abandoned: bool = False
    _notes: dict[int, _Note] = field(default_factory=dict)
    """By thread; none where it has nothing to do."""
    _ingesting: int = 0
    """Threads that ingest."""
    _pace: float = 0.0
    """Seconds that a thread lately took for an entry; 0 before the first."""
    _scan_seconds: float = 0.0
    """The same for a step of a scan."""
    _last_counts: tally.Counts = field(default_factory=tally.new_counts)
    _last_progress: float = 0.0

    def __post_init__(self) -> None:
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        self._scannable = threading.Condition(lock)
        self._news = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Pipeline:
        self.allot(self.rates)
        self.tools.traffic.gate.resize(0)
        self._start_threads(self.tools.pool.threads)
        return self

    def _start_threads(self, count: int) -> None:
        """Have so many, each with its number."""
        for number in range(len(self._threads), count):
            thread = threading.Thread(target=self._work, args=(number,), name=f"worker-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is not None:
            self.tools.ingestor.logger.warning("cut short", reason=str(error), at=self._whereabouts())
        with self._changed:
            self.tools.ending.set()
            self._wake()
        self.tools.traffic.close()
        end = time.monotonic() + (TAKE_BACK_SECONDS if self._abandoned else PATIENCE_SECONDS)
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            self.tools.recorder.shut()
            self.tools.ingestor.logger.error("left behind", at=self._whereabouts())

    # What the farm asks, from the main thread.

    def room_for(self, kind: UnitKind) -> bool:
        """Two slices, one for the end of the other, or as many as keep all threads busy. A bundle may hold many."""
        with self._changed:
            if kind is UnitKind.SLICE:
                busy = sum(run.busy for run in self._slices)
                # Whether a slice is one to look at or one to ingest shows only when it begins.
                return (
                    (busy < 2 or self._gathers() or self._takes < self.sessions)
                    and len(self._slices) - busy < MOST_ASLEEP
                    and self._scanned(UnitKind.SLICE) < self._scanners
                )
            return self._scanned(UnitKind.SUBTREE) < self._scanners + self._scans_ahead

    @property
    def _scans_ahead(self) -> int:
        """Scans that may wait for a thread, so that it need not wait for the farm's main loop: no long work."""
        if not self._scan_seconds or self._slices_waiting >= SLICES_AHEAD:
            return 0
        return min(MOST_SCANS_AHEAD, int(TURN_SECONDS / self._scan_seconds))

    def _gathers(self) -> bool:
        """Whether more slices are wanted for a bundle of them all."""
        return (
            len(self._slices) < MOST_GATHERED
            and any(run.bundles and run.slice.fresh for run in self._slices)
            and sum(run.not_begun for run in self._slices) < self.sessions * MOST_FILES
        )

    def _awaits_more(self, run: SliceRun) -> bool:
        """Whether others are about to join what of a slice may go in a bundle."""
        return (
            run.slice.fresh
            and self._subtrees_waiting + self._slices_waiting > 0
            and time.monotonic() < run.began + GATHERING_SECONDS
            and self._gathers()
        )

    @property
    def sessions(self) -> int:
        """Threads that ingest now, at most."""
        return min(MOST_SESSIONS, self.tools.traffic.gate.slots)

    @property
    def _takes(self) -> int:
        """How many threads could begin with something of the slices under way."""
        bundled = sum(len(bundle) for run in self._slices for bundle in run.bundles)
        return sum(len(run.chunks) for run in self._slices) + -(-bundled // WORTH_A_SLOT)

    @property
    def _scanners(self) -> int:
        """Threads that scan now: where stats are slow, as many as may be in flight, each in another directory."""
        return max(self.sessions, self.tools.pool.useful_callers)

    def _scanned(self, kind: UnitKind) -> int:
        return sum(unit.kind is kind for unit in self._scanning)

    def begin(self, unit: Unit) -> None:
        """Have the threads do the unit."""
        with self._changed:
            if unit.kind is UnitKind.SLICE and not is_slice(unit):
                self._scanning.append(unit)
                looked_at = looked_at_of(unit)
                self._looks.append(_Scan(unit, looked_at.relative, self.visitor.look(looked_at)))
            elif unit.kind is UnitKind.SLICE:
                self._slices.append(SliceRun.of(unit, self.tools.bundler, self.tools.batcher))
            else:
                subtree = Subtree.from_unit(unit)
                self._scanning.append(unit)
                self._scans.append(_Scan(unit, subtree.relative, self.visitor.visit(subtree)))
            self._wake()

    def events(self) -> Iterable[Spawned | Finished]:
        """What happened since the last call. Raises what was raised in a thread."""
        with self._changed:
            if self._error is not None:
                raise self._error
            self._news.clear()
            events = list(self._events)
            self._events.clear()
        return events

    def wait(self, seconds: float) -> None:
        """Sleep until there is an event that can't wait for others, at most so long, or as a turn may take."""
        self._news.wait(max(seconds, TURN_SECONDS / 2) if self._scans else seconds)

    def counters(self) -> npt.NDArray[np.int64]:
        """The tally, shape (tally.SIZE,)."""
        counts = self.tools.counts()
        counts[tally.WANTED] = self._wanted()
        with self._changed:
            counts[tally.TO_SCAN] = self._scanned(UnitKind.SUBTREE) + self._subtrees_waiting
            counts[tally.BUSY] = bool(self._slices or self._scanning)
        return counts

    def throttle(self, waiting_slices: int, waiting_subtrees: int) -> None:
        """Scans pause while more slices than ``SLICES_AHEAD`` wait."""
        with self._changed:
            eased = waiting_slices < self._slices_waiting or waiting_subtrees < self._subtrees_waiting
            self._slices_waiting, self._subtrees_waiting = waiting_slices, waiting_subtrees
            if eased:
                self._wake()

    def allot(self, rates: Rates) -> None:
        """Stats, requests and bytes of content from now on."""
        self.tools.pool.rate.set(rates.stats)
        self.tools.traffic.requests.set(rates.requests)
        self.tools.traffic.content.set(rates.content)

    def lease(self, slots: int) -> None:
        """So many threads ingest from now on, over so many connections."""
        self.tools.traffic.gate.resize(slots)
        self._start_threads(self.sessions)
        with self._changed:
            self._wake()
            self._scannable.notify_all()

    def slots(self) -> SlotUse:
        """Those that threads want, and those of open connections."""
        self.tools.traffic.gate.trim()
        return SlotUse(self._wanted(), 0 if self._abandoned else self.tools.traffic.gate.used)

    def _wanted(self) -> int:
        """Scans count only while one of them has something to ask the zone: most have not. One has to go on, though."""
        gate = self.tools.traffic.gate
        with self._changed:
            at_gate = gate.inside_or_waiting
            scans = len(self._scans) + len(self._looks) + self._subtrees_waiting
            if at_gate <= self._ingesting:
                all_ingest = self._ingesting >= self.sessions
                scans = min(scans, 1) if all_ingest else 0
            at_work = max(self._ingesting + gate.helpers_wanted, at_gate)
            return min(MOST_SESSIONS, at_work + scans + self._takes + self._slices_waiting)

    def divisible(self, worth_seconds: float) -> Divisible:
        """What no thread has taken of the slices under way."""
        soon = int(worth_seconds * max(1, self.sessions) / self._pace) if self._pace else 0
        with self._changed:
            return Divisible.of(sum(run.not_begun for run in self._slices), soon)

    def divide(self, parts: int) -> list[Unit]:
        """Take chunks that no thread has taken out of the slices under way, the newest slice first."""
        units: list[Unit] = []
        with self._changed:
            size = max(1, sum(len(run.chunks) for run in self._slices) // (parts + 1))
            for run in reversed(list(self._slices)):
                while run.not_begun and len(units) < parts:
                    units.append(run.split_off(size))
                if not run.unfinished:
                    self._finish_slice(run)
        return units

    def stop(self) -> None:
        """What threads are at goes on to its outcome, be it an entry or a step of a scan; nothing else begins."""
        with self._changed:
            self._stopping = True
            for scan in (*self._scans, *self._looks):
                self._finish_scan(scan)
            self._scans.clear()
            self._looks.clear()
            for run in list(self._slices):
                run.drop_rest()
                if not run.unfinished:
                    self._finish_slice(run)

    def stalled(self, seconds: float) -> str:
        """What the thread is at that is stuck for longest, if there is no progress anywhere.

        A thread that begins something is progress, and so is whatever is counted: a large file is many requests. A
        pause before a request is tried again is none, but no stall either: that is what the zone's timeout is for. Nor
        is it one to wait for a slot.
        """
        if self._zone_gone:
            return self._zone_gone
        now, counts, notes = time.monotonic(), self.counters(), list(self._notes.copy().values())
        waits = self.tools.ending.is_awaited or self.tools.traffic.gate.is_withheld
        if not notes or waits or not np.array_equal(counts, self._last_counts):
            self._last_counts, self._last_progress = counts.copy(), now
        if now - max([self._last_progress, *(note.since for note in notes)]) < seconds:
            return ""
        oldest = min(notes, key=lambda note: note.since)
        stat = self.tools.pool.longest() if oldest.doing == SCANNING else None
        path = os.fsdecode(stat.path) if stat else self._path(oldest)
        return f"{oldest.doing} {path} for {now - oldest.since:.0f} s"

    def abandon(self) -> list[Unit]:
        """Give up all that is under way. Whatever a thread still comes to is not recorded."""
        with self._changed:
            self._abandoned = True
            self.tools.recorder.shut()
            self.tools.ending.set()
            units = [*(run.unit for run in self._slices), *self._scanning]
            self._events = deque(event for event in self._events if isinstance(event, Finished))
            for under_way in (self._slices, self._scans, self._looks, self._scanning):
                under_way.clear()
            self._wake()
        self.tools.traffic.close()
        self.tools.ingestor.logger.error("given up", at=self._whereabouts(), units=len(units))
        return units

    # The threads.

    def _work(self, number: int) -> None:
        try:
            while (task := self._next_task(number)) is not None:
                task()
                self._notes.pop(threading.get_ident(), None)
                self.tools.recorder.seal_if_due()
        except (Interrupted, PoolClosed):
            return
        except ZoneGone as error:
            self._zone_gone = str(error)  # whoever waits for it, too, is interrupted when the run ends
            self.tools.ingestor.logger.error("zone gone", reason=str(error))
        except BaseException as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Have the main thread raise it."""
        if note := self._notes.get(threading.get_ident()):
            error.add_note(f"while {note.doing} {self._path(note)}")
            path = self._path(note)
            self.tools.ingestor.logger.error("failed", doing=note.doing, path=path, exc_info=error)
        with self._changed:
            if not self._abandoned:
                self._error = self._error or error
            self.tools.ending.set()
            self._wake()
        self._news.set()

    def _note(self, doing: str, relative: bytes) -> None:
        """Note what this thread is at now."""
        self._notes[threading.get_ident()] = _Note(time.monotonic(), doing, relative)

    def _path(self, note: _Note) -> str:
        return os.fsdecode(self.tools.ingestor.subjects.path(note.relative))

    def _whereabouts(self) -> list[str]:
        """What each thread is at, for the log."""
        return [f"{note.doing} {self._path(note)}" for note in self._notes.copy().values()]

    def _next_task(self, number: int) -> Callable[[], None] | None:
        """For one of the threads: those with the lowest numbers ingest, some more scan."""
        with self._changed:
            while not self.tools.ending.is_set():
                # Scans before ingest: what they find is all that idle ranks can steal.
                if number < self._scanners and (task := self._next_scan()) is not None:
                    return task
                if number < self.sessions and (task := self._next_ingest()) is not None:
                    self._ingesting += 1
                    return partial(self._counted, task)
                if number and number >= self.sessions:
                    awaited, nap = self._scannable, SEAL_CHECK_SECONDS
                else:
                    awaited, nap = self._changed, self._nap()
                if not awaited.wait(timeout=nap):
                    return self.tools.tidy_up
            return None

    def _counted(self, ingest: Callable[[], None]) -> None:
        try:
            ingest()
        finally:
            with self._changed:
                self._ingesting -= 1

    def _wake(self) -> None:
        """Have threads look for something to do."""
        self._changed.notify_all()
        if self._scanners > self.sessions or self.tools.ending.is_set():
            self._scannable.notify_all()

    def _next_scan(self) -> Callable[[], None] | None:
        # A look makes one slice out of another, so it never has to wait for those that wait.
        if self._looks:
            look = self._looks.popleft()
            return lambda: self._scan_on(look, self._looks)
        if self._scans and self._slices_waiting < SLICES_AHEAD:
            scan = self._scans.popleft()
            return lambda: self._scan_on(scan, self._scans)
        return None

    def _next_ingest(self) -> Callable[[], None] | None:
        now = time.monotonic()
        for run in self._slices:
            if run.asleep and run.asleep[0].due <= now:
                retry = heapq.heappop(run.asleep)
                return partial(self._ingest, Part(run, (retry.index,)), retry.tries)
        for run in self._slices:
            if run.bundles and not self._awaits_more(run):
                return self._next_bundle(run)
            if run.chunks:
                return partial(self._ingest, Part(run, run.chunks.popleft()))
        return None

    def _next_bundle(self, run: SliceRun) -> Callable[[], None]:
        parts = next_bundle(run, self._slices, self.sessions)
        if self.tools.bundler.pays(sum(len(part.indices) for part in parts)):
            return partial(self._ingest_bundle, parts)
        for part in parts:
            part.run.add_chunks(part.indices)
        return partial(self._ingest, Part(run, run.chunks.popleft()))

    def _nap(self) -> float:
        """Seconds for which there may be nothing to do."""
        asleep = (run.asleep[0].due for run in self._slices if run.asleep and self.sessions)
        gathering = (run.began + GATHERING_SECONDS for run in self._slices if run.bundles and self.sessions)
        due = min((*asleep, *gathering), default=math.inf)
        return max(0.0, min(SEAL_CHECK_SECONDS, due - time.monotonic()))

    def _scan_on(self, scan: _Scan, queue: deque[_Scan]) -> None:
        """One step of a scan, which then goes back to its queue."""
        self._note(SCANNING, scan.relative)
        began = time.monotonic()
        units: list[Unit] | None = []
        with self.tools.profile.step(DIRECTORY_STEP, scan.relative):
            while units is not None and not units and not self._stopping:
                units = next(scan.steps, None)
        with self._changed:
            if self._abandoned:
                return
            self._scan_seconds = (self._scan_seconds + time.monotonic() - began) / 2
            if units is None or self._stopping:
                self._finish_scan(scan)
            else:
                # Counted at once, for the farm will say only later how many wait.
                self._slices_waiting += sum(unit.kind is UnitKind.SLICE for unit in units)
                self._events.append(Spawned(units))
                queue.append(scan)
                self._wake()
            has_enough = bool(self._scans) and units is None
        if not has_enough:
            self._news.set()

    def _finish_scan(self, scan: _Scan) -> None:
        self._scanning.remove(scan.unit)
        self._events.append(Finished(scan.unit))

    def _ingest(self, part: Part, tries: int = 0) -> None:
        portion = Portion(part, self.tools.recorder)
        began = time.monotonic()
        alone = part.indices if tries else self._ingest_batch(portion)
        for index in alone:
            if self._stopping or self.tools.ending.is_set():
                break  # the next run begins with the rest
            self._take(portion, index, self._outcome(part.run.slice, index), tries)
        self._note_pace(began, len(part.indices))
        self._close(portion)

    def _ingest_batch(self, portion: Portion) -> Sequence[int]:
        """Begin what can go in a batch; the entries that are left."""
        indices, content = portion.part.indices, portion.run.slice
        batch = [index for index in indices if portion.run.batched[index]]
        if len(batch) < 2:
            return indices
        self._note("ingesting", content.file(batch[0]).relative)
        answers = self._sent_together([(content, index) for index in batch], self.tools.batcher.ingest)
        taken = [(index, answer) for index, answer in zip(batch, answers, strict=True) if isinstance(answer, Result)]
        for index, result in taken:
            self._take(portion, index, result)
        done = {index for index, _ in taken}
        return [index for index in indices if index not in done]

    def _ingest_bundle(self, parts: Sequence[Part]) -> None:
        began = time.monotonic()
        entries = [(part.run.slice, index) for part in parts for index in part.indices]
        first = entries[0][0].file(entries[0][1])
        self._note("bundling", first.relative)
        answers = self._sent_together(entries, partial(self.tools.bundler.ingest, fresh=parts[0].run.slice.fresh))
        self._note_pace(began, len(entries))
        for part in parts:
            portion = Portion(part, self.tools.recorder)
            for index, answer in zip(part.indices, islice(answers, len(part.indices)), strict=True):
                if isinstance(answer, Result):
                    self._take(portion, index, answer)
                    self.tools.recorder.add(tally.BUNDLED, not answer.source)
                else:
                    portion.alone[index] = answer
            self._close(portion)

    def _sent_together(
        self, entries: Sequence[tuple[Slice, int]], send: Callable[[Sequence[File]], Sequence[Answer]]
    ) -> Iterator[Answer]:
        """What became of each entry of a bundle or batch; those that were renamed are not sent."""
        renamed = [self._renamed(content, index) for content, index in entries]
        kept = zip(entries, renamed, strict=True)
        files = [content.file(index) for (content, index), result in kept if result is None]
        with ExitStack() as stack:
            for file in files:
                stack.enter_context(self.tools.profile.step(ENTRY_STEP, file.relative))
            answers = iter(send(files))
        return (next(answers) if result is None else result for result in renamed)

    def _take(self, portion: Portion, index: int, result: Result, tries: int = 0) -> None:
        """An entry that failed ``tries`` times before came to a result: it is done with, or to be tried again."""
        if result.unrecorded and self._renames:
            file = portion.run.slice.file(index)
            self._renames.keep(file.relative, file.row)
        delay = self._delay(portion.run.slice, index, tries + 1) if result.outcome is Outcome.FAILED else None
        if delay is None:
            portion.add(index, result)
        else:
            portion.retries.append(Retry(time.monotonic() + delay, index, tries + 1))

    def _close(self, portion: Portion) -> None:
        portion.record()
        if portion.retries and not self._stopping:
            self.tools.recorder.add(tally.RETRIED, len(portion.retries))
        with self._changed:
            if self._abandoned:
                return
            portion.hand_back(goes_on=not self._stopping)
            if portion.run.unfinished:
                self._wake()
            else:
                self._finish_slice(portion.run)

    def _note_pace(self, began: float, entries: int) -> None:
        self._pace = (self._pace + (time.monotonic() - began) / entries) / 2

    def _finish_slice(self, run: SliceRun) -> None:
        self._slices.remove(run)
        self._events.append(Finished(run.unit))
        self._news.set()

    def _outcome(self, content: Slice, index: int) -> Result:
        file = content.file(index)
        self._note("ingesting", file.relative)
        with self.tools.profile.step(ENTRY_STEP, file.relative):
            change, _again, situation, _settled, _alone, replica, known_size = content.plan[index].tolist()
            known = Known(Situation(situation), replica, known_size)
            if change == Change.DELETED:
                return self.tools.ingestor.remove(file.relative, file.row, known)
            if (renamed := self._renamed(content, index)) is not None:
                return renamed
            return self.tools.ingestor.ingest(file.relative, file.row, known)

    def _renamed(self, content: Slice, index: int) -> Result | None:
        """The result of a new name that stands for what has vanished; None where it doesn't."""
        if not self._renames or content.plan[index]["change"] != Change.NEW:
            return None
        file = content.file(index)
        return self._renames.file(file.relative, file.row)

    @property
    def _renames(self) -> Renames | None:
        return self.visitor.renames if isinstance(self.visitor, Visitor) else None

    def _delay(self, content: Slice, index: int, tries: int) -> float | None:
        if content.plan[index]["change"] == Change.DELETED:
            return None
        file = content.file(index)
        return self.tools.ingestor.next_try(file.relative, file.row, tries)
