"""A worker of ``mpingest verify``: visits directories as a run does, but sends nothing; it compares.

What a visit compares with the record is compared with the listing of the collection, too. Checksums are computed
afterwards, slice by slice, so that ranks share the files of a large directory.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mpingest.farm.units import Unit
from mpingest.handler.operations import Operation
from mpingest.ingest.batches import Batcher
from mpingest.ingest.bundles import no_bundles
from mpingest.ingest.catalog import Replica
from mpingest.ingest.checksums import checksum_like
from mpingest.ingest.content import Vanished
from mpingest.ingest.entry import REFUSALS, EntryIngestor, IngestOptions, failed
from mpingest.ingest.kinds import is_unchanged, kind_of, reason_to_skip
from mpingest.ingest.statuses import RequestError
from mpingest.ingest.subject import Entry
from mpingest.jobs import tally
from mpingest.jobs.differences import (
    FORGET,
    GONE_AND_MISSING,
    MAKE,
    Claim,
    Difference,
    Kind,
    Sides,
    content_mark,
    differ,
)
from mpingest.jobs.directory import JobDirectory, RunDirectory, attributes_of
from mpingest.jobs.ending import Ending
from mpingest.jobs.findings import Findings, Totals
from mpingest.jobs.log import open_log
from mpingest.jobs.profile import Profile
from mpingest.jobs.spec import JobSpec, RunOptions
from mpingest.jobs.tools import Tools, open_subjects, retry_policy
from mpingest.jobs.units import PLAN_DTYPE, Slice, Subtree, Sums
from mpingest.jobs.unknown import UnknownContent
from mpingest.jobs.visit import Visit, Visitor
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.diff import Comparison, DirectoryDiff
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.scan.directory import DirectoryScan
from mpingest.scan.entries import EntryBatch
from mpingest.scan.links import LinkRule
from mpingest.scan.pool import StatPool

SUMS_FILES, SUMS_BYTES = 64, 1 << 30
"""Files, and bytes of them, whose checksums one unit asks for; but one file is one at least."""
_HAS_COLLECTION = (DirectoryState.COMPLETE, DirectoryState.PARTIAL)


@dataclass(frozen=True, slots=True)
class OpenVerification:
    """What every rank has to know of it. directory: its number is that of the last run; options: as they hold now."""

    spec: JobSpec
    job: JobDirectory
    directory: RunDirectory
    options: RunOptions
    checksum: bool
    repair: bool
    root_row: np.void


@dataclass(frozen=True, slots=True)
class Examiner(EntryIngestor):
    """Takes the place of an ``EntryIngestor``: says what is to be in the catalog, and changes nothing there."""

    def claim(self, relative: bytes, row: np.void) -> Claim:
        """What is to be there of an entry. Raises one of REFUSALS."""
        return self.subjects.work_on(relative, row, self._claim)

    def stored_checksum(self, relative: bytes, row: np.void, replica: int) -> str:
        """The checksum of one replica, which the server computes and keeps. Raises RequestError, one of REFUSALS."""

        def ask(entry: Entry) -> str:
            return self.retry.run(lambda: entry.catalog.checksum(entry.logical, replica=replica))

        return self.subjects.work_on(relative, row, ask)

    def _claim(self, entry: Entry) -> Claim:
        operation = self._operation(entry)
        if operation is Operation.NO_OP:
            return Claim(operation, entry.logical, expected=False)
        special = self.options.register_special
        expected = not reason_to_skip(entry.path, entry.row, operation, register_special=special)
        physical = self._physical_path(entry) if expected and not operation.sends_content else ""
        return Claim(operation, entry.logical, physical, expected)


@dataclass(frozen=True, slots=True)
class Inspector:
    """What every visit of a rank needs. checksum: compare these, too; repair: have those computed that are missing."""

    visitor: Visitor
    ingestor: Examiner
    findings: Findings
    checksum: bool
    repair: bool

    def visit(self, subtree: Subtree) -> Iterator[list[Unit]]:
        """Compare a directory; gives, slice by slice, the units found. Raises ZoneGone."""
        assert self.visitor.checkpoint is not None, "without one there is nothing to verify"
        rows = self.visitor.checkpoint.directory(subtree.relative)
        return _Inspection(self.visitor, subtree, rows, inspector=self).steps()

    def look(self, sums: Sums) -> Iterator[list[Unit]]:
        """Compare the checksums of files, one a step. Raises ZoneGone."""
        for index, (name, row) in enumerate(sums.entries):
            relative = os.path.join(sums.relative, name)
            self._compare_checksum(relative, row, int(sums.replicas[index]), sums.checksums[index])
            yield []

    def _compare_checksum(self, relative: bytes, row: np.void, replica: int, stored: str) -> None:
        findings, path = self.findings, self.ingestor.subjects.path(relative)
        try:
            if not stored and not self.repair:
                findings.count(unsummed=1)
                return
            stored = stored or self.ingestor.stored_checksum(relative, row, replica)
            computed = checksum_like(stored, path, lambda size: findings.add(tally.SENT, size))
            findings.count(summed=1)
            if computed == stored:
                return
            claim = self.ingestor.claim(relative, row)
        except Vanished:
            return  # the next run notes it
        except (RequestError, *REFUSALS) as error:
            findings.differ(Difference(Kind.UNREADABLE, relative, "", failed(error).reason))
            return
        if not is_unchanged(path, row):
            findings.differ(Difference(Kind.CHANGED, relative, claim.logical, "changed while it was read"))
            return
        says = f"{computed} on disk, {stored} in the catalog"
        mark = content_mark(claim.operation, replica)
        findings.differ(Difference(Kind.CHECKSUM, relative, claim.logical, says, mark=mark, row=row))


@dataclass(slots=True)
class _Inspection(Visit):
    inspector: Inspector = field(kw_only=True)
    listings: dict[str, dict[str, list[Replica]]] = field(default_factory=dict)
    """Replicas by logical path, of each collection."""
    to_sum: list[tuple[bytes, np.void, Replica]] = field(default_factory=list)

    def steps(self) -> Iterator[list[Unit]]:
        with ExitStack() as stack:
            try:
                operation = self.inspector.ingestor.operation(self.subtree.relative, self.subtree.row)
                scan = self._opened(stack, operation)
                self._list(operation, is_there=scan is not None)
            except (OSError, RequestError, *REFUSALS) as error:
                self._fail(error)
                return
            diff = DirectoryDiff(self.rows)
            if scan:
                for names in scan.names(self.visitor.options.slice_size):
                    known = diff.known(names)
                    if self.unknown:
                        self.unknown.strike(names.names())
                    yield [*self._compare(scan, names, known, operation), *self._sums()]
                self._note_errors(scan)
            # Nothing is taken as gone on the word of an incomplete scan, and nothing as not ours.
            if not scan or not scan.errors:
                yield self._look_at_gone(diff)
                self._note_extra()
            self.inspector.findings.count(directories=scan is not None)

    def _opened(self, stack: ExitStack, operation: Operation) -> DirectoryScan | None:
        """The directory, None where it is gone. Raises OSError, SourceError."""
        try:
            return stack.enter_context(self._scan(operation))
        except FileNotFoundError:
            if not self.subtree.relative:
                raise
            return None

    def _list(self, operation: Operation, *, is_there: bool) -> None:
        """Lists the collection, and compares it with the record of the directory. Raises RequestError, UnusableName."""
        ingestor, relative = self.inspector.ingestor, self.subtree.relative
        collection = ingestor.subjects.naming.of(relative).path
        if is_there and (self.rows is None or self.rows.state is DirectoryState.FAILED):
            kind, says = (Kind.NEW, "a directory") if self.rows is None else (Kind.FAILED, "a directory that failed")
            self._differ(Difference(kind, relative, collection, says, is_directory=True))
        # Where a script says where files belong, a directory has no collection, and names do not tell what is whose.
        if operation is Operation.NO_OP or ingestor.handler.has("collection_for"):
            return
        objects, collections = ingestor.objects_in(collection), ingestor.subcollections(relative)
        self.listings[collection] = objects
        below = {f"{collection}/{name}" for name in collections}
        self.unknown = UnknownContent(ingestor, relative, dict(objects), below)
        if objects or collections or self.rows is None or self.rows.state not in _HAS_COLLECTION:
            return
        if not ingestor.retry.run(lambda: ingestor.catalog.collection_exists(collection)):
            self._miss_collection(collection, is_there=is_there)

    def _miss_collection(self, collection: str, *, is_there: bool) -> None:
        says, mark, row = "no such collection", MAKE, None
        if not is_there:
            if self.subtree.change is not Change.DELETED:
                return  # that it is gone is said already
            says, mark, row = GONE_AND_MISSING, FORGET, self.subtree.row
        path = self.subtree.relative
        self._differ(Difference(Kind.MISSING, path, collection, says, mark=mark, row=row, is_directory=True))

    def _files(self, files: EntryBatch, comparison: Comparison, _began: int, _operation: Operation) -> Slice:
        """Compares files; there is never anything left to ingest."""
        self.visitor.recorder.seen(self.subtree.relative, files, comparison.change)
        self.inspector.findings.count(compared=len(files))
        recorded = comparison.rows["mode"] != 0
        for index in range(len(files)):
            rows = (comparison.rows[index], comparison.results[index]) if recorded[index] else (None, None)
            self._compare_file(files.name(index), files.rows[index], *rows)
        return Slice(self.subtree.relative, files.slice(0, 0), np.zeros(0, PLAN_DTYPE))

    def _compare_file(self, name: bytes, row: np.void | None, recorded: np.void | None, result: np.void | None) -> None:
        relative, described = self._below(name), recorded if row is None else row
        assert described is not None, "one side has it"
        try:
            claim = self.inspector.ingestor.claim(relative, described)
            replicas = [] if claim.operation is Operation.NO_OP else self._replicas(claim.logical)
        except (RequestError, *REFUSALS) as error:
            self._cannot_tell(relative, Sides(row, recorded, result), error)
            return
        sides = Sides(row, recorded, result, replicas)
        if difference := differ(relative, sides, claim):
            self._differ(difference)
        elif self.inspector.checksum and row is not None and recorded is not None and claim.expected:
            self._note_sum(name, row, claim, replicas)

    def _note_sum(self, name: bytes, row: np.void, claim: Claim, replicas: list[Replica]) -> None:
        """Has the checksum compared of a file that agrees so far."""
        if claim.physical and kind_of(row) != stat.S_IFREG:
            return  # it may have no content, or one that doesn't end
        ours = claim.ours([replica for replica in replicas if replica.size == int(row["size"])])
        if ours is not None:
            self.to_sum.append((name, row, ours))

    def _cannot_tell(self, relative: bytes, sides: Sides, error: Exception) -> None:
        """What is refused now failed in the last run, too, or fails in the next."""
        reason = failed(error).reason
        if sides.row is None and not isinstance(error, RequestError):
            return
        kind = Kind.UNREADABLE
        if sides.recorded is None:
            kind = Kind.NEW
        elif sides.result is not None and sides.result["outcome"] == Outcome.FAILED:
            kind = Kind.FAILED
        self._differ(Difference(kind, relative, "", reason, sides))

    def _replicas(self, logical: str) -> list[Replica]:
        """Those of a data object, by one listing of each collection. Raises RequestError."""
        collection = logical.rpartition("/")[0]
        if collection not in self.listings:
            self.listings[collection] = self.inspector.ingestor.objects_in(collection)
        return self.listings[collection].get(logical, [])

    def _sums(self) -> Iterator[Unit]:
        """Units for the files whose checksums are still to be compared."""
        while self.to_sum:
            size, count = 0, 0
            while count < min(SUMS_FILES, len(self.to_sum)) and (not count or size < SUMS_BYTES):
                size += int(self.to_sum[count][1]["size"])
                count += 1
            names, rows, replicas = zip(*self.to_sum[:count], strict=True)
            del self.to_sum[:count]
            entries = EntryBatch.build(names, np.array(rows))
            numbers = np.array([replica.number for replica in replicas], "<i4")
            yield Sums(self.subtree.relative, entries, numbers, [each.checksum for each in replicas]).to_unit()

    def _look_at_gone(self, diff: DirectoryDiff) -> list[Unit]:
        """Compares what is recorded and not on disk; units for the directories of it."""
        not_there = [*zip(*diff.vanished(), strict=True), *zip(*diff.released(), strict=True)]
        units = []
        if self.unknown:
            self.unknown.strike(name for (name, _), _ in not_there)
        for (name, row), result in not_there:
            if kind_of(row) != stat.S_IFDIR:
                self._compare_file(name, None, row, result)
                continue
            relative = self._below(name)
            if result["outcome"] == Outcome.GONE:
                units.append(Subtree(relative, Change.DELETED, row).to_unit())
            elif result["outcome"] == Outcome.RELEASED:
                units.append(Subtree(relative, Change.UNCHANGED, row).to_unit())
            else:
                logical = self.inspector.ingestor.subjects.logical_path(relative)
                sides = Sides(None, row, result)
                self._differ(Difference(Kind.GONE, relative, logical, "a directory", sides, is_directory=True))
                units.append(Subtree(relative, Change.UNCHANGED, row).to_unit())
        return units

    def _note_extra(self) -> None:
        if not self.unknown:
            return
        for logical, replicas in self.unknown.objects.items():
            sizes = ", ".join(f"{replica.size:,} bytes" for replica in replicas)
            self._extra(logical, sizes, Sides(None, None, None, replicas))
        for logical in self.unknown.collections:
            self._extra(logical, "a collection", None)

    def _extra(self, logical: str, says: str, sides: Sides | None) -> None:
        path = self._below(os.fsencode(logical.rpartition("/")[2]))
        self._differ(Difference(Kind.EXTRA, path, logical, says, sides, is_directory=sides is None))

    def _differ(self, difference: Difference) -> None:
        self.inspector.findings.differ(difference)

    def _fail(self, error: Exception) -> None:
        self.inspector.findings.directory_failure(self.subtree.relative, failed(error))


@contextmanager
def open_inspector(rank: int, opened: OpenVerification, totals: Totals) -> Iterator[tuple[Inspector, Tools]]:
    """What a rank works with; it counts in ``totals``. Raises MpingestError where it can't be had."""
    spec, directory, options = opened.spec, opened.directory, opened.options
    attributes = attributes_of(spec, directory.number)
    with ExitStack() as stack:
        logger = stack.enter_context(open_log(directory.log, options.log, rank, spec.name, directory.number))
        subjects = stack.enter_context(open_subjects(spec, options, logger))
        checkpoint = stack.enter_context(Checkpoint.open(Path(opened.job.checkpoint)))
        ending = Ending()
        how = IngestOptions(register_special=options.register_special)
        ingestor = Examiner(subjects, retry_policy(subjects.users.own, spec.target, options, ending), how)
        path = os.path.join(directory.rank_failures, f"rank{rank:05d}.jsonl")
        segments = SegmentWriter(Path(directory.manifest), rank, attributes)
        file = open(path, "a", encoding="utf-8")  # noqa: SIM115
        findings = Findings(segments, file, spec.root, logger, totals=totals, repair=opened.repair)
        stack.callback(findings.close)
        pool = stack.enter_context(StatPool(options.stat_threads))
        visitor = Visitor(LinkRule(spec.root, options.follow), pool, ingestor, checkpoint, findings, options)
        together = (Batcher(ingestor, makes_any=False), no_bundles(ingestor))
        profile = Profile(subjects)
        tools = Tools(ingestor, *together, checkpoint, findings, ending, options.idle_seconds, profile, pool)
        yield Inspector(visitor, ingestor, findings, opened.checksum, opened.repair), tools
