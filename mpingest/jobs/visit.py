"""Visiting one directory: scan it, diff it, make its collection, find what is to be done."""

from __future__ import annotations

import os
import stat
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
from mpingest.ingest.content import SourceError
from mpingest.ingest.entry import REFUSALS, EntryIngestor, Result, failed
from mpingest.ingest.statuses import RequestError
from mpingest.jobs import tally
from mpingest.jobs.recorder import Records
from mpingest.jobs.spec import RunOptions
from mpingest.jobs.units import PLAN_DTYPE, Slice, Subtree, Unseen
from mpingest.jobs.unknown import UnknownContent
from mpingest.manifest.checkpoint import Checkpoint, DirectoryRows
from mpingest.manifest.diff import Comparison, DirectoryDiff, Known, settled
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.scan.directory import DirectoryScan
from mpingest.scan.entries import ENTRY_DTYPE, TYPE_BITS, EntryBatch, entry_row
from mpingest.scan.excludes import FILE_TYPES
from mpingest.scan.links import FollowLinks, LinkRule
from mpingest.scan.names import NameSlice
from mpingest.scan.pool import StatPool

_SITUATIONS = np.zeros(len(Change), np.uint8)
_SITUATIONS[[Change.NEW, Change.RETRY]] = Situation.ABSENT  # but see below for some of the latter
_SITUATIONS[Change.MODIFIED] = Situation.CHANGED
_SITUATIONS[Change.METADATA] = Situation.METADATA


def _situations(files: EntryBatch, comparison: Comparison) -> npt.NDArray[np.uint8]:
    """What the record says of the entries' objects: Situation, shape (n,)."""
    situations = _SITUATIONS[comparison.change]
    changed = comparison.change == Change.MODIFIED
    outcome = comparison.results["outcome"]
    situations[changed & (outcome == Outcome.UNSETTLED)] = Situation.UNSETTLED
    # An object was there when it failed, and nothing more is known of that.
    had_object = np.isin(comparison.results["change"], (Change.MODIFIED, Change.METADATA))
    situations[(comparison.change == Change.RETRY) & had_object] = Situation.FOUND
    # What was left alone has no object, nor has what was something else, such as a directory or a pipe.
    was_other = (comparison.rows["mode"] ^ files.rows["mode"]) & TYPE_BITS != 0
    situations[changed & ((outcome == Outcome.SKIPPED) | was_other)] = Situation.ABSENT
    return situations


@dataclass(frozen=True, slots=True)
class Visitor:
    """What every visit of a rank needs. checkpoint: None where there is none, or it is to be ignored."""

    links: LinkRule
    pool: StatPool
    ingestor: EntryIngestor
    checkpoint: Checkpoint | None
    recorder: Records
    options: RunOptions

    def visit(self, subtree: Subtree) -> Iterator[list[Unit]]:
        """Visit a directory; gives, slice by slice, the units found. Everything else is recorded. Raises ZoneGone."""
        rows = self.checkpoint.directory(subtree.relative) if self.checkpoint else None
        return _Visit(self, subtree, rows).steps()

    def look(self, unseen: Unseen) -> Iterator[list[Unit]]:
        """Stat names of a directory that another visit has read, and go on as that would; the same in all else."""
        subtree = Subtree(unseen.relative, Change.UNCHANGED, np.zeros(1, ENTRY_DTYPE)[0], unseen.followed)
        return _Visit(self, subtree, None).look(unseen)


