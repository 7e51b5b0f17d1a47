r"""Rows of a table as CSV, JSON lines, Parquet or NUL-terminated paths: block by block, at constant memory.

Entries come in the order of the table. All formats but paths0 have the same columns:

=======  =====================================================================================================
column   meaning
=======  =====================================================================================================
path     absolute path, see below
type     regular, directory, link, pipe, socket, character, block or other
size     bytes
mtime    last change of the content, UTC, nanoseconds; as text 2026-01-31T23:59:59.123456789Z (ISO 8601)
ctime    last change of the inode, likewise
uid gid  numbers of owner and group
mode     permission bits; as text octal, such as 0644
nlink    number of links
inode    number of the inode
outcome  done, skipped, failed, unsettled, gone, removed or released (``Outcome``)
change   unchanged, new, modified, metadata, retry or deleted (``Change``), as the last run to touch it saw it
code     iRODS status: an error if < 0, else the number of the replica
error    name of that error; empty (CSV) or null if there is none
=======  =====================================================================================================

Paths are bytes, and no byte gets lost. csv and parquet: UTF-8, in which a backslash is written ``\\``, a control
character or a byte that is not UTF-8 ``\xHH``, so that a path is one line. jsonl: a JSON string, in which a byte that
is not UTF-8 is a lone surrogate, ``\udcHH`` (PEP 383: ``os.fsencode`` in Python makes bytes of it), as in
failures.jsonl. paths0: the bytes themselves.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from mpingest.manifest.block import Block
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.states import Change, Outcome
from mpingest.scan.excludes import TYPE_SHIFT, type_word
from mpingest.scan.text import csv_fields, is_plain, paths0

COLUMNS = (
    *("path", "type", "size", "mtime", "ctime", "uid", "gid", "mode", "nlink", "inode"),
    *("outcome", "change", "code", "error"),
)
TYPE_WORDS = [type_word(number) for number in range(1 << 4)]
"""By the type bits of a mode."""

_SECOND = 10**9
_DAY = 86_400
_CSV_ROW = b"%s,%s,%d,%s,%s,%d,%d,%04o,%d,%d,%s,%s,%d,%s\n"
_JSON_ROW = (
    b'{"path":%s,"type":"%s","size":%d,"mtime":"%s","ctime":"%s","uid":%d,"gid":%d,"mode":"%04o","nlink":%d,'
    b'"inode":%d,"outcome":"%s","change":"%s","code":%d,"error":%s}\n'
)

StatusName = Callable[[int], str]
"""The name of an iRODS status < 0."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which entries are wanted: with any of these outcomes and changes, below a directory (relative to the root)."""

    outcomes: Sequence[Outcome] = tuple(Outcome)
    changes: Sequence[Change] = tuple(Change)
    below: bytes = b""


@dataclass(frozen=True, slots=True)
class Records:
    """``n`` entries.

    paths: absolute, length n; plain: they stand for themselves in every format
    rows: ``ENTRY_DTYPE``, results: ``RESULT_DTYPE``, both of shape (n,)
    """

    paths: list[bytes]
    plain: bool
    rows: npt.NDArray[np.void]
    results: npt.NDArray[np.void]

    @classmethod
    def of(cls, root: bytes, block: Block) -> Records:
        """All entries of a block. root: absolute."""
        prefix = os.path.join(root, b"")
        plain = is_plain(prefix) and is_plain(block.entries.blob) and all(map(is_plain, block.keys))
        return cls([prefix + path for path in block.paths()], plain, block.entries.rows, block.results)

    def types(self) -> npt.NDArray[np.integer]:
        """Index of each entry's type in ``TYPE_WORDS``, shape (n,)."""
        return self.rows["mode"] >> TYPE_SHIFT & 0xF

    def modes(self) -> npt.NDArray[np.integer]:
        """Permission bits, shape (n,)."""
        return self.rows["mode"] & stat.S_IMODE(0o7777)


class StatusNames(dict[int, str]):
    """Names of the codes that were met; "" where there is no error."""

    def __init__(self, name: StatusName) -> None:
        super().__init__()
        self._name = name

    def __missing__(self, code: int) -> str:
        self[code] = name = self._name(code) if code < 0 else ""
        return name


def records(checkpoint: Checkpoint, selection: Selection) -> Iterator[Records]:
    """The entries that are wanted, block by block. Raises DamagedTable, OSError."""
    outcomes = np.isin(np.arange(1 << 8), selection.outcomes)
    changes = np.isin(np.arange(1 << 8), selection.changes)
    for block in checkpoint.blocks(selection.below):
        wanted = outcomes[block.results["outcome"]] & changes[block.results["change"]]
        if wanted.any():
            chosen = block if wanted.all() else block.select(wanted)
            yield Records.of(checkpoint.attributes.root, chosen)


