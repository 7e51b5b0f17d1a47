"""What has vanished, and is there again under another name.

A run that looks for renames has two passes. The first one is a run as any other, but leaves all names alone of which
nothing is recorded, and notes the directories that have any. After it, and a merge, the checkpoint tells all that has
vanished. The second pass visits the noted directories for their new names: those that are found among what has vanished
are renamed in the catalog, all others are ingested. Last of all, what is recorded of a directory under its old name is
forgotten; until then the next run would begin again from that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from mpingest.ingest.entry import EntryIngestor, Result
from mpingest.ingest.kinds import is_gone
from mpingest.ingest.names import MAX_PATH
from mpingest.ingest.rename import Source
from mpingest.jobs.subtrees import SubtreeFile
from mpingest.jobs.units import Subtree
from mpingest.manifest.checkpoint import Checkpoint, DirectoryRows
from mpingest.manifest.states import Change, DirectoryState
from mpingest.manifest.vanished import VanishedIndex
from mpingest.scan.entries import is_regular

_DEVICES_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Renames:
    """Has objects and collections follow what is found again under another name. Safe for several threads.

    left: directories that have a new name, by their old one, and marks (Change.RETRY) that something recorded under an
          old name is still needed
    device_of: the device of a path, or of what is left of it
    """

    checkpoint: Checkpoint
    vanished: VanishedIndex
    ingestor: EntryIngestor
    left: SubtreeFile
    device_of: Callable[[bytes], int | None] = field(default_factory=lambda: lru_cache(_DEVICES_REMEMBERED)(_device_of))

    def may_be(self, row: np.void) -> bool:
        """Whether a file like that has vanished."""
        return bool(is_regular(row)) and next(self.vanished.like(row), None) is not None

    def file(self, relative: bytes, row: np.void) -> Result | None:
        """Have an object follow to this name; None where there is none that can. Raises ZoneGone, Interrupted."""
        if not is_regular(row):
            return None
        results = (self.ingestor.rename(relative, row, source) for source in self._sources(relative, row))
        return next((result for result in results if result is not None), None)

    def directory(self, relative: bytes, row: np.void) -> bytes | None:
        """Have a collection follow to this name; the old path of its directory, None where there is none that can.

        Raises ZoneGone, Interrupted.
        """
        for source in self._sources(relative, row):
            if self._can_follow(source.relative, relative) and self.ingestor.rename_collection(relative, row, source):
                self.left.add(Subtree(source.relative, Change.DELETED, source.row))
                return source.relative
        return None

    def keep(self, relative: bytes, row: np.void) -> None:
        """Keep what is recorded under old names: the next run needs it to go on with this entry."""
        self.left.add(Subtree(relative, Change.RETRY, row))

    def _sources(self, relative: bytes, row: np.void) -> Iterator[Source]:
        """What has vanished and is the same as this entry, for all that the file system tells."""
        try:
            device = os.lstat(self._path(relative)).st_dev
        except OSError:
            return
        for source in sorted(map(_source, self.vanished.like(row)), key=lambda old: _distance(old.relative, relative)):
            path = self._path(source.relative)
            if is_gone(path) and self.device_of(os.path.dirname(path)) == device:
                yield source

    def _path(self, relative: bytes) -> bytes:
        return self.ingestor.subjects.path(relative)

    def _can_follow(self, was: bytes, relative: bytes) -> bool:
        """Whether there is a collection of the directory, and all names below stay what they are in the catalog."""
        naming = self.ingestor.subjects.naming
        longest = 0
        for rows in self.checkpoint.subtree(was):
            if rows.path == was and rows.state not in (DirectoryState.COMPLETE, DirectoryState.PARTIAL):
                return False
            if not all(map(naming.is_plain, _paths(rows))):
                return False
            longest = max(longest, len(rows.path) + 1 + int(np.diff(rows.entries.offsets).max(initial=0)))
        size = len(naming.target.encode()) + 1 + longest + len(relative) - len(was)
        return longest > 0 and size <= MAX_PATH and naming.is_plain(relative)


def _paths(rows: DirectoryRows) -> Iterator[bytes]:
    """Paths of the directory and its entries."""
    return (os.path.join(rows.path, name) for name in (b"", *rows.entries.names()))


def _source(rows: DirectoryRows) -> Source:
    """The only entry of the rows."""
    (result,) = rows.results
    path = os.path.join(rows.path, rows.entries.name(0))
    return Source(path, rows.entries.rows[0], int(result["code"]), result["change"] != Change.MODIFIED)


def _distance(one: bytes, other: bytes) -> bool:
    """Of hard links, whether the one is a worse guess: neither in the same directory nor of the same name."""
    return os.path.dirname(one) != os.path.dirname(other) and os.path.basename(one) != os.path.basename(other)


def _device_of(path: bytes) -> int | None:
    """That of the path, or of the nearest directory above it that is still there; None where that can't be told.

    Recorded device numbers would not do: those of network file systems differ from node to node.
    """
    try:
        return os.stat(path).st_dev
    except (FileNotFoundError, NotADirectoryError):
        return _device_of(os.path.dirname(path))
    except OSError:
        return None
