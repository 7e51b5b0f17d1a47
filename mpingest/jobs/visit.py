"""Visiting one directory: scan it, diff it, make its collection, find what is to be done."""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Iterator, Mapping
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
from mpingest.ingest.unknown import is_unknown
from mpingest.jobs import tally
from mpingest.jobs.arrivals import Arrivals
from mpingest.jobs.recorder import Records
from mpingest.jobs.renames import Renames
from mpingest.jobs.spec import RunOptions
from mpingest.jobs.subtrees import SubtreeFile
from mpingest.jobs.units import PLAN_DTYPE, Slice, Subtree, Unseen
from mpingest.jobs.unknown import UnknownContent
from mpingest.manifest.block import RESULT_DTYPE
from mpingest.manifest.checkpoint import Checkpoint, DirectoryRows
from mpingest.manifest.diff import Comparison, DirectoryDiff, Known, owns_object, settled
from mpingest.manifest.states import HAD_OBJECT, Change, DirectoryState, Outcome
from mpingest.scan.directory import DirectoryScan
from mpingest.scan.entries import ENTRY_DTYPE, TYPE_BITS, EntryBatch, entry_row, is_directory
from mpingest.scan.excludes import FILE_TYPES
from mpingest.scan.links import FollowLinks, LinkRule
from mpingest.scan.names import NameSlice
from mpingest.scan.pool import StatPool

_UNKNOWN_SIZE = -1
_NOT_FREED = "its name was that of a directory, or of a file, whose collection or object is not deleted yet"
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
    had_object = np.isin(comparison.results["change"], HAD_OBJECT)
    situations[(comparison.change == Change.RETRY) & had_object] = Situation.FOUND
    # What was left alone has no object, nor has what was something else, such as a directory or a pipe.
    was_other = (comparison.rows["mode"] ^ files.rows["mode"]) & TYPE_BITS != 0
    situations[changed & ((outcome == Outcome.SKIPPED) | was_other)] = Situation.ABSENT
    return situations


@dataclass(frozen=True, slots=True)
class Visitor:
    """What every visit of a rank needs. checkpoint: None where there is none, or it is to be ignored.

    postponed: where directories are noted whose new names are left for later; None where they are not
    renames: what new names may stand for; None where that is not asked
    deletes: whether anything that is gone may be deleted
    replaced: where directories are noted with names that wait until what had them before is deleted; None where
              nothing waits
    after_deletion: whether these are visited
    doubts: directories with objects that a killed run may have left half done, those with ids above the number
    arrivals: what is left alone for now
    """

    links: LinkRule
    pool: StatPool
    ingestor: EntryIngestor
    checkpoint: Checkpoint | None
    recorder: Records
    options: RunOptions
    arrivals: Arrivals = field(default_factory=Arrivals)
    postponed: SubtreeFile | None = None
    renames: Renames | None = None
    deletes: bool = False
    replaced: SubtreeFile | None = None
    after_deletion: bool = False
    doubts: Mapping[bytes, int] = field(default_factory=dict)

    def visit(self, subtree: Subtree) -> Iterator[list[Unit]]:
        """Visit a directory; gives, slice by slice, the units found. Everything else is recorded. Raises ZoneGone."""
        return Visit(self, subtree, self.recorded(subtree.relative, subtree.was)).steps()

    def look(self, unseen: Unseen) -> Iterator[list[Unit]]:
        """Stat names of a directory that another visit has read, and go on as that would; the same in all else."""
        row = np.zeros(1, ENTRY_DTYPE)[0]
        subtree = Subtree(unseen.relative, Change.UNCHANGED, row, unseen.followed, was=unseen.was)
        return Visit(self, subtree, None, fresh=unseen.fresh).look(unseen)

    def recorded(self, relative: bytes, was: bytes | None) -> DirectoryRows | None:
        """What is recorded of a directory. was: as in ``Subtree``."""
        if self.checkpoint is None:
            return None
        rows = self.checkpoint.directory(relative if was is None else was)
        return rows.moved_to(relative) if rows and was is not None else rows

    def note_vanished(
        self, directory: bytes, was: bytes | None, entries: EntryBatch, results: npt.NDArray[np.void]
    ) -> None:
        """Record entries of a directory that are not there, and all below them. was: as in ``Subtree``.

        results: as they are recorded, ``RESULT_DTYPE``, shape (n,)
        """
        assert self.checkpoint is not None, "only a checkpoint knows what is missing"
        self.recorder.vanished(directory, entries, results)
        for index in np.flatnonzero(entries.is_directory()).tolist():
            name = entries.name(index)
            path, top = os.path.join(directory, name), os.path.join(directory if was is None else was, name)
            for rows in self.checkpoint.subtree(top):
                below = rows if was is None else rows.moved_to(path + rows.path[len(top) :])
                self.recorder.vanished(below.path, below.entries, below.results)


