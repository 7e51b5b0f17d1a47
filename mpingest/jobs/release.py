"""Taking files away once their ingest is verified (``--after-ingest``): after the scan, from what is recorded as done.

Of each file, in this order: the zone is asked for its object, and the file read once more, until there is no doubt that
the one holds the other (``ingest.proof``); it is recorded as released, durably; it is moved or deleted (``disposal``).
So whatever a run is killed at, nothing that is gone counts as deleted by somebody. A file that is recorded as released,
and there, is found by the next run, which begins with it anew.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpingest.farm.units import Unit
from mpingest.ingest.bundles import portions
from mpingest.ingest.entry import REFUSALS, Result, failed
from mpingest.ingest.proof import Prover
from mpingest.ingest.statuses import RequestError
from mpingest.jobs import tally
from mpingest.jobs.disposal import Changed, Disposal, Stays, opened_as_recorded, opened_below
from mpingest.jobs.recorder import Records
from mpingest.jobs.spec import RunOptions
from mpingest.jobs.tools import Tools
from mpingest.jobs.units import Served, Subtree
from mpingest.manifest.checkpoint import Checkpoint, DirectoryRows
from mpingest.manifest.states import Change, Outcome
from mpingest.scan.entries import ENTRY_DTYPE, entry_row, is_regular

MOST_BYTES = 1 << 30
"""Of the files of a unit; but one file is one at least."""


def directories_with_files_done(checkpoint: Checkpoint) -> list[Unit]:
    """A unit for each directory that has files which may have served."""
    row = np.zeros(1, ENTRY_DTYPE)[0]
    paths = dict.fromkeys(rows.path for rows in checkpoint.holding(Outcome.DONE) if _done_files(rows).any())
    return [Subtree(path, Change.UNCHANGED, row).to_unit() for path in paths]


def _done_files(rows: DirectoryRows) -> npt.NDArray[np.bool_]:
    done: npt.NDArray[np.bool_] = rows.outcome == Outcome.DONE
    return done & is_regular(rows.entries.rows)


@dataclass(frozen=True, slots=True)
class Releaser:
    """Visits directories with files that have served; the counterpart of ``visit.Visitor``."""

    root: bytes
    checkpoint: Checkpoint
    recorder: Records
    prover: Prover
    disposal: Disposal
    slice_size: int

    @classmethod
    def of(cls, tools: Tools, options: RunOptions) -> Releaser:
        """A rank's."""
        assert tools.checkpoint is not None, "what is recorded as done is in a checkpoint"
        recorder = tools.recorder
        prover = Prover(tools.ingestor, lambda size: recorder.add(tally.REREAD, size))
        root = tools.ingestor.subjects.job.root
        return cls(root, tools.checkpoint, recorder, prover, options.after_ingest, options.slice_size)

    def visit(self, subtree: Subtree) -> Iterator[list[Unit]]:
        """Gives units of files to take away."""
        rows = self.checkpoint.directory(subtree.relative)
        assert rows is not None, "the checkpoint named it"
        done = np.flatnonzero(_done_files(rows))
        sizes = rows.entries.rows["size"]
        for chosen in portions(done, sizes, self.slice_size, MOST_BYTES):
            self.recorder.add(tally.TO_DO, len(chosen))
            self.recorder.add(tally.BYTES_TO_DO, int(sizes[chosen].sum()))
            yield [Served(subtree.relative, rows.entries.select(chosen), rows.results[chosen]).to_unit()]

    def look(self, served: Served) -> Iterator[list[Unit]]:
        """Take files away, once all of them are proven, one a step. Raises ZoneGone, Interrupted, CannotRecord."""
        with ExitStack() as stack:
            try:
                directory = stack.enter_context(opened_below(self.root, served.relative))
            except (FileNotFoundError, NotADirectoryError):
                return  # the next scan tells
            except OSError as error:
                self.recorder.directory_failure(served.relative, failed(error))
                return
            proven = []
            for index in range(len(served.entries)):
                if self._is_proven(served, index, directory):
                    proven.append(index)
                yield []
            if proven:
                self._take_away(served.select(np.array(proven, np.intp)), directory)

    def _is_proven(self, served: Served, index: int, directory: int) -> bool:
        name, row = served.entries.name(index), served.entries.rows[index]
        relative = os.path.join(served.relative, name)
        try:
            if not self.prover.concerns(relative, row):
                return False
            with opened_as_recorded(directory, name, row) as file:
                doubt = self.prover.doubt(relative, row, file)
        except (Changed, FileNotFoundError):
            return False  # the next scan tells
        except (OSError, RequestError, *REFUSALS) as error:
            problem = failed(error)
            self._fail(served, index, f"stays, for {problem.reason}", problem.code)
            return False
        if doubt:
            self._fail(served, index, f"stays, for {doubt}")
        return not doubt

    def _take_away(self, served: Served, directory: int) -> None:
        results = served.results.copy()
        results["outcome"] = Outcome.RELEASED
        self.recorder.rows(served.relative, served.entries, results)
        self.recorder.seal()
        taken = [index for index in range(len(served.entries)) if self._is_taken_away(served, index, directory)]
        gone = served.select(np.array(taken, np.intp))
        outcomes = [Result(Outcome.RELEASED, code) for code in gone.results["code"].tolist()]
        self.recorder.entries(gone.relative, gone.entries, gone.results["change"], outcomes)

    def _is_taken_away(self, served: Served, index: int, directory: int) -> bool:
        name, row = served.entries.name(index), served.entries.rows[index]
        try:
            self.disposal.take_away(self.root, served.relative, directory, name, row)
        except (Changed, Stays) as why:
            here = served.select(np.array([index], np.intp))
            self.recorder.rows(here.relative, here.entries, here.results)
            if isinstance(why, Stays):
                self._fail(served, index, str(why))
            return False
        return True

    def _fail(self, served: Served, index: int, reason: str, code: int = 0) -> None:
        """What is recorded stays: the file is ingested."""
        result = Result(Outcome.FAILED, code, reason, unrecorded=True)
        entry = served.entries.select(np.array([index], np.intp))
        self.recorder.entries(served.relative, entry, np.array([Change.UNCHANGED], np.uint8), [result])


