"""What a scan finds, entry by entry, as text: rows of CSV or paths that end in NUL."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

import numpy as np

from mpingest.jobs.output import OutputClosed
from mpingest.jobs.survey import Visited
from mpingest.scan import text
from mpingest.scan.entries import EntryBatch
from mpingest.scan.excludes import type_word

CSV_HEADER = b"path,type,size,mtime,ctime,uid,gid,mode,nlink,inode\n"
_NS = 10**9

Lines = Callable[[bytes, EntryBatch], bytes]
"""Text for entries of the directory with this path as it is to be shown."""


def paths0(directory: bytes, entries: EntryBatch) -> bytes:
    """The entries' paths as they are, each followed by NUL."""
    return text.paths0(_paths(directory, entries))


def csv_rows(directory: bytes, entries: EntryBatch) -> bytes:
    r"""A line of CSV (RFC 4180) for each entry, see ``CSV_HEADER``.

    Path: a backslash is written ``\\``, a control character or a byte that is not UTF-8 ``\xHH``, so that a line is an
    entry and every path can be had back. Times: seconds since the epoch, with nanoseconds; mode: permissions, octal.
    """
    plain = text.is_plain(directory) and text.is_plain(entries.blob)
    paths = text.csv_fields(_paths(directory, entries), plain=plain)
    rows = entries.rows
    words = [type_word(number).encode() for number in range(16)]
    columns = [
        [words[number] for number in (rows["mode"] >> 12).tolist()],
        rows["size"].tolist(),
        *(column for name in ("mtime_ns", "ctime_ns") for column in map(np.ndarray.tolist, divmod(rows[name], _NS))),
        *(rows[name].tolist() for name in ("uid", "gid")),
        stat.S_IMODE(0o7777) & rows["mode"],
        *(rows[name].tolist() for name in ("nlink", "inode")),
    ]
    line = b"%s,%s,%d,%d.%09d,%d.%09d,%d,%d,%04o,%d,%d\n"
    return b"".join([line % values for values in zip(paths, *columns, strict=True)])


def _paths(directory: bytes, entries: EntryBatch) -> list[bytes]:
    prefix = os.path.join(directory, b"")
    return [prefix + name for name in entries.names()]


class Listing:
    """Writes what is found to a stream (see ``mpingest.jobs.survey.Sink``).

    stream: of ``output``
    root:  as it is to be shown, before the path of each entry
    alone: whether the listing is all that is wanted: then ``OutputClosed`` is raised once nobody reads it
    """

    def __init__(self, stream: BinaryIO, root: bytes, lines: Lines, *, alone: bool) -> None:
        self._stream = stream
        self._root = root
        self._lines = lines
        self._alone = alone
        self._closed = False
        self._lock = threading.Lock()

    def record(self, visited: Sequence[Visited]) -> None:
        """Writes entries as they are found."""
        self.write((each.part.path, each.part.entries) for each in visited)

    def head(self, line: bytes) -> None:
        """Writes what comes before all entries."""
        self._put(line)

    def write(self, found: Iterable[tuple[bytes, EntryBatch]]) -> None:
        """Writes entries of directories, whose paths are relative to the root."""
        self._put(b"".join([self._lines(os.path.join(self._root, path), entries) for path, entries in found]))

    def flush(self) -> None:
        """Hands over all that is written."""
        self._put(b"")

    def _put(self, text: bytes) -> None:
        with self._lock:
            if self._closed:
                return
            try:
                self._stream.write(text)
                if not text:
                    self._stream.flush()
            except OutputClosed:
                self._closed = True
                if self._alone:
                    raise
