"""How file system, record and catalog can differ about an entry, and what puts it right: one pure rule."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from mpingest.handler.operations import Operation
from mpingest.ingest.catalog import INTERMEDIATE, STALE, Replica
from mpingest.ingest.statuses import status_name
from mpingest.ingest.stuck import release_commands, state_name, stuck_replicas
from mpingest.ingest.unknown import is_unknown
from mpingest.jobs.text import time_text
from mpingest.manifest.diff import owns_object
from mpingest.manifest.states import Change, Outcome
from mpingest.scan.entries import TYPE_BITS

TAKEN_AND_MISSING = "its file was moved or deleted after the ingest, and there is no object"
GONE_AND_MISSING = "recorded as gone from disk and kept in the catalog, where it is not"
_NANOSECONDS = 1_000_000_000


class Kind(IntEnum):
    """What differs. An entry has one: that which has to be put right before others can be told."""

    NEW = 0
    CHANGED = 1
    GONE = 2
    FAILED = 3
    MISSING = 4
    PATH = 5
    STALE = 6
    INTERMEDIATE = 7
    LOCKED = 8
    SIZE = 9
    MTIME = 10
    CHECKSUM = 11
    EXTRA = 12
    UNREADABLE = 13


MEANINGS = {
    Kind.NEW: "on disk, and no run has brought it in: the next one does",
    Kind.CHANGED: "changed on disk since it was brought in: the next run looks at it",
    Kind.GONE: "no longer on disk: the next run notes it",
    Kind.FAILED: "recorded as failed, or so marked by verify --repair: the next run tries again",
    Kind.MISSING: "recorded as brought in, but not in the catalog",
    Kind.PATH: "its object is over another file",
    Kind.STALE: "a replica is stale: it is not what the object is",
    Kind.INTERMEDIATE: "a replica is being written, or was when its writer died",
    Kind.LOCKED: "a replica is locked, by who writes another one, or did when it died",
    Kind.SIZE: "the sizes differ, and the file has not changed",
    Kind.MTIME: "the times differ, and the file has not changed",
    Kind.CHECKSUM: "the contents differ by their checksums, and the file has not changed",
    Kind.EXTRA: "in the catalog, and not of this job: never touched",
    Kind.UNREADABLE: "could not be compared",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """What is to be recorded of an entry, so that the next run does what puts it right. code: as in RESULT_DTYPE."""

    outcome: Outcome
    change: Change
    code: int = 0


MAKE = Mark(Outcome.FAILED, Change.NEW)
"""Taken again as if it had failed when it was new: its object is made."""
RECONCILE = Mark(Outcome.FAILED, Change.MODIFIED)
"""Taken again as if it had failed when it was modified: what is there is looked at first."""
FORGET = Mark(Outcome.REMOVED, Change.DELETED)
"""Nothing is left of it."""


def overwrite(replica: int) -> Mark:
    """Taken as modified: the object is overwritten, or that replica of it updated."""
    return Mark(Outcome.UNSETTLED, Change.MODIFIED, replica)


@dataclass(frozen=True, slots=True)
class Sides:
    """What is known of one entry. Rows are ``ENTRY_DTYPE``.

    row:      as it is on disk, None if it isn't
    recorded: as it was when it was brought in, None if it never was;  result: ``RESULT_DTYPE``, what became of it
    replicas: of its object
    """

    row: np.void | None
    recorded: np.void | None
    result: np.void | None
    replicas: Sequence[Replica] = ()

    @property
    def has_changed(self) -> bool:
        """Whether the entry on disk is another than recorded."""
        assert self.row is not None and self.recorded is not None, "both sides have it"
        same = all(self.row[name] == self.recorded[name] for name in ("size", "mtime_ns", "inode"))
        return not same or bool((self.row["mode"] ^ self.recorded["mode"]) & TYPE_BITS)

    def to_json(self) -> dict[str, Any]:
        """Each side, null where it has nothing. Times in nanoseconds since the epoch."""
        record = None
        if self.recorded is not None and self.result is not None:
            outcome, code = Outcome(int(self.result["outcome"])), int(self.result["code"])
            record = _plain(self.recorded) | {"outcome": outcome.name.lower(), "code": code}
        return {
            "file": None if self.row is None else _plain(self.row),
            "record": record,
            "catalog": [
                {
                    "replica": replica.number,
                    "status": state_name(replica),
                    "size": replica.size,
                    "mtime_ns": replica.mtime * _NANOSECONDS,
                    "physical_path": replica.path,
                    "checksum": replica.checksum,
                }
                for replica in self.replicas
            ],
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """What is to be in the catalog of an entry.

    logical:  path of its object;  physical: that of its file as the server sees it, "" where its content is put
    expected: whether anything is to be there as long as the entry is on disk
    """

    operation: Operation
    logical: str
    physical: str = ""
    expected: bool = True

    def ours(self, replicas: Sequence[Replica]) -> Replica | None:
        """The replica that the job has made, or one that serves; None if there is none."""
        if self.physical:
            return next((replica for replica in replicas if replica.path == self.physical), None)
        return next((replica for replica in replicas if replica.good), None)


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one entry.

    path:     relative to the root, which is b"";  logical: of its object or collection, "" where that can't be told
    says:     what each side says, for people;  sides: the same for programs, where all of them were looked at
    commands: what a rodsadmin has to do first
    mark:     what leads the next run to put it right; None where it does so anyway, or can't
    row:      with which it is marked, None for the collection of a directory that is there
    is_directory: what it is, on disk or, of EXTRA, in the catalog
    """

    kind: Kind
    path: bytes
    logical: str
    says: str
    sides: Sides | None = None
    commands: tuple[str, ...] = ()
    mark: Mark | None = None
    row: np.void | None = None
    is_directory: bool = False

    def to_json(self, *, marked: bool) -> dict[str, Any]:
        """For differences.jsonl. Paths that are not UTF-8 have surrogate escapes (PEP 383)."""
        sides = {} if self.sides is None else self.sides.to_json()
        return {
            "kind": self.kind.name.lower(),
            "path": os.fsdecode(self.path) or ".",
            "type": "directory" if self.is_directory else "file",
            "logical_path": self.logical,
            "says": self.says,
            "commands": self.commands,
            "marked": marked,
        } | sides