@dataclass(slots=True)
class Visit:
    """One visit of a directory."""

    visitor: Visitor
    subtree: Subtree
    rows: DirectoryRows | None
    found: dict[str, list[Replica]] = field(default_factory=dict)
    """What was in the collection before, by logical path; empty where that is known."""
    unknown: UnknownContent | None = None
    """What of the collection has no entry yet; None unless that is to be deleted."""
    fresh: bool = False
    """Whether this run has made the collection."""
    was: bytes | None = field(init=False)
    """As in ``Subtree``."""
    is_noted: bool = False
    """Whether the directory is to be visited again."""

    def __post_init__(self) -> None:
        self.was = self.subtree.was

    def steps(self) -> Iterator[list[Unit]]:
        """See ``Visitor.visit``."""
        ingestor = self.visitor.ingestor
        with ExitStack() as stack:
            try:
                if not self._has_arrived():
                    self.visitor.recorder.add(tally.NOT_READY)
                    return
                operation = ingestor.operation(self.subtree.relative, self.subtree.row)
                scan = stack.enter_context(self._scan(operation))
                self._find_old_name()
                if self._ensure_collection(operation) and self.visitor.options.delete_unknown:
                    self.unknown = UnknownContent.of(ingestor, self.subtree.relative, dict(self.found))
            except FileNotFoundError as error:
                if not self.subtree.relative:
                    self._fail(error)
                elif self.was is not None:
                    self._vanish()
                return  # vanished since its parent was scanned, whose next scan will tell
            except (OSError, RequestError, *REFUSALS) as error:
                self._fail(error)
                return
            diff = DirectoryDiff(self.rows)
            for number, names in enumerate(scan.names(self.visitor.options.slice_size)):
                known = diff.known(names)
                if self.unknown:
                    self.unknown.strike(names.names())
                chosen, of_chosen = self._of_this_pass(scan.path, names, known)
                if not len(chosen):
                    continue
                if number and not self.found:
                    relative, followed = self.subtree.relative, self.subtree.followed
                    unseen = Unseen(relative, operation, followed, self.fresh, chosen, of_chosen, self.was)
                    yield [unseen.to_unit()]
                else:
                    yield self._compare(scan, chosen, of_chosen, operation)
            try:
                self._conclude(scan, diff)
            except (RequestError, *REFUSALS) as error:
                self._fail(error)

    def look(self, unseen: Unseen) -> Iterator[list[Unit]]:
        """See ``Visitor.look``."""
        try:
            with self._scan(unseen.operation) as scan:
                yield self._compare(scan, unseen.names, unseen.known, unseen.operation)
            self._note_errors(scan)
        except FileNotFoundError:
            self._keep_old_names()  # vanished since it was read
        except (OSError, SourceError) as error:
            self._keep_old_names()
            self.visitor.recorder.directory_failure(unseen.relative, failed(error))

    def _has_arrived(self) -> bool:
        """Whether the directory may be taken; once it has been, it is one like any other. Raises OSError."""
        subtree, arrivals = self.subtree, self.visitor.arrivals
        was_taken = self.rows is not None and subtree.change is not Change.NEW
        if was_taken or not arrivals.concerns(subtree.relative):
            return True
        path = self.visitor.ingestor.subjects.path(subtree.relative)
        return arrivals.is_ready(path, subtree.row, self.visitor.pool)

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
            seen = known.select(np.array([place[name] for name in entries.names()], np.intp))
            if seen.found.sum() < known.found.sum():
                self._keep_old_names()
            known = seen
        entries = self._followed(entries, operation)
        return self._sort_out(entries, known.compared_with(entries.rows), began, operation)

    def _of_this_pass(self, path: bytes, names: NameSlice, known: Known) -> tuple[NameSlice, Known]:
        """Without new names where these are left for later, and they alone where this is later. path: absolute."""
        postponed = self.visitor.postponed
        if postponed is None and not self.subtree.revisited:
            return names, known
        new = ~known.found
        if new.any() and self.visitor.options.excludes:
            new &= ~self.visitor.options.excludes.among(path, names.names(), names.types)
        if postponed is not None and new.any() and not self.is_noted:
            change = Change.RETRY if self.found else Change.UNCHANGED
            postponed.add(replace(self.subtree, change=change, revisited=True))
            self.is_noted = True
        if self.visitor.after_deletion:
            for name in names.select(known.found & (known.results["outcome"] == Outcome.GONE)).names():
                self.visitor.recorder.not_taken(self._below(name), _NOT_FREED)
        chosen = new if self.subtree.revisited else ~new
        return (names, known) if chosen.all() else (names.select(chosen), known.select(chosen))

    def _find_old_name(self) -> None:
        """Goes on from what is recorded under another name if the directory is only new by this one."""
        visitor, subtree = self.visitor, self.subtree
        if visitor.renames is None or subtree.change != Change.NEW or subtree.followed or self.rows is not None:
            return
        self.was = visitor.renames.directory(subtree.relative, subtree.row)
        if self.was is not None:
            self.rows = visitor.recorded(subtree.relative, self.was)
            visitor.recorder.add(tally.DIRECTORIES_RENAMED)

    def _keep_old_names(self) -> None:
        """Has what is recorded under old names kept for the next run, if not all of this directory is taken over."""
        if self.was is not None and self.visitor.renames is not None:
            self.visitor.renames.keep(self.subtree.relative, self.subtree.row)

    def _vanish(self) -> None:
        """Records that the directory, which has another name than the last time, is not there by that one either."""
        parent, name = os.path.split(self.subtree.relative)
        entry = EntryBatch.build([name], self.subtree.row.reshape(1))
        assert self.was is not None, "it has another name"
        self.visitor.note_vanished(parent, os.path.dirname(self.was), entry, np.zeros(1, RESULT_DTYPE))

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
        if self.subtree.revisited:
            if self.subtree.change is Change.RETRY:
                self.found = self.visitor.ingestor.listing(self.subtree.relative)
            return True
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
            if relative in self.visitor.doubts:
                self.found = ingestor.listing(relative)
            return True
        if ingestor.make_collection(relative, row):
            self.visitor.recorder.add(tally.COLLECTIONS)
            self.fresh = True
            return False
        ingestor.modify_collection(relative, row)
        if not self.visitor.options.initial_ingest or relative in self.visitor.doubts:
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

    def _sort_out(self, batch: EntryBatch, comparison: Comparison, began: int, operation: Operation) -> list[Unit]:
        batch, comparison = self._without_replaced(batch, comparison)
        changes = comparison.change
        directories = batch.is_directory()
        touched = directories & (changes == Change.UNCHANGED) & (batch.rows["mtime_ns"] != comparison.rows["mtime_ns"])
        changes[touched] = Change.MODIFIED
        units = [self._subtree(batch, changes, index) for index in np.flatnonzero(directories).tolist()]
        files = self._files(batch.select(~directories), comparison.select(~directories), began, operation)
        return [*units, files.to_unit()] if len(files.entries) else units

    def _without_replaced(self, batch: EntryBatch, comparison: Comparison) -> tuple[EntryBatch, Comparison]:
        """Without directories that were files, and the reverse, if something may be deleted: what they were is gone.

        Where nothing waits, they are here, and new. A link that was followed to a directory may dangle for a while.
        """
        visitor, relative = self.visitor, self.subtree.relative
        if not visitor.deletes:
            return batch, comparison
        was_directory = is_directory(comparison.rows)
        replaced = (was_directory != batch.is_directory()) & ~(was_directory & batch.is_link())
        replaced &= owns_object(comparison.results) & ~is_unknown(comparison.rows)
        if not replaced.any():
            return batch, comparison
        before = EntryBatch(batch.blob, batch.offsets, comparison.rows).select(replaced)
        visitor.note_vanished(relative, self.was, before, comparison.results[replaced])
        if visitor.replaced is None:
            changes, rows, results = comparison.change.copy(), comparison.rows.copy(), comparison.results.copy()
            changes[replaced] = Change.NEW
            rows[replaced], results[replaced] = np.zeros((), ENTRY_DTYPE), np.zeros((), RESULT_DTYPE)
            return batch, Comparison(changes, rows, results)
        change = Change.RETRY if self.found else Change.UNCHANGED
        visitor.replaced.add(Subtree(relative, change, self.subtree.row, self.subtree.followed, revisited=True))
        return batch.select(~replaced), comparison.select(~replaced)

    def _subtree(self, batch: EntryBatch, changes: npt.NDArray[np.uint8], index: int) -> Unit:
        relative = self._below(batch.name(index))
        followed = self.visitor.links.follow is not FollowLinks.NO and os.path.islink(
            self.visitor.ingestor.subjects.path(relative)
        )
        change = Change(int(changes[index]))
        was = None if self.was is None or change is Change.NEW else os.path.join(self.was, batch.name(index))
        return Subtree(relative, change, batch.rows[index], followed, was=was).to_unit()

    def _files(self, files: EntryBatch, comparison: Comparison, began: int, operation: Operation) -> Slice:
        """The files that need action, once all others are dealt with."""
        comparison = self._come_back(files, comparison)
        changes = comparison.change
        self.visitor.recorder.seen(self.subtree.relative, files, changes)
        if self.was is None and not changes.any():
            return Slice(self.subtree.relative, files.slice(0, 0), np.empty(0, PLAN_DTYPE))
        plan = np.zeros(len(files), PLAN_DTYPE)
        # While it fails, what is recorded stays that with which it failed first.
        plan["change"] = np.where(changes == Change.RETRY, comparison.results["change"], changes)
        plan["again"] = changes == Change.RETRY
        plan["situation"] = _situations(files, comparison)
        plan["settled"] = settled(files.rows, began)
        plan["replica"] = comparison.results["code"].clip(min=0)
        plan["known_size"] = comparison.rows["size"]
        to_do = changes != Change.UNCHANGED
        if self.was is not None:
            self._take_along(files, comparison, plan, to_do, operation)
        self._leave_young(files, changes, to_do)
        self.visitor.recorder.add(tally.TO_DO, int(to_do.sum()))
        self.visitor.recorder.add(tally.BYTES_TO_DO, int(files.rows["size"][to_do].sum()))
        self._note_metadata(files, comparison, plan, to_do)
        if self.found:
            self._adopt(files, plan, to_do)
        return Slice(self.subtree.relative, files.select(to_do), plan[to_do], self.fresh)

    def _come_back(self, files: EntryBatch, comparison: Comparison) -> Comparison:
        """The same, but what is recorded as released is here, and thus done: it was not taken away, or was put back."""
        released = comparison.results["outcome"] == Outcome.RELEASED
        if not released.any():
            return comparison
        results, rows = comparison.results.copy(), comparison.rows.copy()
        results["outcome"][released] = Outcome.DONE
        same = released & (comparison.change == Change.UNCHANGED)
        self.visitor.recorder.rows(self.subtree.relative, files.select(same), results[same])
        # Another file of that name is no longer one of which the object has the beginning.
        rows["size"][released & ~same] = _UNKNOWN_SIZE
        return Comparison(comparison.change, rows, results)

    def _leave_young(self, files: EntryBatch, changes: npt.NDArray[np.uint8], to_do: npt.NDArray[np.bool_]) -> None:
        """Takes files out of ``to_do`` that may still be written, so that the next run finds them as this one has.

        Not those whose objects have moved along with their collection: they are no longer what is recorded.
        """
        waits = to_do & (changes != Change.METADATA) & self.visitor.arrivals.are_young(files.rows)
        if self.was is not None:
            waits &= changes == Change.NEW
        if waits.any():
            self.visitor.recorder.young(files.select(waits))
            to_do &= ~waits

    def _take_along(
        self,
        files: EntryBatch,
        comparison: Comparison,
        plan: npt.NDArray[np.void],
        to_do: npt.NDArray[np.bool_],
        operation: Operation,
    ) -> None:
        """Deals with files whose objects have moved along with their collection.

        Where content was put, all is done that there is to do about those that have not changed: records them. Where
        files may be registered, adds them to ``to_do``, for the catalog has to know their new paths.
        """
        changes = comparison.change
        self.visitor.recorder.add(tally.RENAMED, int((changes != Change.NEW).sum()))
        same = changes == Change.UNCHANGED
        if operation.sends_content and not self.visitor.ingestor.handler.has("operation"):
            self.visitor.recorder.rows(self.subtree.relative, files.select(same), comparison.results[same])
            return
        changed = np.isin(plan["situation"], (Situation.CHANGED, Situation.UNSETTLED))
        plan["situation"][same | (changes == Change.METADATA)] = Situation.MOVED
        plan["situation"][changed] = Situation.MOVED_CHANGED
        to_do |= same

    def _note_metadata(
        self, files: EntryBatch, comparison: Comparison, plan: npt.NDArray[np.void], to_do: npt.NDArray[np.bool_]
    ) -> None:
        """Records entries of which only ctime changed as they were, and takes them out of ``to_do``; unless
        the handler wants to know of them, there is nothing to do about them.
        """
        if self.visitor.ingestor.handler.wants_metadata_changes:
            return
        same = (comparison.change == Change.METADATA) & (plan["situation"] != Situation.MOVED)
        results = comparison.results[same]
        outcomes = (Outcome(outcome) for outcome in results["outcome"].tolist())
        kept = [Result(outcome, code) for outcome, code in zip(outcomes, results["code"].tolist(), strict=True)]
        self._record(files, plan, same, kept)
        to_do &= ~same

    def _adopt(self, files: EntryBatch, plan: npt.NDArray[np.void], to_do: npt.NDArray[np.bool_]) -> None:
        """Records what the collection already holds and takes it out of ``to_do``."""
        ingestor, doubts = self.visitor.ingestor, self.visitor.doubts
        adopted = np.zeros(len(files), np.bool_)
        for index in np.flatnonzero(to_do).tolist():
            relative = self._below(files.name(index))
            replicas = self.found.get(ingestor.subjects.logical_path(relative))
            if replicas is None:
                continue
            if self.visitor.renames and self.visitor.renames.may_be(files.rows[index]):
                continue  # what a run that was cut off has renamed, and not recorded, is told from what was put
            above_id = doubts.get(self.subtree.relative, math.inf)
            doubtful = any(replica.object_id > above_id for replica in replicas)
            finding = ingestor.compare(relative, files.rows[index], replicas, doubtful=doubtful)
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
        if self.subtree.revisited:
            if scan.errors:
                recorder.directory(relative, DirectoryState.PARTIAL)
            return
        # Nothing is taken as gone on the word of an incomplete scan.
        if scan.errors:
            self._keep_old_names()
        else:
            self._note_vanished(diff)
            if self.unknown:
                self.unknown.record(recorder)
        state = DirectoryState.PARTIAL if scan.errors else DirectoryState.COMPLETE
        if self.rows is None or self.rows.state is not state or self.was is not None:
            recorder.directory(relative, state)
        if relative and (self.subtree.change != Change.UNCHANGED or self.was is not None):
            recorder.directory_entry(relative, self.subtree.row, self.subtree.change, Outcome.DONE)
        recorder.add(tally.DIRECTORIES)

    def _note_errors(self, scan: DirectoryScan) -> None:
        for problem in scan.errors:
            path = self._below(problem.name) if problem.name else self.subtree.relative
            self.visitor.recorder.not_taken(path, f"cannot be read: {problem.error.strerror}")

    def _note_vanished(self, diff: DirectoryDiff) -> None:
        vanished, results = diff.vanished()
        if len(vanished):
            self.visitor.note_vanished(self.subtree.relative, self.was, vanished, results)

    def _fail(self, error: Exception) -> None:
        result = failed(error)
        self._keep_old_names()
        recorder, relative = self.visitor.recorder, self.subtree.relative
        recorder.directory_failure(relative, result)
        recorder.directory(relative, DirectoryState.PARTIAL if self._has_collection else DirectoryState.FAILED)
        if relative:
            recorder.directory_entry(relative, self.subtree.row, self.subtree.change, result.outcome, result.code)

    def _below(self, name: bytes) -> bytes:
        return os.path.join(self.subtree.relative, name)
