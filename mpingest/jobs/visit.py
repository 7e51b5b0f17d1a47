"""Visiting one directory: scan it, diff it, make its collection, find what is to be done."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from mpingest.farm.units import Unit
from mpingest.handler.operations import Operation
from mpingest.ingest.actions import Situation
from mpingest.ingest.catalog import Replica
from mpingest.ingest.entry import REFUSALS, EntryIngestor, Result, failed
from mpingest.ingest.statuses import RequestError
from mpingest.jobs import tally
from mpingest.jobs.recorder import Recorder
from mpingest.jobs.spec import RunOptions
from mpingest.jobs.units import PLAN_DTYPE, Slice, Subtree
from mpingest.manifest.checkpoint import Checkpoint, DirectoryRows
from mpingest.manifest.diff import Comparison, DirectoryDiff, settled
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.scan.directory import DirectoryScan
from mpingest.scan.entries import TYPE_BITS, EntryBatch

_SITUATIONS = np.zeros(len(Change), np.uint8)
_SITUATIONS[[Change.NEW, Change.RETRY]] = Situation.ABSENT
_SITUATIONS[Change.MODIFIED] = Situation.CHANGED
_SITUATIONS[Change.METADATA] = Situation.METADATA


def _situations(files: EntryBatch, comparison: Comparison) -> npt.NDArray[np.uint8]:
    """What the record says of the entries' objects: Situation, shape (n,)."""
    situations = _SITUATIONS[comparison.change]
    changed = comparison.change == Change.MODIFIED
    outcome = comparison.results["outcome"]
    situations[changed & (outcome == Outcome.UNSETTLED)] = Situation.UNSETTLED
    # What was left alone has no object, nor has what was something else, such as a directory or a pipe.
    was_other = (comparison.rows["mode"] ^ files.rows["mode"]) & TYPE_BITS != 0
    situations[changed & ((outcome == Outcome.SKIPPED) | was_other)] = Situation.ABSENT
    return situations


@dataclass(frozen=True, slots=True)
class Visitor:
    """What every visit of a rank needs. checkpoint: None where there is none, or it is to be ignored."""

    ingestor: EntryIngestor
    checkpoint: Checkpoint | None
    recorder: Recorder
    options: RunOptions

    def visit(self, subtree: Subtree) -> Iterator[list[Unit]]:
        """Visit a directory; gives, slice by slice, the units found. Everything else is recorded. Raises ZoneGone."""
        rows = self.checkpoint.directory(subtree.relative) if self.checkpoint else None
        return _Visit(self, subtree, rows).steps()