@dataclass(slots=True)
class _Visit:
    visitor: Visitor
    subtree: Subtree
    rows: DirectoryRows | None
    found: dict[str, list[Replica]] = field(default_factory=dict)
    """What was in the collection before, by logical path; empty where that is known."""
    unknown: UnknownContent | None = None
    """What of the collection has no entry yet; None unless that is to be deleted."""

    def steps(self) -> Iterator[list[Unit]]:
        ingestor = self.visitor.ingestor
        with ExitStack() as stack:
            try:
                operation = ingestor.operation(self.subtree.relative, self.subtree.row)
                scan = stack.enter_context(self._scan(operation))
                if self._ensure_collection(operation) and self.visitor.options.delete_unknown:
                    self.unknown = UnknownContent.of(ingestor, self.subtree.relative, dict(self.found))
            except FileNotFoundError as error:
                if not self.subtree.relative:
                    self._fail(error)
                return  # vanished since its parent was scanned, whose next scan will tell
            except (OSError, RequestError, *REFUSALS) as error:
                self._fail(error)
                return
            diff = DirectoryDiff(self.rows)
            for number, names in enumerate(scan.names(self.visitor.options.slice_size)):
                known = diff.known(names)
                if self.unknown:
                    self.unknown.strike(names.names())
                if number and not self.found:
                    unseen = Unseen(self.subtree.relative, operation, self.subtree.followed, names, known)
                    yield [unseen.to_unit()]
                else:
                    yield self._compare(scan, names, known, operation)
            try:
                self._conclude(scan, diff)
            except (RequestError, *REFUSALS) as error:
                self._fail(error)

    def look(self, unseen: Unseen) -> Iterator[list[Unit]]:
        try:
            with self._scan(unseen.operation) as scan:
                yield self._compare(scan, unseen.names, unseen.known, unseen.operation)
            self._note_errors(scan)
        except FileNotFoundError:
            return  # vanished since it was read
        except (OSError, SourceError) as error:
            self.visitor.recorder.directory_failure(unseen.relative, failed(error))

    def _scan(self, operation: Operation) -> DirectoryScan:
        """The directory, to be opened. Raises SourceError."""
        return DirectoryScan(
            self.visitor.ingestor.subjects.path(self.subtree.relative),
            follow_links=operation.sends_content,
            excludes=self.visitor.options.excludes,
            pool=self.visitor.pool,
            real_path=self._real_path(),
        )

    def _compare(self, scan: DirectoryScan, names: NameSlice, known: Known, operation: Operation) -> list[Unit]:
        """Stats names and compares them with what is known of them; the units that they make."""
        began = time.time_ns()
        portion = scan.stat(names)
        if portion.excluded:
            self.visitor.recorder.add(tally.EXCLUDED, portion.excluded.total())
        entries = portion.entries
        if len(entries) < len(names):
            place = {name: index for index, name in enumerate(names.names())}
            known = known.select(np.array([place[name] for name in entries.names()], np.intp))
        entries = self._followed(entries, operation)
        return self._sort_out(entries, known.compared_with(entries.rows), began)

    def _real_path(self) -> bytes:
        """What a link leads to, empty if it is none. Raises SourceError where it may no longer be followed."""
        if not self.subtree.followed:
            return b""
        path = self.visitor.ingestor.subjects.path(self.subtree.relative)
        if isinstance(reason := self.visitor.links.target(path), str):
            raise SourceError(reason)
        return os.path.realpath(path)

    @property
    def _has_collection(self) -> bool:
        return self.rows is not None and self.rows.state in (DirectoryState.COMPLETE, DirectoryState.PARTIAL)

    def _ensure_collection(self, operation: Operation) -> bool:
        """Has the directory's collection, if it is to have one; whether it was there before."""
        ingestor, relative, row = self.visitor.ingestor, self.subtree.relative, self.subtree.row
        # A script that says where files belong has the collections made that it names, and only these.
        if ingestor.handler.has("collection_for"):
            return False
        if operation is Operation.NO_OP:
            if self.rows is None:
                ingestor.note_collection(relative, row)
            elif self.subtree.change != Change.UNCHANGED:
                ingestor.modify_collection(relative, row)
            return False
        if self._has_collection:
            if self.subtree.change != Change.UNCHANGED:
                ingestor.modify_collection(relative, row)
            return True
        if ingestor.make_collection(relative, row):
            self.visitor.recorder.add(tally.COLLECTIONS)
            return False
        ingestor.modify_collection(relative, row)
        if not self.visitor.options.initial_ingest:
            self.found = ingestor.listing(relative)
        return True

    def _followed(self, batch: EntryBatch, operation: Operation) -> EntryBatch:
        """The batch with those links that are followed described as what they lead to.

        A link to a file whose content is sent has been so already, but for its mode.
        """
        if self.visitor.links.follow is FollowLinks.NO:
            return batch
        rows = batch.rows.copy()
        for index in np.flatnonzero(batch.is_link()).tolist():
            path = self.visitor.ingestor.subjects.path(self._below(batch.name(index)))
            target = self.visitor.links.target(path)
            if isinstance(target, os.stat_result) and self._is_excluded(path, target):
                target = "a link to a directory whose name is excluded"
            if isinstance(target, str):
                self.visitor.ingestor.logger.info("not followed", path=os.fsdecode(path), reason=target)
            elif stat.S_ISDIR(target.st_mode) or not operation.sends_content:
                rows[index] = entry_row(target)
        return EntryBatch(batch.blob, batch.offsets, rows)

    def _is_excluded(self, path: bytes, target: os.stat_result) -> bool:
        """Whether a link would be left out if it were the directory that it leads to."""
        if not stat.S_ISDIR(target.st_mode):
            return False
        types = np.array([FILE_TYPES["directory"]], np.uint8)
        return bool(self.visitor.options.excludes.among(os.path.dirname(path), [os.path.basename(path)], types)[0])

    def _sort_out(self, batch: EntryBatch, comparison: Comparison, began: int) -> list[Unit]:
        changes = comparison.change
        directories = batch.is_directory()
        if self.visitor.ingestor.handler.wants_changed_directories:
            touched = (
                directories & (changes == Change.UNCHANGED) & (batch.rows["mtime_ns"] != comparison.rows["mtime_ns"])
            )
            changes[touched] = Change.MODIFIED
        units = [self._subtree(batch, changes, index) for index in np.flatnonzero(directories).tolist()]
        files = self._files(batch.select(~directories), comparison.select(~directories), began)
        return [*units, files.to_unit()] if len(files.entries) else units

    def _subtree(self, batch: EntryBatch, changes: npt.NDArray[np.uint8], index: int) -> Unit:
        relative = self._below(batch.name(index))
        followed = self.visitor.links.follow is not FollowLinks.NO and os.path.islink(
            self.visitor.ingestor.subjects.path(relative)
        )
        return Subtree(relative, Change(int(changes[index])), batch.rows[index], followed).to_unit()

    def _files(self, files: EntryBatch, comparison: Comparison, began: int) -> Slice:
        """The files that need action, once all others are dealt with."""
        changes = comparison.change
        self.visitor.recorder.seen(self.subtree.relative, files, changes)
        plan = np.zeros(len(files), PLAN_DTYPE)
        # While it fails, what is recorded stays that with which it failed first.
        plan["change"] = np.where(changes == Change.RETRY, comparison.results["change"], changes)
        plan["again"] = changes == Change.RETRY
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
            replicas = self.found.get(ingestor.subjects.logical_path(relative))
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
        self._note_errors(scan)
        # Nothing is taken as gone on the word of an incomplete scan.
        if not scan.errors:
            self._note_vanished(diff)
            if self.unknown:
                self.unknown.record(recorder)
        state = DirectoryState.PARTIAL if scan.errors else DirectoryState.COMPLETE
        if self.rows is None or self.rows.state is not state:
            recorder.directory(relative, state)
        if relative and self.subtree.change != Change.UNCHANGED:
            recorder.directory_entry(relative, self.subtree.row, self.subtree.change, Outcome.DONE)
        recorder.add(tally.DIRECTORIES)

    def _note_errors(self, scan: DirectoryScan) -> None:
        for problem in scan.errors:
            path = self._below(problem.name) if problem.name else self.subtree.relative
            self.visitor.recorder.unreadable(path, problem.error)

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
