"""What a manifest or checkpoint holds, and how two of them differ: for people and, of differences, for programs."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from mpingest.errors import MpingestError
from mpingest.ingest.statuses import status_name
from mpingest.jobs.signals import Stopped
from mpingest.jobs.tables import Source, reading, relative_path
from mpingest.jobs.text import group_name, histogram, human_bytes, time_text, user_name
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.export import TYPE_WORDS, iso_times
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.manifest.table_diff import Difference, Side, Stretch, stretches
from mpingest.manifest.totals import Totals
from mpingest.manifest.verify import verify
from mpingest.scan.census import Group
from mpingest.scan.excludes import TYPE_SHIFT
from mpingest.scan.text import escaped

MARKS = {
    Difference.ADDED: "+",
    Difference.REMOVED: "-",
    Difference.MODIFIED: "M",
    Difference.METADATA: "m",
    Difference.OUTCOME: "o",
}
"""How a list of differences says what is different."""

_UNSAID = "not recorded itself"


def table_lines(source: Source, checkpoint: Checkpoint) -> Iterator[str]:
    """Where a table comes from and what it holds in all."""
    summary, attributes = checkpoint.summary(), checkpoint.attributes
    size = os.path.getsize(checkpoint.path)
    yield escaped(os.fsencode(checkpoint.path))
    yield f"  root         {escaped(attributes.root)}"
    if attributes.target:
        yield f"  target       {attributes.target}"
        yield f"  job          {attributes.job}, run {attributes.run}"
    else:
        yield "  target       none: a scan"
    if attributes.segment:
        yield f"  segment      {attributes.segment} of rank {attributes.rank}"
    yield (
        f"  written      on {attributes.host} by mpingest {checkpoint.program}, "
        f"format version {checkpoint.version}, {time_text(os.stat(checkpoint.path).st_mtime_ns)} UTC"
    )
    each = f", {size / summary.entries:.1f} bytes an entry" if summary.entries else ""
    yield f"  holds        {summary.entries:,} entries in {summary.directories:,} directories"
    yield f"  on disk      {human_bytes(size)}{each}"
    if note := source.note():
        yield f"  note         {note}"
    totals = Totals.of(checkpoint)
    for title, states, counts, sizes in (
        ("outcome", Outcome, totals.outcomes, totals.outcome_bytes),
        ("change", Change, totals.changes, totals.change_bytes),
    ):
        groups = zip(states, counts.tolist(), sizes.tolist(), strict=True)
        yield from histogram(title, "entries", [(state.name.lower(), Group(n, size)) for state, n, size in groups if n])
    counted = [
        (_state_word(state), Group(count)) for state, count in zip(DirectoryState, totals.states.tolist(), strict=True)
    ]
    yield from histogram("state", "directories", [each for each in counted if each[1].entries], with_bytes=False)


def verified_lines(sources: Sequence[Source], note: Callable[[MpingestError], None]) -> Iterator[str]:
    """Verifies all tables; a line for each that is sound, what is wrong with another goes to ``note``."""
    for source in sources:
        if source.table is None and not source.unmerged:
            yield f"job {source.job}: nothing is recorded yet"
        for path in (*([source.table] if source.table else []), *source.unmerged):
            try:
                with reading(path):
                    summary = verify(path)
            except Stopped:
                raise
            except MpingestError as error:
                if path in source.unmerged and not path.exists():
                    yield f"{path}: has been merged meanwhile"
                else:
                    note(error)
            else:
                yield f"{path}: sound, {summary.entries:,} entries in {summary.directories:,} directories"


def path_lines(checkpoint: Checkpoint, path: str) -> Iterator[str]:
    """All that is recorded of one path: its entry, and its entries where it is a directory. Raises MpingestError."""
    attributes = checkpoint.attributes
    relative = relative_path(attributes.root, path)
    entry = checkpoint.entry(relative)
    pieces = checkpoint.pieces(relative)
    first = next(pieces, None)
    if entry is None and first is None:
        raise MpingestError(f"{path}: nothing is recorded of it")
    yield escaped(os.path.join(attributes.root, relative) if relative else attributes.root)
    if entry is not None:
        yield from _entry_lines(*entry, with_replica=bool(attributes.target))
    if first is None:
        return
    yield f"  directory    {_state_word(first.state)}"
    for piece in chain([first], pieces):
        for (name, row), result in zip(piece.entries, piece.results, strict=True):
            yield _listed(name, row, result, with_replica=bool(attributes.target))


def _entry_lines(row: np.void, result: np.void, *, with_replica: bool) -> Iterator[str]:
    mode, links = int(row["mode"]), int(row["nlink"])
    mtime, ctime = (iso_times(row[name].reshape(1))[0].decode() for name in ("mtime_ns", "ctime_ns"))
    yield f"  type         {TYPE_WORDS[mode >> TYPE_SHIFT & 0xF]}"
    yield f"  mode         {stat.S_IMODE(mode):04o} {stat.filemode(mode)}"
    yield f"  owner        {_with_name(int(row['uid']), user_name)}, group {_with_name(int(row['gid']), group_name)}"
    yield f"  size         {int(row['size']):,} bytes"
    yield f"  mtime        {mtime}"
    yield f"  ctime        {ctime}"
    yield f"  inode        {int(row['inode'])}, {links:,} link{'s' if links != 1 else ''}"
    code = int(result["code"])
    what = f", {status_name(code)} ({code})" if code < 0 else f", replica {code}" if with_replica else ""
    yield f"  outcome      {Outcome(result['outcome']).name.lower()}{what}"
    yield f"  change       {Change(result['change']).name.lower()}"


def _listed(name: bytes, row: np.void, result: np.void, *, with_replica: bool) -> str:
    """An entry as ls -l would show it, with what became of it."""
    uid, gid, code = int(row["uid"]), int(row["gid"]), int(result["code"])
    status = status_name(code) if code < 0 else f"replica {code}" if with_replica else ""
    return (
        f"{stat.filemode(int(row['mode']))} {int(row['nlink']):>3} {user_name(uid) or uid!s:<8} "
        f"{group_name(gid) or gid!s:<8} {human_bytes(int(row['size'])):>9} {time_text(int(row['mtime_ns']))}  "
        f"{Outcome(result['outcome']).name.lower():<9} {Change(result['change']).name.lower():<9} {status:<10} "
        f"{escaped(name)}"
    )


def _with_name(number: int, name_of: Any) -> str:
    name = name_of(number)
    return f"{name} ({number})" if name else str(number)


def _state_word(state: DirectoryState) -> str:
    return _UNSAID if state is DirectoryState.UNKNOWN else state.name.lower()


class Comparison:
    """Two tables against each other. Counted while the lines of ``listed`` are read, or by ``count``."""

    def __init__(self, old: Checkpoint, new: Checkpoint) -> None:
        self._old, self._new = old, new
        self._entries = np.zeros(len(Difference), np.int64)
        self._bytes = np.zeros(len(Difference), np.int64)

    def count(self) -> None:
        """Reads both to their ends."""
        for _ in self._stretches():
            pass

    def listed(self) -> Iterator[str]:
        """A line for each entry that differs: its mark, see ``MARKS``, and its path relative to the root."""
        for stretch in self._stretches():
            for each in stretch.differing():
                yield f"{MARKS[each.difference]} {escaped(each.path)}"

    def listed_json(self) -> Iterator[str]:
        """The same as a JSON object each; a byte of a path that is not UTF-8 is a surrogate escape (PEP 383)."""
        for stretch in self._stretches():
            for each in stretch.differing():
                line = {
                    "path": os.fsdecode(each.path),
                    "difference": each.difference.name.lower(),
                    "old": _side(each.old),
                    "new": _side(each.new),
                }
                yield json.dumps(line)

    def _stretches(self) -> Iterator[Stretch]:
        for stretch in stretches(self._old, self._new):
            self._entries += np.bincount(stretch.difference, minlength=len(Difference))
            np.add.at(self._bytes, stretch.difference, stretch.sizes())
            yield stretch

    def lines(self) -> Iterator[str]:
        """What was counted, for people."""
        for title, table in (("old", self._old), ("new", self._new)):
            attributes = table.attributes
            source = f"run {attributes.run} of job {attributes.job}" if attributes.target else "a scan"
            yield f"{title:<12} {escaped(os.fsencode(table.path))}: {source}, root {escaped(attributes.root)}"
        groups = zip(Difference, self._entries.tolist(), self._bytes.tolist(), strict=True)
        yield from histogram(
            "difference", "entries", [(_difference_word(each), Group(count, size)) for each, count, size in groups]
        )

    def to_json(self) -> dict[str, Any]:
        """What was counted, for programs. bytes: of regular files, as they are in the newer table if they are there."""
        counted = zip(Difference, self._entries.tolist(), self._bytes.tolist(), strict=True)
        return {
            "old": _origin(self._old),
            "new": _origin(self._new),
            "differences": {each.name.lower(): {"entries": count, "bytes": size} for each, count, size in counted},
        }


def _difference_word(difference: Difference) -> str:
    return f"{MARKS.get(difference, ' ')} {difference.name.lower()}"


def _side(side: Side | None) -> dict[str, Any] | None:
    if side is None:
        return None
    mtime = iso_times(np.array([side.mtime_ns]))[0].decode()
    return {"size": side.size, "mtime": mtime, "outcome": side.outcome.name.lower()}


def _origin(table: Checkpoint) -> dict[str, Any]:
    attributes = table.attributes
    return {
        "path": os.fspath(table.path),
        "root": os.fsdecode(attributes.root),
        "target": attributes.target,
        "job": attributes.job,
        "run": attributes.run,
    }