@dataclass(slots=True)
class _Visit:
    visitor: Visitor
    subtree: Subtree
    rows: DirectoryRows | None
    found: dict[str, list[Replica]] = field(default_factory=dict)
    """What was in the collection before, by logical path; empty where that is known."""

    def steps(self) -> Iterator[list[Unit]]:
        ingestor = self.visitor.ingestor
        with ExitStack() as stack:
            try:
                operation = ingestor.operation(self.subtree.relative, self.subtree.row)
                scan = DirectoryScan(
                    ingestor.subjects.path(self.subtree.relative), follow_links=operation.sends_content
                )
                stack.enter_context(scan)
                self._ensure_collection(operation)
            except FileNotFoundError as error:
                if not self.subtree.relative:
                    self._fail(error)
                return  # vanished since its parent was scanned, whose next scan will tell
            except (OSError, RequestError, *REFUSALS) as error:
                self._fail(error)
                return
            diff = DirectoryDiff(self.rows)
            began = time.time_ns()
            for portion in scan.portions(self.visitor.options.slice_size):
                diff.note_present(portion.left_out)
                yield self._sort_out(portion.entries, diff, began)
                began = time.time_ns()
            self._conclude(scan, diff)

    @property
    def _has_collection(self) -> bool:
        return self.rows is not None and self.rows.state in (DirectoryState.COMPLETE, DirectoryState.PARTIAL)

    def _ensure_collection(self, operation: Operation) -> None:
        ingestor, relative, row = self.visitor.ingestor, self.subtree.relative, self.subtree.row
        # A script that says where files belong has the collections made that it names, and only these.
        if operation is Operation.NO_OP or ingestor.handler.has("collection_for"):
            return
        if self._has_collection:
            if self.subtree.change != Change.UNCHANGED:
                ingestor.modify_collection(relative, row)
            return
        if ingestor.make_collection(relative, row):
            self.visitor.recorder.add(tally.COLLECTIONS)
            return
        ingestor.modify_collection(relative, row)
        if not self.visitor.options.initial_ingest:
            self.found = ingestor.listing(relative)

    def _sort_out(self, batch: EntryBatch, diff: DirectoryDiff, began: int) -> list[Unit]:
        comparison = diff.classify(batch)
        changes = comparison.change
        directories = batch.is_directory()
        if self.visitor.ingestor.handler.wants_changed_directories:
            touched = (
                directories & (changes == Change.UNCHANGED) & (batch.rows["mtime_ns"] != comparison.rows["mtime_ns"])
            )
            changes[touched] = Change.MODIFIED
        units = [
            Subtree(self._below(batch.name(index)), Change(int(changes[index])), batch.rows[index]).to_unit()
            for index in np.flatnonzero(directories).tolist()
        ]
        files = self._files(batch.select(~directories), comparison.select(~directories), began)
        return [*units, files.to_unit()] if len(files.entries) else units

    def _files(self, files: EntryBatch, comparison: Comparison, began: int) -> Slice:
        """The files that need action, once all others are dealt with."""
        changes = comparison.change
        self.visitor.recorder.seen(files, changes)
        plan = np.zeros(len(files), PLAN_DTYPE)
        plan["change"] = changes
        plan["situation"] = _situations(files, comparison)
        plan["settled"] = settled(files.rows, began)
        plan["replica"] = comparison.results["code"].clip(min=0)
        plan["known_size"] = comparison.rows["size"]
        to_do = changes != Change.UNCHANGED
        self._note_metadata(files, comparison, plan, to_do)
        if self.found:
            self._adopt(files, plan, to_do)
        return Slice(self.subtree.relative, files.select(to_do), plan[to_do])

    def _note_metadata(
        self, files: EntryBatch, comparison: Comparison, plan: npt.NDArray[np.void], to_do: npt.NDArray[np.bool_]
    ) -> None:
        """Records entries of which only ctime changed as they were, and takes them out of ``to_do``; unless
        the handler wants to know of them, there is nothing to do about them.
        """
        if self.visitor.ingestor.handler.wants_metadata_changes:
            return
        same = comparison.change == Change.METADATA
        results = comparison.results[same]
        outcomes = (Outcome(outcome) for outcome in results["outcome"].tolist())
        kept = [Result(outcome, code) for outcome, code in zip(outcomes, results["code"].tolist(), strict=True)]
        self._record(files, plan, same, kept)
        to_do &= ~same

    def _adopt(self, files: EntryBatch, plan: npt.NDArray[np.void], to_do: npt.NDArray[np.bool_]) -> None:
        """Records what the collection already holds and takes it out of ``to_do``."""
        ingestor = self.visitor.ingestor
        adopted = np.zeros(len(files), np.bool_)
        for index in np.flatnonzero(to_do).tolist():
            relative = self._below(files.name(index))
            replicas = self.found.get(ingestor.logical_path(relative))
            if replicas is None:
                continue
            finding = ingestor.compare(relative, files.rows[index], replicas)
            adopted[index] = finding.adopted
            plan[index]["situation"], plan[index]["replica"] = finding.situation, finding.replica
        self._record(files, plan, adopted, [Result(Outcome.DONE, int(number)) for number in plan["replica"][adopted]])
        to_do &= ~adopted

    def _record(
        self, files: EntryBatch, plan: npt.NDArray[np.void], which: npt.NDArray[np.bool_], results: list[Result]
    ) -> None:
        """Records entries about which nothing had to be done. results: of those chosen, in order."""
        if not results:
            return
        chosen = plan[which]
        unsettled = ~chosen["settled"]
        results = [
            replace(result, outcome=Outcome.UNSETTLED) if late and result.outcome is Outcome.DONE else result
            for result, late in zip(results, unsettled.tolist(), strict=True)
        ]
        self.visitor.recorder.entries(self.subtree.relative, files.select(which), chosen["change"], results)

    def _conclude(self, scan: DirectoryScan, diff: DirectoryDiff) -> None:
        recorder, relative = self.visitor.recorder, self.subtree.relative
        for problem in scan.errors:
            recorder.unreadable(self._below(problem.name) if problem.name else relative, problem.error)
        # Nothing is taken as gone on the word of an incomplete scan.
        if not scan.errors:
            self._note_vanished(diff)
        state = DirectoryState.PARTIAL if scan.errors else DirectoryState.COMPLETE
        if self.rows is None or self.rows.state is not state:
            recorder.directory(relative, state)
        if relative and self.subtree.change != Change.UNCHANGED:
            recorder.directory_entry(relative, self.subtree.row, self.subtree.change, Outcome.DONE)
        recorder.add(tally.DIRECTORIES)

    def _note_vanished(self, diff: DirectoryDiff) -> None:
        vanished, outcomes = diff.vanished()
        if not len(vanished):
            return
        recorder, checkpoint = self.visitor.recorder, self.visitor.checkpoint
        recorder.vanished(self.subtree.relative, vanished, outcomes)
        assert checkpoint is not None, "only a checkpoint knows what is missing"
        for index in np.flatnonzero(vanished.is_directory()).tolist():
            for rows in checkpoint.subtree(self._below(vanished.name(index))):
                recorder.vanished(rows.path, rows.entries, rows.outcome)

    def _fail(self, error: Exception) -> None:
        result = failed(error)
        recorder, relative = self.visitor.recorder, self.subtree.relative
        recorder.directory_failure(relative, result)
        recorder.directory(relative, DirectoryState.PARTIAL if self._has_collection else DirectoryState.FAILED)
        if relative:
            recorder.directory_entry(relative, self.subtree.row, self.subtree.change, result.outcome, result.code)

    def _below(self, name: bytes) -> bytes:
        return os.path.join(self.subtree.relative, name)
