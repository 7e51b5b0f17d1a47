"""Deleting from the catalog what is gone: after the scan, so that how much would go is known before anything goes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpingest.farm.units import Unit
from mpingest.ingest.actions import Situation
from mpingest.ingest.entry import EntryIngestor
from mpingest.ingest.retry import Ending, Interrupted
from mpingest.ingest.unknown import is_unknown
from mpingest.jobs import tally
from mpingest.jobs.recorder import Records
from mpingest.jobs.spec import RunOptions
from mpingest.jobs.units import PLAN_DTYPE, Slice, Subtree
from mpingest.manifest.checkpoint import Checkpoint, DirectoryRows, Summary
from mpingest.manifest.states import Change, Outcome
from mpingest.scan.entries import ENTRY_DTYPE

TRIVIAL = 100
"""Entries of a checkpoint up to which any part of it may go."""


def refusal(summary: Summary, max_delete: int | None) -> str:
    """Why that many deletions are not to be believed; empty if they are. summary: of all that is recorded.

    What we have taken away ourselves counts for nothing here.
    """
    gone = summary.outcomes[Outcome.GONE]
    entries = summary.entries - summary.outcomes.get(Outcome.RELEASED, 0)
    if max_delete is None:
        if entries <= TRIVIAL or 2 * gone <= entries:
            return ""
        share = f"{gone:,} of {entries:,} entries are gone, more than half"
        return f"{share}: nothing is deleted; if it is right, give --max-delete {gone}"
    if gone <= max_delete:
        return ""
    return f"{gone:,} entries are gone, --max-delete allows {max_delete:,}: nothing is deleted"


def directories_with_gone_files(checkpoint: Checkpoint, *, unknown: bool) -> list[Unit]:
    """A unit for each directory that has files to delete. unknown: also those that are none of ours."""
    row = np.zeros(1, ENTRY_DTYPE)[0]
    paths = dict.fromkeys(rows.path for rows in checkpoint if _gone_files(rows, unknown).any())
    return [Subtree(path, Change.DELETED, row).to_unit() for path in paths]


def _gone(rows: DirectoryRows, unknown: bool) -> npt.NDArray[np.bool_]:
    gone: npt.NDArray[np.bool_] = rows.outcome == Outcome.GONE
    return gone if unknown else gone & ~is_unknown(rows.entries.rows)


def _gone_files(rows: DirectoryRows, unknown: bool) -> npt.NDArray[np.bool_]:
    return _gone(rows, unknown) & ~rows.entries.is_directory()


def _gone_directories(rows: DirectoryRows, unknown: bool) -> Iterator[tuple[bytes, np.void]]:
    gone = _gone(rows, unknown) & rows.entries.is_directory()
    for index in np.flatnonzero(gone).tolist():
        yield os.path.join(rows.path, rows.entries.name(index)), rows.entries.rows[index]


@dataclass(frozen=True, slots=True)
class Remover:
    """Visits directories whose gone files are to be deleted; the counterpart of ``visit.Visitor``."""

    checkpoint: Checkpoint
    recorder: Records
    options: RunOptions

    def visit(self, subtree: Subtree) -> Iterator[list[Unit]]:
        """Gives the slices to delete."""
        rows = self.checkpoint.directory(subtree.relative)
        assert rows is not None, "the checkpoint named it"
        chosen = _gone_files(rows, self.options.delete_unknown)
        files, results = rows.entries.select(chosen), rows.results[chosen]
        for start in range(0, len(files), self.options.slice_size):
            part = files.slice(start, min(start + self.options.slice_size, len(files)))
            plan = np.zeros(len(part), PLAN_DTYPE)
            plan["change"], plan["settled"], plan["known_size"] = Change.DELETED, True, part.rows["size"]
            in_doubt = results["change"][start : start + len(part)] == Change.MODIFIED
            plan["situation"] = np.where(in_doubt, Situation.UNSETTLED, Situation.CHANGED)
            self.recorder.add(tally.TO_DO, len(part))
            self.recorder.add(tally.BYTES_TO_DO, int(part.rows["size"].sum()))
            yield [Slice(subtree.relative, part, plan).to_unit()]

    def look(self, looked_at: Any) -> Iterator[list[Unit]]:
        """No visit leaves anything to look at."""
        raise AssertionError(f"what to delete is known: {looked_at}")


def remove_collections(
    checkpoint: Checkpoint,
    ingestor: EntryIngestor,
    recorder: Records,
    *,
    unknown: bool,
    ending: Ending,
) -> None:
    """Remove the collections of gone directories, the deepest first, where nothing is left in them.

    unknown: also those that are none of ours. Raises ZoneGone, Interrupted once the run ends.
    """
    gone = [found for rows in checkpoint for found in _gone_directories(rows, unknown)]
    for path, row in sorted(gone, key=lambda item: item[0].count(b"/"), reverse=True):
        if ending.is_set():
            raise Interrupted
        result = ingestor.remove_collection(path, row)
        if result.outcome is Outcome.REMOVED:
            recorder.directory_entry(path, row, Change.DELETED, Outcome.REMOVED)
        elif result.outcome is Outcome.FAILED:
            recorder.directory_failure(path, result)
