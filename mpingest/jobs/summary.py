"""What a run reports in the end: as JSON for programs, as a table for people."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mpingest.errors import ExitCode
from mpingest.farm.share import SHARE_DTYPE
from mpingest.jobs import tally
from mpingest.jobs.failures import failures_in
from mpingest.jobs.signals import Stopped
from mpingest.jobs.spec import JobSpec
from mpingest.jobs.text import human_bytes, stalled_to_json
from mpingest.manifest.states import Change, Outcome

_CHANGED = (Change.NEW, Change.MODIFIED, Change.METADATA, Change.RETRY, Change.UNCHANGED, Change.DELETED)
_OUTCOMES = (
    Outcome.DONE,
    Outcome.UNSETTLED,
    Outcome.SKIPPED,
    Outcome.FAILED,
    Outcome.GONE,
    Outcome.REMOVED,
    Outcome.RELEASED,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """One run. seconds: wall time.

    counts: ``tally`` of each rank, shape (ranks, SIZE); shares: of the farm's units, ``SHARE_DTYPE``, shape (ranks,)
    """

    spec: JobSpec
    run: int
    seconds: float
    counts: tally.Counts
    shares: npt.NDArray[np.void]
    failures: str
    """Path of the file that names them."""
    notes: list[str]
    """What the user should know besides."""
    way: str
    """What decided about each entry."""
    root_mtime_ns: int
    """Of the root directory as it was scanned, nanoseconds since the epoch."""
    refusal: str
    """Why what is gone was not deleted, though it should have been; empty if nothing was refused."""
    stalled: Sequence[tuple[int, str]] = ()
    """Ranks that made no progress, and on what: the run ended early."""
    stopped: str = ""
    """What ended the run early; empty if nothing did."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """See ``RunOptions.kept``."""

    @property
    def total(self) -> tally.Counts:
        """The whole world's tally."""
        return self.counts.sum(axis=0)  # type: ignore[no-any-return]

    @property
    def exit_code(self) -> ExitCode:
        """STOPPED_EARLY where the run ended early; else SOME_FAILED where any entry or directory failed."""
        if self.stalled or self.stopped:
            return ExitCode.STOPPED_EARLY
        failed = tally.of_outcome(self.total, Outcome.FAILED) + self.total[tally.DIRECTORIES_FAILED]
        return ExitCode.SOME_FAILED if failed or self.refusal else ExitCode.DONE

    @property
    def found_nothing(self) -> bool:
        """Whether the run came to its end, and there was nothing to do and nothing to say."""
        total = self.total
        did = any(tally.of_outcome(total, outcome) for outcome in Outcome) or int(total[tally.REQUESTS])
        saw = any(tally.of_change(total, change) for change in Change if change is not Change.UNCHANGED)
        return self.exit_code is ExitCode.DONE and not (did or saw or self.notes)

    def check_complete(self) -> None:
        """Raises Stopped where the run ended early."""
        if self.stalled or self.stopped:
            raise Stopped(f"{stop_reason(self.stopped, self.stalled)}: run the same line again")

    def to_json(self) -> dict[str, Any]:
        """For summary.json. Paths that are not UTF-8 have surrogate escapes (PEP 383)."""
        return {
            "job": self.spec.to_json(),
            "run": self.run,
            "seconds": self.seconds,
            "exit_code": int(self.exit_code),
            "total": tally.as_mapping(self.total),
            "ranks": [
                tally.as_mapping(row) | dict(zip(share.dtype.names, share.tolist(), strict=True))
                for row, share in zip(self.counts, self.shares, strict=True)
            ],
            "way": self.way,
            "options": self.options,
            "root_mtime_ns": self.root_mtime_ns,
            "notes": self.notes,
            "refusal": self.refusal,
            "stopped": self.stopped,
            "stalled": stalled_to_json(self.stalled),
        }

    @classmethod
    def from_json(cls, content: Any, failures: str) -> Self:
        """The inverse of ``to_json``. Raises KeyError, TypeError, ValueError, AttributeError where it isn't one."""
        ranks = content["ranks"]
        shares = np.array([tuple(rank[name] for name in SHARE_DTYPE.names or ()) for rank in ranks], SHARE_DTYPE)
        return cls(
            JobSpec.from_json(content["job"]),
            int(content["run"]),
            float(content["seconds"]),
            np.array([tally.from_mapping(rank) for rank in ranks]).reshape(len(ranks), tally.SIZE),
            shares,
            failures,
            [str(note) for note in content["notes"]],
            content["way"],
            content["root_mtime_ns"],
            content["refusal"],
            [(int(stalled["rank"]), str(stalled["at"])) for stalled in content["stalled"]],
            content["stopped"],
            content["options"],
        )

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        total = self.total
        yield f"job {self.spec.name}, run {self.run}: {self.seconds:.1f} s"
        entries, size = int(total[tally.ENTRIES]), human_bytes(int(total[tally.BYTES]))
        yield f"  scanned      {entries:,} files ({size}) in {int(total[tally.DIRECTORIES]):,} directories"
        yield "  compared     " + _list((tally.of_change(total, change), change.name.lower()) for change in _CHANGED)
        yield "  outcome      " + _list((tally.of_outcome(total, outcome), _PLAIN[outcome]) for outcome in _OUTCOMES)
        renamed, directories = int(total[tally.RENAMED]), int(total[tally.DIRECTORIES_RENAMED])
        if renamed or directories:
            yield f"  renamed      {renamed:,} files and {directories:,} directories: gone only by their old names"
        if made := int(total[tally.COLLECTIONS]):
            yield f"  collections  {made:,} made"
        rate = tally.of_outcome(total, Outcome.DONE) / self.seconds if self.seconds else 0
        requests, changing = int(total[tally.REQUESTS]), int(total[tally.CATALOG_CHANGES])
        sent = human_bytes(int(total[tally.SENT]))
        yield f"  zone         {requests:,} requests, {changing:,} of them changes; {sent} sent; {rate:,.0f} files/s"
        if bundled := int(total[tally.BUNDLED]):
            yield f"  bundled      {bundled:,} small files"
        if retried := int(total[tally.RETRIED]):
            yield f"  retried      {retried:,} times in this run, as max_retries() of the handler asks"
        waiting = [(int(total[tally.YOUNG]), "files written lately (--settle)")]
        waiting.append((int(total[tally.NOT_READY]), "directories not ready (--ready-file)"))
        if any(count for count, _ in waiting):
            yield f"  left alone   {_list(iter(waiting))}: a later run takes them"
        if excluded := int(total[tally.EXCLUDED]):
            yield f"  excluded     {excluded:,} names, with all below them: neither looked at nor taken as gone"
        if failed := int(total[tally.DIRECTORIES_FAILED]):
            yield f"  directories  {failed:,} failed: nothing below them was looked at"
        for rank, what in self.stalled:
            yield f"  stalled      rank {rank}: {what}"
        if self.stalled:
            yield "  stopped      early: run the same line again when what it was stuck on answers"
        elif self.stopped:
            yield f"  stopped      by {self.stopped}: run the same line again"
        if self.refusal:
            yield f"  refused      {self.refusal}"
        elif self.exit_code is ExitCode.SOME_FAILED:
            yield from (f"  failed       {line}" for line in first_failures(self.failures))
            yield f"  failed       all of them: {self.failures}"
        yield from (f"  note         {note}" for note in self.notes)


_PLAIN = {
    Outcome.DONE: "done",
    Outcome.UNSETTLED: "done but still changing",
    Outcome.SKIPPED: "skipped",
    Outcome.FAILED: "failed",
    Outcome.GONE: "gone",
    Outcome.REMOVED: "deleted",
    Outcome.RELEASED: "taken away",
}


def stop_reason(stopped: str, stalled: Sequence[tuple[int, str]]) -> str:
    """What ended a run early, in a line."""
    if stopped:
        return f"stopped by {stopped}"
    rank, what = stalled[0]
    return f"stopped, as rank {rank} makes no progress: {what}"


def first_failures(path: str, count: int = 5) -> list[str]:
    """The first of a failures file, as name and reason; none where it is gone."""
    if not os.path.exists(path):
        return []
    return [f"{failure.path!r}: {failure.reason}" for failure in islice(failures_in([path]), count) if failure]


def _list(counted: Iterator[tuple[int, str]]) -> str:
    return ", ".join(f"{count:,} {what}" for count, what in counted if count) or "nothing"
