"""Finding again, under another name, what has vanished: by its inode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpingest.manifest.checkpoint import Checkpoint, DirectoryRows
from mpingest.manifest.states import Outcome
from mpingest.scan.entries import TYPE_BITS, is_directory, is_regular


@dataclass(frozen=True, slots=True)
class VanishedIndex:
    """The regular files and directories that a checkpoint has as gone: 16 bytes each.

    inodes: ascending, shape (n,); places: where each stands in the checkpoint, shape (n,)
    """

    checkpoint: Checkpoint
    inodes: npt.NDArray[np.uint64]
    places: npt.NDArray[np.int64]

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> VanishedIndex:
        """Reads the blocks of the checkpoint that have any. Raises DamagedTable, OSError."""
        inodes, places = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
        for at, rows in checkpoint.places(Outcome.GONE):
            wanted = is_regular(rows) | is_directory(rows)
            inodes.append(rows["inode"][wanted])
            places.append(at[wanted])
        unordered = np.concatenate(inodes)
        order = np.argsort(unordered, kind="stable")
        return cls(checkpoint, unordered[order], np.concatenate(places)[order])

    def like(self, row: np.void) -> Iterator[DirectoryRows]:
        """What has vanished and was the same as ``row`` (``ENTRY_DTYPE``) is, each alone in its directory.

        The same: in type, inode, mtime and, but for directories, size. Raises DamagedTable, OSError.
        """
        first, last = (np.searchsorted(self.inodes, row["inode"], side) for side in ("left", "right"))
        for place in self.places[first:last].tolist():
            rows = self.checkpoint.at(place)
            if _same(rows.entries.rows[0], row):
                yield rows


def _same(one: np.void, other: np.void) -> bool:
    if (one["mode"] ^ other["mode"]) & TYPE_BITS or one["mtime_ns"] != other["mtime_ns"]:
        return False
    return bool(is_directory(one) or one["size"] == other["size"])
