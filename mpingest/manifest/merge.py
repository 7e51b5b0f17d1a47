"""External merge: a checkpoint and segments into the next checkpoint, in bounded memory, shared among ranks.

The latest record of (directory, name) wins. Age is a total order of the inputs that no clock takes part in: the
checkpoint, then the segments by (run, rank, segment). One rank's later word thus supersedes its earlier one; two ranks
never record the same entry in one run, since a unit has one owner at a time, and if they did the higher rank would win,
whoever merges. Age is never stored: a group of inputs that follow each other in age can be merged first, keeping its
removals, and stands for the group. So the result depends neither on the order of the list, nor on the grouping, nor on
the number of ranks.

Ranks share first the groups, so that each of thousands of segments is opened by few, then ranges of the order, of which
each becomes a part. Rank 0 joins the parts. What is soon done it does alone.

Merging again what was merged before changes nothing, which is what an interrupted merge relies on: the checkpoint is
replaced as a whole, and the segments stay until then.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Protocol, TypeVar

from mpingest.manifest.combine import settle
from mpingest.manifest.parts import Part, PartWriter, join_parts
from mpingest.manifest.ranges import EVERYTHING, KeyRange, merge_range, split_evenly
from mpingest.manifest.table import LIMITS, DamagedTable, JobAttributes, TableReader, TableWriter

FAN_IN = 64
"""Files open at once."""

RANGE_ROWS = 1 << 20
"""Entries that are worth a range of their own: about a second's work."""

RANGES_PER_RANK = 4
"""So that ranks whose ranges hold little that has changed get others."""

Answer = TypeVar("Answer")


class Ranks(Protocol):
    """Who shares a merge: each calls ``merge`` with the same arguments, and comes by the same deals."""

    @property
    def rank(self) -> int:
        """Which of them this is, from 0."""

    @property
    def size(self) -> int:
        """How many they are."""

    def deal(self, tasks: Sequence[Callable[[], Answer]]) -> list[Answer]:
        """Has each task done by one rank, the first by rank 0; all get all answers, in order.

        Raises the DamagedTable, other MpingestError or OSError that a task raises, the same on all ranks.
        """

    def check(self) -> None:
        """Called by tasks now and then. Raises MpingestError where the merge is to be given up."""


class _OneRank:
    rank = 0
    size = 1

    def deal(self, tasks: Sequence[Callable[[], Answer]]) -> list[Answer]:
        return [task() for task in tasks]

    def check(self) -> None: ...