@dataclass(frozen=True, slots=True)
class Emptied:
    """A directory at the top of the root in which nothing is left but directories.

    paths: of all of them, relative to the root, each before those that it lies in;  rows: their lstat, shape (n,)
    """

    paths: list[bytes]
    rows: npt.NDArray[np.void]

    def record(self, recorder: Records) -> None:
        """Record that they are taken away by us."""
        for path, row in zip(self.paths, self.rows, strict=True):
            recorder.directory_entry(path, row, Change.UNCHANGED, Outcome.RELEASED)

    def remove(self, root: bytes) -> None:
        """Remove them, as far as nothing has come into them since."""
        for path in self.paths:
            parent, name = os.path.split(path)
            with suppress(OSError), opened_below(root, parent) as directory:
                os.rmdir(name, dir_fd=directory)


def emptied_directories(root: bytes, checkpoint: Checkpoint) -> list[Emptied]:
    """Those at the top from which all that was taken has been taken away; others may be about to be filled."""
    taken = checkpoint.directory(b"")
    if taken is None:
        return []
    here = taken.entries.is_directory() & (taken.outcome != Outcome.RELEASED) & (taken.outcome != Outcome.GONE)
    found = (_emptied(root, name) for name in taken.entries.select(here).names())
    return [emptied for emptied in found if emptied is not None]


def _emptied(root: bytes, name: bytes) -> Emptied | None:
    """None where there is anything but directories, or that can't be told."""
    paths: list[bytes] = []
    try:
        waiting = [name]
        while waiting:
            path = waiting.pop()
            paths.append(path)
            with os.scandir(os.path.join(root, path)) as entries:
                for entry in entries:
                    if not entry.is_dir(follow_symlinks=False):
                        return None
                    waiting.append(os.path.join(path, entry.name))
        rows = [entry_row(os.lstat(os.path.join(root, path))) for path in paths]
        if not all(stat.S_ISDIR(int(row["mode"])) for row in rows):
            return None
    except OSError:
        return None
    return Emptied(paths[::-1], np.array(rows, ENTRY_DTYPE))
