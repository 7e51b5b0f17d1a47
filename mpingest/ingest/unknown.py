"""What is in the catalog without a file: found in listings, recorded as gone, deleted only on request."""

from __future__ import annotations

import stat
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mpingest.ingest.catalog import Replica
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch


def unknown_entries(objects: Mapping[str, Sequence[Replica]], collections: Sequence[str]) -> EntryBatch:
    """Rows for objects (their replicas by name) and collections (names) that no file or directory stands for."""
    sizes = [max((replica.size for replica in replicas if replica.good), default=0) for replicas in objects.values()]
    rows = np.zeros(len(objects) + len(collections), ENTRY_DTYPE)
    rows["mode"][: len(objects)], rows["mode"][len(objects) :] = stat.S_IFREG, stat.S_IFDIR
    rows["size"][: len(objects)] = sizes
    return EntryBatch.build([name.encode() for name in (*objects, *collections)], rows)


def is_unknown(rows: np.void | npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Whether a row stands for what never was in the file system: unlike any ``lstat``, it has no inode and no link.

    rows: ``ENTRY_DTYPE``, one or shape (n,)
    """
    return (rows["inode"] == 0) & (rows["nlink"] == 0)  # type: ignore[no-any-return]