def differ(path: bytes, sides: Sides, claim: Claim) -> Difference | None:
    """The first difference of a file, None if all sides agree. path: relative to the root."""
    found = _difference(sides, claim)
    if found is None:
        return None
    kind, says, mark = found
    commands = tuple(_commands(claim.logical, sides.replicas)) if kind in _STATES else ()
    return Difference(kind, path, claim.logical, says, sides, commands, mark, sides.recorded)


_Found = tuple[Kind, str, Mark | None]
_STATES = (Kind.STALE, Kind.INTERMEDIATE, Kind.LOCKED)


def _difference(sides: Sides, claim: Claim) -> _Found | None:
    if sides.recorded is None or sides.result is None:
        return _unrecorded(sides, claim)
    outcome = Outcome(int(sides.result["outcome"]))
    if sides.row is None:
        return _without_file(sides, claim, outcome)
    if outcome is Outcome.GONE:
        return _unrecorded(sides, claim)
    if outcome is Outcome.FAILED:
        code = int(sides.result["code"])
        return Kind.FAILED, f"recorded as failed{f': {status_name(code)}' if code < 0 else ''}", None
    if outcome is Outcome.SKIPPED or not claim.expected:
        return _changed(sides) if sides.has_changed else None
    return _of_object(sides, claim)


def _unrecorded(sides: Sides, claim: Claim) -> _Found | None:
    if not claim.expected and claim.operation is not Operation.NO_OP:
        return None
    assert sides.row is not None, "what is neither on disk nor recorded has no entry"
    there = ", an object of that name is there" if sides.replicas else ""
    return Kind.NEW, f"{int(sides.row['size']):,} bytes on disk{there}", None


def _known_gone(sides: Sides, claim: Claim) -> _Found | None:
    assert sides.recorded is not None, "it is known"
    if sides.replicas:
        return (Kind.EXTRA, _described(sides.replicas), None) if is_unknown(sides.recorded) else None
    if claim.operation is Operation.NO_OP:
        return None
    return Kind.MISSING, GONE_AND_MISSING, FORGET


def _without_file(sides: Sides, claim: Claim, outcome: Outcome) -> _Found | None:
    """Of what is recorded, and not on disk."""
    assert sides.recorded is not None and sides.result is not None, "it is known"
    if outcome is Outcome.GONE:
        return _known_gone(sides, claim)
    if outcome is Outcome.RELEASED:
        return _of_released(sides, claim)
    # What was left alone, or failed when it was new, has no object, and is forgotten.
    if not owns_object(sides.result):
        return None
    return Kind.GONE, f"recorded with {int(sides.recorded['size']):,} bytes", None


