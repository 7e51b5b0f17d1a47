"""Segments: what one rank recorded in one run, as sealed tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mpingest.errors import MpingestError
from mpingest.manifest.block import RESULT_DTYPE, Block
from mpingest.manifest.combine import Combiner
from mpingest.manifest.states import DirectoryState, Outcome
from mpingest.manifest.table import LIMITS, JobAttributes, TableWriter
from mpingest.scan.entries import EntryBatch

SEAL_ROWS = 100_000
SEAL_SECONDS = 30.0


class SegmentWriter:
    """Collects what one rank records in one run; every ``seal`` makes one durable segment of it.

    A crash loses at most what was recorded since the last seal. A later record of the same (directory, name)
    supersedes an earlier one. For one thread. Paths are bytes relative to the job's root; the root itself is b"".

    Recording a directory as REMOVED clears it: older rows at and below it are void, records that follow count.

    Raises ValueError for a path of more than 128 KiB, MpingestError where this rank already has segments in
    ``directory``, OSError where they cannot be written; what was recorded then stays here, and ``seal`` may be called
    again.
    """

    def __init__(
        self,
        directory: Path,
        rank: int,
        attributes: JobAttributes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._attributes = replace(attributes, rank=rank, segment=1)
        self._clock = clock
        self._pieces: list[Block] = []
        self._rows = 0
        self._since = clock()
        if self._path().exists():
            raise MpingestError(f"{self._path()} exists: run {attributes.run} was recorded before")

    def record(
        self,
        directory: bytes,
        batch: EntryBatch,
        change: npt.NDArray[np.uint8],
        outcome: npt.NDArray[np.uint8],
        code: npt.NDArray[np.int32],
    ) -> None:
        """Records entries of one directory, as they were before their transfer; arrays have shape (len(batch),)."""
        results = np.empty(len(batch), RESULT_DTYPE)
        results["change"], results["outcome"], results["code"] = change, outcome, code
        self._add(Block.of_directory(directory, entries=batch, results=results))
        removed = np.flatnonzero(batch.is_directory() & (results["outcome"] == Outcome.REMOVED))
        for name in map(batch.name, removed.tolist()):
            path = directory + b"/" + name if directory else name
            self._add(Block.of_directory(path, cleared=True))

    def record_directory(self, directory: bytes, state: DirectoryState) -> None:
        """Records what is known of a directory that this run visited."""
        self._add(Block.of_directory(directory, state))

    def _add(self, piece: Block) -> None:
        if len(piece.keys[0]) > LIMITS.path_bytes:
            raise ValueError(f"a path of {len(piece.keys[0])} bytes is too long")
        if not self._pieces:
            self._since = self._clock()
        self._pieces.append(piece)
        self._rows += len(piece.entries) + 1

    def maybe_seal(self) -> Path | None:
        """Seals what is old (30 s) or large (100,000 rows) enough."""
        due = self._rows >= SEAL_ROWS or self._clock() - self._since >= SEAL_SECONDS
        return self.seal() if due else None

    def seal(self) -> Path | None:
        """Writes what was recorded since the last seal as one durable segment and returns its path, None if nothing."""
        if not self._pieces:
            return None
        path = self._path()
        with TableWriter(path, self._attributes) as table:
            table.append(Combiner().window(self._pieces))
        self._attributes = replace(self._attributes, segment=self._attributes.segment + 1)
        self._pieces.clear()
        self._rows = 0
        return path

    def _path(self) -> Path:
        return segment_path(self._directory, self._attributes.rank, self._attributes.segment)


def segment_path(directory: Path, rank: int, number: int) -> Path:
    """Where the segment of that number, from 1, of a rank lies."""
    return directory / f"rank{rank:05d}-{number:06d}.h5"


def sealed_segments(directory: Path) -> list[Path]:
    """The segments in a directory, whole ones only: a segment has its name only once it is sealed."""
    return sorted(directory.glob("rank*-*.h5"))
