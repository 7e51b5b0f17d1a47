"""The bytes of a file that is put, opened so that nothing but a regular file can ever be read."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Protocol

import numpy as np

from mpingest.ingest.retry import Ending, Interrupted

# O_NONBLOCK: a pipe put in the file's place since the scan must not block the rank.
_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class SourceError(Exception):
    """The file could not be read; the message says why."""


class Vanished(SourceError):
    """The file is no longer there, which is no failure: the next scan will tell."""


class VanishedMidway(Vanished):
    """The same, after a transfer of it had broken off: there may be an object, with or without its content."""


class Digest(Protocol):
    """The part of a hash object of hashlib that is used."""

    def update(self, data: bytes, /) -> None: ...  # noqa: D102
    def digest(self) -> bytes: ...  # noqa: D102


class Source:
    """A regular file open for reading, whose failures are SourceError so that nobody takes them for the network's.

    size: bytes when it was opened; digest: takes in what is read, if it is set
    """

    def __init__(self, file: BinaryIO, size: int, ending: Ending | None) -> None:
        self._file = file
        self._ending = ending
        self.size = size
        self.digest: Digest | None = None

    def seek(self, offset: int) -> None:
        """Go to a byte."""
        self._file.seek(offset)

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer only at the end of the file. Raises Interrupted once the run ends."""
        if self._ending is not None and self._ending.is_set():
            raise Interrupted
        try:
            data = self._file.read(size)
        except OSError as error:
            raise SourceError(f"cannot be read: {error.strerror}") from error
        if self.digest:
            self.digest.update(data)
        return data


@contextmanager
def open_source(path: bytes, ending: Ending | None = None) -> Iterator[Source]:
    """Open ``path``, a link followed. Raises SourceError where it isn't a regular file or can't be opened.

    ending: nothing more is read once it is set
    """
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except FileNotFoundError as error:
        raise Vanished("vanished since it was scanned") from error
    except OSError as error:
        raise SourceError(f"cannot be opened: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SourceError("is no longer a regular file")
        yield Source(file, status.st_size, ending)


def read_as_scanned(path: bytes, row: np.void) -> bytes | None:
    """The content of a small regular file; None unless it is what ``row``, its stat, says, before and after."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError:
        return None
    expected = int(row["inode"]), int(row["size"]), int(row["mtime_ns"])
    try:
        if _signature(os.fstat(descriptor)) != expected:
            return None
        content = os.read(descriptor, expected[1] + 1)
        is_same = len(content) == expected[1] and _signature(os.fstat(descriptor)) == expected
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return content if is_same else None


def _signature(status: os.stat_result) -> tuple[int, int, int] | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
