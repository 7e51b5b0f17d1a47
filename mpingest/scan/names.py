"""Names of one directory as they come from reading it, before any stat.

Names are raw bytes, kept as one blob with offsets, so that a slice of a directory of any size travels from the rank
that reads it to the one that stats it without a Python object per name.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DT_UNKNOWN = 0
"""The ``d_type`` (readdir(3)) of a name whose file system, or reader, doesn't tell."""

_COUNTS = struct.Struct("<II")


def bounds(sizes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Offsets, shape (n + 1,), of ``n`` names of the given sizes."""
    offsets = np.zeros(len(sizes) + 1, np.uint32)
    np.add.accumulate(sizes, out=offsets[1:])
    return offsets


def join_names(names: Sequence[bytes]) -> tuple[bytes, npt.NDArray[np.uint32]]:
    """Names as blob and offsets."""
    return b"".join(names), bounds(np.fromiter(map(len, names), np.uint32, len(names)))


def split_names(blob: bytes, offsets: npt.NDArray[np.uint32]) -> list[bytes]:
    """The inverse of ``join_names``."""
    return [blob[start:stop] for start, stop in itertools.pairwise(offsets.tolist())]


def select_names(
    blob: bytes, offsets: npt.NDArray[np.uint32], where: npt.NDArray[np.bool_] | npt.NDArray[np.intp]
) -> tuple[bytes, npt.NDArray[np.uint32]]:
    """Blob and offsets of the names chosen by a boolean mask or by indices."""
    starts = offsets[:-1][where]
    sizes = offsets[1:][where] - starts
    chosen = bounds(sizes)
    source = np.repeat(starts.astype(np.intp) - chosen[:-1], sizes)
    source += np.arange(len(source))
    return np.frombuffer(blob, np.uint8)[source].tobytes(), chosen


@dataclass(frozen=True, slots=True)
class NameSlice:
    """``n`` names of one directory.

    blob:    all names joined without separator
    offsets: uint32, shape (n + 1,), bounds of each name in the blob
    types:   uint8, shape (n,), d_type as in readdir(3); DT_UNKNOWN where that isn't known
    """

    blob: bytes
    offsets: npt.NDArray[np.uint32]
    types: npt.NDArray[np.uint8]

    @classmethod
    def build(cls, names: Sequence[bytes], types: Sequence[int] | None = None) -> NameSlice:
        """A slice of the names given; without ``types``, of unknown types."""
        kinds = np.zeros(len(names), np.uint8) if types is None else np.array(types, np.uint8)
        return cls(*join_names(names), kinds)

    def __len__(self) -> int:
        return len(self.types)

    def name(self, index: int) -> bytes:
        """Name number ``index``."""
        return self.blob[self.offsets[index] : self.offsets[index + 1]]

    def names(self) -> list[bytes]:
        """All names, in order."""
        return split_names(self.blob, self.offsets)

    def select(self, where: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> NameSlice:
        """The names chosen by a boolean mask or by indices."""
        return NameSlice(*select_names(self.blob, self.offsets, where), self.types[where])

    def pack(self) -> bytes:
        """The slice as one byte string."""
        return _COUNTS.pack(len(self), len(self.blob)) + self.offsets.tobytes() + self.types.tobytes() + self.blob

    @classmethod
    def unpack(cls, data: bytes | memoryview) -> NameSlice:
        """The inverse of ``pack``. Raises ValueError where lengths do not fit."""
        if len(data) < _COUNTS.size:
            raise ValueError("truncated name slice")
        count, blob_size = _COUNTS.unpack_from(data)
        types_at = _COUNTS.size + 4 * (count + 1)
        blob_at = types_at + count
        if len(data) != blob_at + blob_size:
            raise ValueError("truncated name slice")
        offsets = np.frombuffer(data, np.uint32, count + 1, _COUNTS.size)
        types = np.frombuffer(data, np.uint8, count, types_at)
        return cls(bytes(data[blob_at:]), offsets, types)
