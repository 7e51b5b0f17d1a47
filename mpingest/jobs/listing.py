"""What a scan finds, entry by entry, as text: rows of CSV or paths that end in NUL."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

import numpy as np

from mpingest.errors import ExitCode, MpingestError
from mpingest.jobs.survey import Visited
from mpingest.scan.entries import EntryBatch
from mpingest.scan.excludes import type_word

CSV_HEADER = b"path,type,size,mtime,ctime,uid,gid,mode,nlink,inode\n"
_PLAIN = re.compile(rb"[ !#-+\--\[\]-~]*")  # printable ASCII but for " , and backslash
_ESCAPED = re.compile(rb"[\x00-\x1f\x7f\\]")
_NS = 10**9

Lines = Callable[[bytes, EntryBatch], bytes]
"""Text for entries of the directory with this path as it is to be shown."""


class OutputClosed(MpingestError):
    """Who reads the output has seen enough."""

    exit_code = ExitCode.DONE


def paths0(directory: bytes, entries: EntryBatch) -> bytes:
    """The entries' paths as they are, each followed by NUL."""
    prefix = os.path.join(directory, b"")
    names = entries.names()
    return prefix + (b"\0" + prefix).join(names) + b"\0" if names else b""


def csv_rows(directory: bytes, entries: EntryBatch) -> bytes:
    r"""A line of CSV (RFC 4180) for each entry, see ``CSV_HEADER``.

    Path: a backslash is written ``\\``, a control character or a byte that is not UTF-8 ``\xHH``, so that a line is an
    entry and every path can be had back. Times: seconds since the epoch, with nanoseconds; mode: permissions, octal.
    """
    prefix = os.path.join(directory, b"")
    names = entries.names()
    if _PLAIN.fullmatch(prefix) and _PLAIN.fullmatch(entries.blob):
        paths = [prefix + name for name in names]
    else:
        paths = [_field(prefix + name) for name in names]
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


def _field(path: bytes) -> bytes:
    text = _ESCAPED.sub(_escape, path).decode(errors="backslashreplace").encode()
    return b'"' + text.replace(b'"', b'""') + b'"' if b'"' in text or b"," in text else text


def _escape(match: re.Match[bytes]) -> bytes:
    return b"\\\\" if match[0] == b"\\" else b"\\x%02x" % match[0][0]


class Listing:
    """Writes what is found to a stream (see ``mpingest.jobs.survey.Sink``).

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
            except BrokenPipeError as error:
                self._closed = True
                if self._alone:
                    raise OutputClosed("nobody reads the output any more") from error
