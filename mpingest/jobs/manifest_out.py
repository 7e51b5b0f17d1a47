"""Where a scan's manifest is written: segments of each rank, made by a thread of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Queue
from typing import TYPE_CHECKING

from mpingest.farm.collective import deal
from mpingest.jobs.output import CannotWrite
from mpingest.jobs.survey import NO_ENTRIES, Visited
from mpingest.scan.census import Part
from mpingest.scan.entries import EntryBatch

if TYPE_CHECKING:
    from pathlib import Path

    from mpi4py import MPI

    from mpingest.manifest.block import Block
    from mpingest.manifest.table import JobAttributes

_QUEUED = 4
"""Harvests that may wait to be written before threads wait for the writer."""


def _attributes(root: bytes) -> JobAttributes:
    """Where a scan's tables come from: no zone, so no target and no job."""
    import socket

    from mpingest.manifest.table import JobAttributes

    return JobAttributes("scan", root, "", 1, socket.gethostname())


class ManifestOut:
    """Records what is found in segments (see ``mpingest.jobs.survey.Sink``).

    HDF5 is loaded by the thread, too, once the scan is under way. As a context manager: ends the thread.
    Raises CannotWrite.
    """

    def __init__(self, directory: str, root: bytes, rank: int) -> None:
        self._segments = 0
        self._directory = directory
        self._root = root
        self._rank = rank
        self._queue: Queue[Sequence[Visited] | None] = Queue(_QUEUED)
        self._error: OSError | None = None
        self._starting = threading.Lock()
        self._started = False
        self._thread = threading.Thread(target=self._write, name="manifest", daemon=True)

    def __enter__(self) -> ManifestOut:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def close(self) -> int:
        """All is recorded: completes the segments and gives their number."""
        self._end()
        self._check()
        return self._segments

    def _end(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def record(self, visited: Sequence[Visited]) -> None:
        """Has parts of directories written."""
        self._check()
        with self._starting:
            if not self._started:
                self._started = True
                self._thread.start()
        self._queue.put(visited)

    def _check(self) -> None:
        if self._error is not None:
            raise CannotWrite(f"{self._directory}: cannot be written: {self._error.strerror}") from self._error

    def _write(self) -> None:
        from pathlib import Path

        from mpingest.manifest.ordered import OrderedSegments

        try:
            with OrderedSegments(Path(self._directory), self._rank, _attributes(self._root)) as segments:
                while (visited := self._queue.get()) is not None:
                    segments.add(_block(visited), at_boundary=visited[-1].ended)
            self._segments = len(segments.paths)
        except OSError as error:
            self._error = error
            while self._queue.get() is not None:
                pass


def _block(visited: Sequence[Visited]) -> Block:
    """Entries that were left alone, of directories that are complete or not."""
    import numpy as np

    from mpingest.manifest.block import DIRECTORY_DTYPE, RESULT_DTYPE, Block, directory_key
    from mpingest.manifest.states import Change, DirectoryState, Outcome

    states = {None: DirectoryState.UNKNOWN, True: DirectoryState.COMPLETE, False: DirectoryState.PARTIAL}
    directories = np.array([(len(each.part.entries), states[each.complete], 0) for each in visited], DIRECTORY_DTYPE)
    entries = EntryBatch.concatenate([each.part.entries for each in visited])
    results = np.zeros(len(entries), RESULT_DTYPE)
    results["change"], results["outcome"] = Change.NEW, Outcome.SKIPPED
    return Block([directory_key(each.part.path) for each in visited], directories, entries, results)


def conclude_manifest(
    comm: MPI.Comm | None,
    directory: str,
    root: bytes,
    output: str,
    *,
    segments: Sequence[int],
    ends: Sequence[tuple[bytes, bool]],
) -> None:
    """Makes one table of all ranks' segments and puts it in place, whole. Collective.

    segments: how many each rank has written
    ends:     directories that several ranks have scanned, and whether they saw all of each; counts on rank 0

    Raises CannotWrite, the same on all ranks.
    """
    from pathlib import Path

    from mpingest.manifest.segment import segment_path

    paths = [
        segment_path(Path(directory), rank, number + 1)
        for rank, count in enumerate(segments)
        for number in range(count)
    ]
    try:
        [ended] = deal(comm, [lambda: _record_ends(directory, root, len(segments), ends)])
        paths += ended
        if len(paths) != 1:
            from mpingest.jobs.merging import merge_shared

            merged = Path(directory, "merged.h5")
            merge_shared(comm, None, paths, merged, _attributes(root))
            paths = [merged]
        deal(comm, [lambda: os.replace(paths[0], output)])
    except OSError as error:
        raise CannotWrite(f"{output}: cannot be written: {error.strerror}") from error


def _record_ends(directory: str, root: bytes, rank: int, ends: Sequence[tuple[bytes, bool]]) -> list[Path]:
    """Writes, as a rank of its own, what became of directories; its segments."""
    from pathlib import Path

    from mpingest.manifest.segment import segment_path

    with ManifestOut(directory, root, rank) as manifest:
        if ends:
            manifest.record([Visited(Part(path, NO_ENTRIES, whole=False), True, seen) for path, seen in sorted(ends)])
        count = manifest.close()
    return [segment_path(Path(directory), rank, number + 1) for number in range(count)]


@contextmanager
def manifest_entries(path: str) -> Iterator[Iterator[tuple[bytes, EntryBatch]]]:
    """Opens a manifest: its directories, large ones in pieces, and their entries. Raises MpingestError."""
    from pathlib import Path

    from mpingest.manifest.checkpoint import Checkpoint

    with Checkpoint.open(Path(path)) as checkpoint:
        yield ((rows.path, rows.entries) for rows in checkpoint)