def _of_released(sides: Sides, claim: Claim) -> _Found | None:
    """Of what was taken away after its ingest: the object is all there is, and no run can put it right."""
    assert sides.recorded is not None, "it is known"
    if not sides.replicas:
        return Kind.MISSING, TAKEN_AND_MISSING, None
    good = [replica for replica in sides.replicas if replica.good]
    if not good:
        return _kind_of(sides.replicas[0]), _described(sides.replicas), None
    size = int(sides.recorded["size"])
    if all(replica.size != size for replica in good):
        return (
            Kind.SIZE,
            f"recorded with {size:,} bytes, {good[0].size:,} in the catalog; its file was taken away",
            None,
        )
    return _siblings(sides.replicas, claim)


def _changed(sides: Sides) -> _Found:
    assert sides.row is not None and sides.recorded is not None, "both sides have it"
    now, then = (f"{int(row['size']):,} bytes of {_time(row)}" for row in (sides.row, sides.recorded))
    return Kind.CHANGED, f"{now} on disk, recorded with {then}", None


def _of_object(sides: Sides, claim: Claim) -> _Found | None:
    """Of what is recorded as brought in, and on disk."""
    assert sides.row is not None, "it is on disk"
    replicas = sides.replicas
    if not replicas:
        return Kind.MISSING, "no object of that name", MAKE
    ours = claim.ours(replicas)
    if ours is None and claim.physical:
        mark = RECONCILE if claim.operation is Operation.REGISTER_AS_REPLICA_SYNC else None
        return Kind.PATH, f"the file is {claim.physical!r}, the catalog has {_paths(replicas)}", mark
    if ours is None or not ours.good:
        culprit = ours or replicas[0]
        return _kind_of(culprit), _described(replicas), overwrite(culprit.number)
    if sides.has_changed:
        kind, says, mark = _changed(sides)
        return kind, says + _LEFT.get(claim.operation, ""), mark
    return _attributes(sides, claim, ours) or _siblings(replicas, claim)


def _attributes(sides: Sides, claim: Claim, ours: Replica) -> _Found | None:
    assert sides.row is not None, "it is on disk"
    size, mtime = int(sides.row["size"]), int(sides.row["mtime_ns"]) // _NANOSECONDS
    candidates = [ours] if claim.physical else [replica for replica in sides.replicas if replica.good]
    if all(replica.size != size for replica in candidates):
        says = f"{size:,} bytes on disk, {ours.size:,} in the catalog"
        return Kind.SIZE, says + _KEPT.get(claim.operation, ""), content_mark(claim.operation, ours.number)
    if claim.physical and ours.mtime != mtime:
        says = f"{_time(sides.row)} on disk, {time_text(ours.mtime * _NANOSECONDS)} in the catalog"
        return Kind.MTIME, says, overwrite(ours.number)
    return None


_LEFT = {Operation.PUT: "; operation put keeps what is there: put_sync sends it"}
_KEPT = {Operation.PUT: "; operation put keeps what is there: put_sync with --ignore-cache overwrites it"}


def content_mark(operation: Operation, replica: int) -> Mark | None:
    """What has content that differs put right: nothing where the operation leaves what was put once."""
    return None if operation is Operation.PUT else overwrite(replica)


def _siblings(replicas: Sequence[Replica], claim: Claim) -> _Found | None:
    """Of an object that is right, another replica that is not. Updates of what is registered leave others stale."""
    bad = [replica for replica in replicas if not replica.good and not (claim.physical and replica.status == STALE)]
    if not bad:
        return None
    return _kind_of(max(bad, key=lambda replica: replica.status)), _described(replicas), None


def _kind_of(replica: Replica) -> Kind:
    if replica.status == STALE:
        return Kind.STALE
    return Kind.INTERMEDIATE if replica.status == INTERMEDIATE else Kind.LOCKED


def _commands(logical: str, replicas: Sequence[Replica]) -> list[str]:
    """What a rodsadmin has to do about replicas that nobody writes any more, or that are out of date."""
    stuck = stuck_replicas(replicas)
    if not stuck and any(replica.good for replica in replicas):
        return [f"irepl -aU {shlex.quote(logical)}"]
    return release_commands(logical, stuck)


def _described(replicas: Sequence[Replica]) -> str:
    return ", ".join(
        f"replica {replica.number} of {replica.size:,} bytes is {state_name(replica)}" for replica in replicas
    )


def _paths(replicas: Sequence[Replica]) -> str:
    return ", ".join(repr(replica.path) for replica in replicas)


def _plain(row: np.void) -> dict[str, Any]:
    names = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "link"}
    kind = names.get(stat.S_IFMT(int(row["mode"])), "special")
    return {"type": kind, "size": int(row["size"]), "mtime_ns": int(row["mtime_ns"])}


def _time(row: np.void) -> str:
    return time_text(int(row["mtime_ns"]))
