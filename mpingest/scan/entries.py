"""Entry batches: the entries of one directory (or a slice of it) as columns.

Names are raw bytes, kept as one blob with offsets; everything else is one structured array, so a batch
travels over MPI and into HDF5 without a Python object per file.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpingest.scan.names import bounds, join_names, select_names, split_names

ENTRY_DTYPE = np.dtype(
    [
        ("mode", "<u4"),  # st_mode: type and permissions
        ("nlink", "<u4"),
        ("uid", "<u4"),
        ("gid", "<u4"),
        ("inode", "<u8"),
        ("size", "<i8"),  # bytes
        ("mtime_ns", "<i8"),  # nanoseconds since the epoch
        ("ctime_ns", "<i8"),  # nanoseconds since the epoch
    ]
)
"""One ``lstat`` (POSIX.1-2017, sys/stat.h), little-endian."""

TYPE_BITS = np.uint32(0o170000)
"""S_IFMT: the part of a mode that tells the type."""

_COUNTS = struct.Struct("<II")


def is_directory(rows: npt.NDArray[np.void] | np.void) -> npt.NDArray[np.bool_]:
    """Which are directories. rows: ``ENTRY_DTYPE``, one or shape (n,)."""
    return (rows["mode"] & TYPE_BITS) == stat.S_IFDIR  # type: ignore[no-any-return]


def is_regular(rows: npt.NDArray[np.void] | np.void) -> npt.NDArray[np.bool_]:
    """Which are regular files. rows: ``ENTRY_DTYPE``, one or shape (n,)."""
    return (rows["mode"] & TYPE_BITS) == stat.S_IFREG  # type: ignore[no-any-return]


def stat_row(status: os.stat_result) -> tuple[int, ...]:
    """The fields of ``ENTRY_DTYPE`` from one stat result."""
    return (
        status.st_mode,
        status.st_nlink,
        status.st_uid,
        status.st_gid,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def entry_row(status: os.stat_result) -> np.void:
    """One stat result as ``ENTRY_DTYPE``."""
    row: np.void = columns([stat_row(status)])[0]
    return row


def columns(rows: Sequence[tuple[int, ...]] | npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Stat rows as an array of ``ENTRY_DTYPE``; numbers that don't fit end at the nearest that does."""
    try:
        return np.array(rows, ENTRY_DTYPE)
    except OverflowError:
        return np.array([_within_bounds(row) for row in rows], ENTRY_DTYPE)


def _within_bounds(row: tuple[int, ...]) -> tuple[int, ...]:
    """A row whose numbers fit: nanoseconds in 64 bits end in the year 2262, and some file systems' clocks don't."""
    limits = (np.iinfo(ENTRY_DTYPE[name]) for name in ENTRY_DTYPE.names or ())
    return tuple(int(min(max(value, limit.min), limit.max)) for value, limit in zip(row, limits, strict=True))


@dataclass(frozen=True, slots=True)
class EntryBatch:
    """``n`` entries of one directory.

    blob:    all names joined without separator
    offsets: uint32, shape (n + 1,), bounds of each name in the blob
    rows:    ``ENTRY_DTYPE``, shape (n,)
    """

    blob: bytes
    offsets: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.void]

    @classmethod
    def build(cls, names: Sequence[bytes], rows: Sequence[tuple[int, ...]] | npt.NDArray[np.void]) -> EntryBatch:
        """A batch from names and stat rows (see ``stat_row``), in the order given."""
        return cls(*join_names(names), columns(rows).reshape(len(names)))

    def __len__(self) -> int:
        return len(self.rows)

    def name(self, index: int) -> bytes:
        """Name of entry ``index``."""
        return self.blob[self.offsets[index] : self.offsets[index + 1]]

    def names(self) -> list[bytes]:
        """All names, in order."""
        return split_names(self.blob, self.offsets)

    def __iter__(self) -> Iterator[tuple[bytes, np.void]]:
        return zip(self.names(), self.rows, strict=True)

    def slice(self, start: int, stop: int) -> EntryBatch:
        """Entries ``start`` to ``stop``; the stat rows are a view."""
        offsets = self.offsets[start : stop + 1]
        return EntryBatch(self.blob[offsets[0] : offsets[-1]], offsets - offsets[0], self.rows[start:stop])

    def select(self, where: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> EntryBatch:
        """The entries chosen by a boolean mask or by indices."""
        if where.dtype == np.bool_:
            if where.all():
                return self
            where = np.flatnonzero(where)
        # Indexing copies structs field by field, take() as a whole: ten times faster.
        return EntryBatch(*select_names(self.blob, self.offsets, where), self.rows.take(where))

    @classmethod
    def concatenate(cls, batches: Sequence[EntryBatch]) -> EntryBatch:
        """All entries of the batches, in order."""
        sizes = b"".join([(batch.offsets[1:] - batch.offsets[:-1]).data for batch in batches])
        rows = b"".join([batch.rows.data for batch in batches])  # np.concatenate would work out the dtype pair by pair
        blob = b"".join([batch.blob for batch in batches])
        return cls(blob, bounds(np.frombuffer(sizes, np.uint32)), np.frombuffer(rows, ENTRY_DTYPE))

    def file_sizes(self) -> npt.NDArray[np.int64]:
        """Bytes of the regular files, 0 of all else, shape (n,)."""
        return np.where((self.rows["mode"] & TYPE_BITS) == stat.S_IFREG, self.rows["size"], 0)

    def is_directory(self) -> npt.NDArray[np.bool_]:
        """Which entries are directories, shape (n,)."""
        return is_directory(self.rows)

    def is_link(self) -> npt.NDArray[np.bool_]:
        """Which entries are symbolic links, shape (n,)."""
        return (self.rows["mode"] & TYPE_BITS) == stat.S_IFLNK  # type: ignore[no-any-return]

    def pack(self) -> bytes:
        """The batch as one byte string."""
        counts = _COUNTS.pack(len(self), len(self.blob))
        return counts + self.offsets.tobytes() + self.rows.tobytes() + self.blob

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> EntryBatch:
        """The inverse of ``pack``. Raises ValueError where lengths do not fit."""
        if len(data) < _COUNTS.size:
            raise ValueError("truncated entry batch")
        count, blob_size = _COUNTS.unpack_from(data)
        rows_at = _COUNTS.size + 4 * (count + 1)
        blob_at = rows_at + ENTRY_DTYPE.itemsize * count
        if len(data) != blob_at + blob_size:
            raise ValueError("truncated entry batch")
        offsets = np.frombuffer(data, np.uint32, count + 1, _COUNTS.size)
        rows = np.frombuffer(data, ENTRY_DTYPE, count, rows_at)
        return cls(bytes(data[blob_at:]), offsets, rows)
