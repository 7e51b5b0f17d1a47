"""What ``_native`` does, in Python, for where that isn't built."""

from __future__ import annotations

import errno
import os
import struct
import threading
import time
from array import array
from collections.abc import Sequence, Sized
from itertools import accumulate, islice, pairwise
from operator import attrgetter
from stat import S_ISLNK, S_ISREG

import numpy as np
import numpy.typing as npt

from mpingest.scan.entries import columns
from mpingest.scan.excludes import FILE_TYPES
from mpingest.scan.names import DT_UNKNOWN

_PACKED = struct.Struct("<4IQ3q")
_ROW = attrgetter("st_mode", "st_nlink", "st_uid", "st_gid", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")


class NameReader:
    """Reads the names of the open directory ``fd``, which stays open and the caller's.

    with_types: whether d_types are wanted; they cost time here
    """

    def __init__(self, fd: int, with_types: bool) -> None:
        self._with_types = with_types
        self._entries = os.scandir(fd)
        self._error: OSError | None = None

    def read(self, most: int) -> tuple[bytes, bytes, bytes]:
        """The next names, at most so many; none at the end.

        returns: the names without separator, their offsets (uint32, n + 1), their d_types (uint8, n)

        Raises OSError where the reading breaks off, after all names before that were given.
        """
        if self._error is not None:
            raise self._error
        found: list[os.DirEntry[str]] = []
        try:
            found.extend(islice(self._entries, most))  # keeps what comes before an error
        except OSError as error:
            if not found:
                raise
            self._error = error
        types = bytes(map(_type_of, found)) if self._with_types else bytes(len(found))
        return *_joined([entry.name for entry in found]), types

    def close(self) -> None:
        """Give back what the reading needed."""
        self._entries.close()


def _joined(names: list[str]) -> tuple[bytes, bytes]:
    """The names without separator, and their offsets."""
    text = "".join(names)
    if text.isascii():
        return text.encode("ascii"), _offsets(names)
    encoded = [os.fsencode(name) for name in names]
    return b"".join(encoded), _offsets(encoded)


def _offsets(names: Sequence[Sized]) -> bytes:
    return array("I", accumulate(map(len, names), initial=0)).tobytes()


def _type_of(entry: os.DirEntry[str]) -> int:
    try:
        if entry.is_symlink():
            return FILE_TYPES["link"]
        if entry.is_dir(follow_symlinks=False):
            return FILE_TYPES["directory"]
        return FILE_TYPES["regular"] if entry.is_file(follow_symlinks=False) else DT_UNKNOWN
    except OSError:
        return DT_UNKNOWN


class StatBatch:
    """Names of the open directory ``fd`` to be stat'ed into ``rows``; any number of threads may do so together.

    blob, offsets: the names (see ``NameSlice``)
    rows:   ``ENTRY_DTYPE``, shape (n,); left as it is where the stat fails
    errnos: int32, shape (n,); becomes 0 or the error number of each stat, and stays as it is until then
    failed: names whose stat failed
    follow: describe a symbolic link to a regular file by that file, under the mode of the link
    """

    def __init__(
        self,
        fd: int,
        blob: bytes,
        offsets: npt.NDArray[np.uint32],
        rows: npt.NDArray[np.void],
        errnos: npt.NDArray[np.int32],
        *,
        follow: bool,
    ) -> None:
        if not len(offsets) - 1 == len(rows) == len(errnos):
            raise ValueError("arrays of different lengths")
        ends = offsets.tolist()
        if ends[0] != 0 or ends[-1] != len(blob) or ends != sorted(ends):
            raise ValueError("offsets that are not those of the names")
        self._names = [blob[start:stop] for start, stop in pairwise(ends)]
        self._rows = rows
        self._bytes = rows.view(np.uint8).data
        self._errnos = errnos
        self._follow = follow
        self._fd = fd
        self._taken = 0
        self.failed = 0
        self._lock = threading.Lock()

    @property
    def left(self) -> int:
        """Names that no thread has taken yet."""
        return len(self._names) - self._taken

    def run(self, most: int, grain: int, nanoseconds: int) -> tuple[int, int]:
        """Stat names, ``grain`` at a time, until none is left, ``most`` are done or the time is over.

        returns: how many were done, and the nanoseconds that they took
        """
        done, began, elapsed = 0, time.perf_counter_ns(), 0
        while done < most and elapsed < nanoseconds:
            start, stop = self._take(min(grain, most - done))
            if start == stop:
                break
            self._stat(start, stop)
            done += stop - start
            elapsed = time.perf_counter_ns() - began
        return done, elapsed

    def _take(self, count: int) -> tuple[int, int]:
        with self._lock:
            start = self._taken
            self._taken = stop = min(start + count, len(self._names))
        return start, stop

    def _stat(self, start: int, stop: int) -> None:
        if stop - start > 1 and not self._follow and self._stat_all(start, stop):
            return
        for index in range(start, stop):
            self._stat_one(index)

    def _stat_all(self, start: int, stop: int) -> bool:
        """The fast way for many; False at the first that fails or doesn't fit."""
        lstat, pack, fd = os.lstat, _PACKED.pack, self._fd
        try:
            rows = [pack(*_ROW(lstat(name, dir_fd=fd))) for name in self._names[start:stop]]
        except (OSError, struct.error):
            return False
        self._bytes[_PACKED.size * start : _PACKED.size * stop] = b"".join(rows)
        self._errnos[start:stop] = 0
        return True

    def _stat_one(self, index: int) -> None:
        """The fast way for one."""
        name = self._names[index]
        try:
            row = _ROW(os.lstat(name, dir_fd=self._fd))
        except OSError as error:
            self._errnos[index] = error.errno or errno.EIO
            with self._lock:
                self.failed += 1
            return
        if self._follow:
            row = self._followed(name, row)
        try:
            _PACKED.pack_into(self._bytes, _PACKED.size * index, *row)
        except struct.error:
            self._rows[index : index + 1] = columns([row])
        self._errnos[index] = 0

    def _followed(self, name: bytes, link: tuple[int, ...]) -> tuple[int, ...]:
        if not S_ISLNK(link[0]):
            return link
        try:
            target = os.stat(name, dir_fd=self._fd)
        except OSError:
            return link
        return (link[0], *_ROW(target)[1:]) if S_ISREG(target.st_mode) else link