def export(
    checkpoint: Checkpoint, selection: Selection, format: str, stream: BinaryIO, status_name: StatusName
) -> None:
    """Writes the entries that are wanted. format: a key of ``FORMATS``.

    Raises MpingestError, of which DamagedTable is one; OSError, also that of the stream.
    """
    FORMATS[format](records(checkpoint, selection), stream, StatusNames(status_name))


def _to_csv(found: Iterator[Records], stream: BinaryIO, names: StatusNames) -> None:
    stream.write(",".join(COLUMNS).encode() + b"\n")
    for each in found:
        paths = csv_fields(each.paths, plain=each.plain)
        errors = [names[code].encode() for code in each.results["code"].tolist()]
        stream.write(_lines(_CSV_ROW, each, paths, errors))


def _to_json_lines(found: Iterator[Records], stream: BinaryIO, names: StatusNames) -> None:
    for each in found:
        if each.plain:
            paths = [b'"%s"' % path for path in each.paths]
        else:
            paths = [json.dumps(os.fsdecode(path)).encode() for path in each.paths]
        errors = [b'"%s"' % names[code].encode() if code < 0 else b"null" for code in each.results["code"].tolist()]
        stream.write(_lines(_JSON_ROW, each, paths, errors))


def _to_parquet(found: Iterator[Records], stream: BinaryIO, names: StatusNames) -> None:
    from mpingest.manifest.parquet import write_parquet

    write_parquet(found, stream, names)


def _to_paths0(found: Iterator[Records], stream: BinaryIO, _: StatusNames) -> None:
    for each in found:
        stream.write(paths0(each.paths))


FORMATS: dict[str, Callable[[Iterator[Records], BinaryIO, StatusNames], None]] = {
    "csv": _to_csv,
    "jsonl": _to_json_lines,
    "parquet": _to_parquet,
    "paths0": _to_paths0,
}


def _lines(template: bytes, found: Records, paths: Sequence[bytes], errors: list[bytes]) -> bytes:
    rows, results = found.rows, found.results
    columns: list[Any] = [
        paths,
        _words(TYPE_WORDS, found.types()),
        rows["size"].tolist(),
        iso_times(rows["mtime_ns"]),
        iso_times(rows["ctime_ns"]),
        rows["uid"].tolist(),
        rows["gid"].tolist(),
        found.modes().tolist(),
        rows["nlink"].tolist(),
        rows["inode"].tolist(),
        _words([outcome.name.lower() for outcome in Outcome], results["outcome"]),
        _words([change.name.lower() for change in Change], results["change"]),
        results["code"].tolist(),
        errors,
    ]
    return b"".join([template % values for values in zip(*columns, strict=True)])


def _words(words: list[str], numbers: npt.NDArray[Any]) -> list[bytes]:
    encoded = [word.encode() for word in words]
    return [encoded[number] for number in numbers.tolist()]


_TIME = np.dtype(
    [
        *(("date", "S10"), ("T", "S1"), ("hour", "S2"), ("colon", "S1"), ("minute", "S2"), ("second_colon", "S1")),
        *(("second", "S2"), ("point", "S1"), ("ms", "S3"), ("us", "S3"), ("ns", "S3"), ("Z", "S1")),
    ]
)
_TWO_DIGITS = np.array([b"%02d" % number for number in range(60)])
_THREE_DIGITS = np.array([b"%03d" % number for number in range(1000)])


def iso_times(times: npt.NDArray[np.int64]) -> list[bytes]:
    """Times as text in UTC (ISO 8601), of fixed width. times: nanoseconds since the epoch, shape (n,)."""
    seconds, fraction = np.divmod(times, _SECOND)
    days, second = np.divmod(seconds, _DAY)
    distinct, which = np.unique(days, return_inverse=True)
    text = np.empty(len(times), _TIME)
    text["date"] = np.datetime_as_string(distinct.astype("M8[D]")).astype("S10")[which]
    text["hour"] = _TWO_DIGITS[second // 3600]
    text["minute"] = _TWO_DIGITS[second // 60 % 60]
    text["second"] = _TWO_DIGITS[second % 60]
    text["ms"] = _THREE_DIGITS[fraction // 10**6]
    text["us"] = _THREE_DIGITS[fraction // 10**3 % 10**3]
    text["ns"] = _THREE_DIGITS[fraction % 10**3]
    text["T"], text["point"], text["Z"] = b"T", b".", b"Z"
    text["colon"] = text["second_colon"] = b":"
    return text.view(f"S{_TIME.itemsize}").tolist()
