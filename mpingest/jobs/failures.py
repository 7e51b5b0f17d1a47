"""What failed in a run and why, grouped: read line by line, with memory for the groups alone."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from mpingest.errors import MpingestError
from mpingest.ingest.statuses import Verdict, status_of
from mpingest.jobs.directory import JobDirectory, RunDirectory
from mpingest.jobs.text import one_line

MOST_GROUPS = 1000
"""Groups that are told apart; whatever comes later is one more."""
_LONGEST_LINE = 1 << 16
_OTHERS = "other reasons"
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![\w])/\S+|\d+")
"""What differs between failures for one reason: names in quotes, paths, numbers."""
_OUTLOOKS = {
    Verdict.TRANSIENT: (True, "the next run tries again"),
    Verdict.BUSY: (True, "the next run tries again"),
    Verdict.LOCKED: (
        False,
        "once nobody writes it any more, a rodsadmin has to say iadmin modrepl … DATA_REPL_STATUS 0; then run again",
    ),
    Verdict.NO_COLLECTION: (True, "the next run makes it again"),
    Verdict.ABSENT: (True, "the next run makes it again"),
    Verdict.ALREADY: (False, "look what has the name, and move one of the two away; then run again"),
    Verdict.PERMANENT: (False, "put it right first; then run again"),
}
"""Whether a rerun helps as things are, and what to do."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One line of a failures file. path: relative to the root; code: an iRODS error (< 0), 0 for none."""

    path: str
    reason: str
    code: int = 0

    @classmethod
    def from_line(cls, line: bytes) -> Failure | None:
        """None where the line is damaged, or no failure."""
        try:
            content = json.loads(line)
            failure = cls(content["path"], content["reason"], content.get("code", 0))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
        whole = (failure.path, str), (failure.reason, str), (failure.code, int)
        return failure if all(isinstance(value, kind) for value, kind in whole) else None


@dataclass(slots=True)
class Group:
    """Failures for one reason. name: symbol of the error, or the reason without what varies; code: 0 for none."""

    name: str
    code: int
    count: int = 0
    examples: list[Failure] = field(default_factory=list)

    @property
    def reason(self) -> str:
        """What the error mostly means; "" where there is none, and the name says all."""
        return status_of(self.code).reason if self.code else ""

    @property
    def outlook(self) -> tuple[bool, str]:
        """Whether a rerun helps as things are, and what to do."""
        return _OUTLOOKS[status_of(self.code).verdict if self.code else Verdict.PERMANENT]


@dataclass(frozen=True, slots=True)
class Failures:
    """Of one run. groups: the largest first; damaged: lines that can't be read; ended: whether the run has."""

    job: str
    run: int
    groups: list[Group]
    damaged: int
    ended: bool
    files: list[str]

    @property
    def total(self) -> int:
        """In all groups."""
        return sum(group.count for group in self.groups)

    def to_json(self) -> dict[str, Any]:
        """For programs. Paths that are not UTF-8 have surrogate escapes (PEP 383)."""
        return {
            "job": self.job,
            "run": self.run,
            "ended": self.ended,
            "total": self.total,
            "damaged_lines": self.damaged,
            "groups": [
                {
                    "error": group.name if group.code else None,
                    "code": group.code or None,
                    "reason": group.reason or group.name,
                    "count": group.count,
                    "rerun_helps": group.outlook[0],
                    "advice": group.outlook[1],
                    "examples": [{"path": each.path, "reason": each.reason} for each in group.examples],
                }
                for group in self.groups
            ],
            "files": self.files,
        }

    def lines(self) -> Iterator[str]:
        """For the terminal."""
        state = "" if self.ended else " (it was cut off, or goes on: what it has noted so far)"
        yield f"job {self.job}, run {self.run}{state}: {self.total:,} failures"
        for group in self.groups:
            helps, advice = group.outlook
            yield ""
            yield f"{group.count:>10,}  {one_line(group.name)}" + (f": {group.reason}" if group.reason else "")
            yield f"            rerun: {'yes' if helps else 'no'}, {advice}"
            yield from (f"              {one_line(each.path)}: {one_line(each.reason)}" for each in group.examples)
        if self.total:
            yield ""
            yield f"  all of them: {', '.join(self.files)}"
        if self.damaged:
            yield f"  note         {self.damaged:,} lines cannot be read: torn, or no failures"


def failures_of(job: JobDirectory, number: int | None, examples: int) -> Failures:
    """The failures of a run, the last one where no number is given; of each group, the first ``examples``.

    Raises MpingestError.
    """
    run = job.run(number)
    joined = run.file("failures.jsonl")
    ended = os.path.exists(joined)
    groups: dict[str, Group] = {}
    damaged = 0
    try:
        files = [joined] if ended else _parts(run)
        for failure in failures_in(files):
            if failure is None:
                damaged += 1
            else:
                _add(groups, failure, examples)
    except OSError as error:
        raise MpingestError(f"failures of run {run.number}: {error.strerror}") from error
    ordered = sorted(groups.values(), key=lambda group: (-group.count, group.name))
    return Failures(job.name, run.number, ordered, damaged, ended, files)


def failures_in(paths: Iterable[str]) -> Iterator[Failure | None]:
    """The failures in files, None for each line that is damaged. Raises OSError."""
    for path in paths:
        with open(path, "rb") as file:
            yield from map(Failure.from_line, _lines(file))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines that are not empty, cut off where they are longer than any failure."""
    while line := file.readline(_LONGEST_LINE):
        if not line.endswith(b"\n") and len(line) == _LONGEST_LINE:
            while (rest := file.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
        if line.strip():
            yield line


def _parts(run: RunDirectory) -> list[str]:
    """The ranks' files of a run that has not come to its end."""
    if not os.path.isdir(run.rank_failures):
        return []
    return [os.path.join(run.rank_failures, name) for name in sorted(os.listdir(run.rank_failures))]


def _add(groups: dict[str, Group], failure: Failure, examples: int) -> None:
    code = failure.code if failure.code < 0 else 0
    name = status_of(code).name if code else _VARIABLE.sub("…", failure.reason.replace(failure.path, "…"))
    if name not in groups and len(groups) >= MOST_GROUPS:
        name, code = _OTHERS, 0
    group = groups.setdefault(name, Group(name, code))
    group.count += 1
    if len(group.examples) < examples:
        group.examples.append(failure)