ONE_RANK: Ranks = _OneRank()


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge made.

    merged:  segments in the new checkpoint, oldest first; delete them in this order, so that those which remain after
             an interruption are the latest, and merging them again changes nothing
    damaged: what was wrong with segments that were set aside
    """

    entries: int
    directories: int
    merged: list[Path] = field(default_factory=list)
    damaged: list[DamagedTable] = field(default_factory=list)


def merge(
    checkpoint: Path | None,
    segments: Sequence[Path],
    output: Path,
    attributes: JobAttributes,
    ranks: Ranks = ONE_RANK,
) -> MergeResult:
    """Merges segments into a checkpoint and replaces ``output`` (which may be ``checkpoint``) atomically.

    A damaged segment is renamed to ``*.damaged``, left out and reported: its entries are taken up by the next run.
    Memory on each rank: one block (about 1 MB) for each of at most 64 open files, and one window. Raises DamagedTable
    where the checkpoint is damaged, MpingestError for a newer format, OSError.
    """
    merging = _Merging(output, attributes, output.with_name(output.name + ".passes"), ranks)
    damaged: list[DamagedTable] = []
    remaining = list(segments)
    while True:
        try:
            return replace(merging.run(checkpoint, remaining), damaged=damaged)
        except DamagedTable as error:
            if error.path not in remaining:
                raise
            remaining.remove(error.path)
            ranks.deal([partial(error.path.replace, error.path.with_name(error.path.name + ".damaged"))])
            damaged.append(error)
        finally:
            if ranks.rank == 0:
                shutil.rmtree(merging.scratch, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class _Merging:
    """scratch: a directory for what is made on the way."""

    output: Path
    attributes: JobAttributes
    scratch: Path
    ranks: Ranks

    def run(self, checkpoint: Path | None, segments: Sequence[Path]) -> MergeResult:
        deal = self.ranks.deal
        deal([self._clean_scratch])
        ordered = self._by_age(segments)
        tables = ordered
        while len(tables) >= FAN_IN:
            tables = self._merge_groups(tables)
        if checkpoint is not None:
            tables = [checkpoint, *tables]
        [ranges] = deal([partial(_plan, tables, self.ranks.size)])
        if len(ranges) == 1:
            [totals] = deal([partial(self._merge_alone, tables)])
        else:
            parts = deal([partial(self._make_part, tables, each, number) for number, each in enumerate(ranges)])
            [totals] = deal([partial(self._join, tables, parts)])
        return MergeResult(*totals, ordered)

    def _clean_scratch(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()

    def _by_age(self, segments: Sequence[Path]) -> list[Path]:
        """The segments, oldest first."""
        ages = self.ranks.deal([partial(_age, segment) for segment in segments])
        return [segment for _, segment in sorted(zip(ages, segments, strict=True))]

    def _merge_groups(self, tables: Sequence[Path]) -> list[Path]:
        """Merges groups of neighbours in age, each into one table."""
        count = max(-(-len(tables) // FAN_IN), min(self.ranks.size, FAN_IN - 1))
        bounds = [len(tables) * number // count for number in range(count + 1)]
        return self.ranks.deal([partial(self._merge_group, tables, start, stop) for start, stop in pairwise(bounds)])

    def _merge_group(self, paths: Sequence[Path], start: int, stop: int) -> Path:
        output = self.scratch / f"group{start}of{len(paths)}.h5"
        with _opened(paths[start:stop]) as tables, TableWriter(output, self.attributes, durable=False) as writer:
            merge_range(tables, EVERYTHING, writer, lambda block: block, self.ranks.check)
        return output

    def _merge_alone(self, paths: Sequence[Path]) -> tuple[int, int]:
        with _opened(paths) as tables, TableWriter(self.output, self.attributes) as writer:
            merge_range(tables, EVERYTHING, writer, settle, self.ranks.check)
        return writer.entries, writer.directories

    def _make_part(self, paths: Sequence[Path], reach: KeyRange, number: int) -> Part:
        output = self.scratch / f"part{number}.h5"
        with _opened(paths) as tables, PartWriter(output, self.attributes) as writer:
            merge_range(tables, reach, writer, settle, self.ranks.check)
        return Part(output, writer.blocks)

    def _join(self, paths: Sequence[Path], parts: Sequence[Part]) -> tuple[int, int]:
        with _opened(paths) as tables, TableWriter(self.output, self.attributes) as writer:
            join_parts(tables, parts, writer, self.ranks.check)
        return writer.entries, writer.directories


def _age(segment: Path) -> tuple[int, int, int]:
    with closing(TableReader(segment)) as table:
        return table.attributes.run, table.attributes.rank, table.attributes.segment


def _plan(paths: Sequence[Path], ranks: int) -> list[KeyRange]:
    """The ranges that are worth the ranks' while."""
    if ranks == 1 or len(paths) < 2:
        return [EVERYTHING]
    with _opened(paths) as tables:
        return split_evenly(tables, max(1, min(_work(tables) // RANGE_ROWS, RANGES_PER_RANK * ranks)))


def _work(tables: Sequence[TableReader]) -> int:
    """About how many entries are not just copied: each directory of a later table wakes a block of the oldest one."""
    oldest, *later = tables
    woken = sum(table.directories for table in later) * LIMITS.rows
    return min(oldest.entries, woken) + sum(table.entries for table in later)


@contextmanager
def _opened(paths: Sequence[Path]) -> Iterator[list[TableReader]]:
    with ExitStack() as stack:
        yield [stack.enter_context(closing(TableReader(path))) for path in paths]
