"""How the entries of a slice are divided into bundles, batches and those that go one by one."""

from __future__ import annotations

import itertools
import stat
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest

from mpingest.ingest.actions import Situation
from mpingest.ingest.batches import MOST_FILES
from mpingest.jobs.slices import CHUNK, SliceRun
from mpingest.jobs.units import PLAN_DTYPE, Slice
from mpingest.manifest.states import Change
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

Bools = npt.NDArray[np.bool_]


@dataclass
class Taking:
    """Takes everything of a situation, as a bundler or batcher may."""

    situations: tuple[Situation, ...] = ()

    def fitting(self, rows: npt.NDArray[np.void], situations: npt.NDArray[np.uint8]) -> Bools:
        return np.isin(situations, self.situations)


def sliced(count: int, **plan: object) -> Slice:
    names = [b"name%d" % number for number in range(count)]
    rows = np.zeros(count, ENTRY_DTYPE)
    rows["mode"] = stat.S_IFREG
    offsets = np.array([0, *itertools.accumulate(map(len, names))], np.uint32)
    plans = np.zeros(count, PLAN_DTYPE)
    plans["change"] = Change.NEW
    for field, value in plan.items():
        plans[field] = value
    return Slice(b"directory", EntryBatch(b"".join(names), offsets, rows), plans)


def run_of(content: Slice, bundler: Taking, batcher: Taking) -> SliceRun:
    return SliceRun.of(content.to_unit(), bundler, batcher)  # type: ignore[arg-type]


NONE, NEW = Taking(), Taking((Situation.ABSENT,))


def test_what_fits_a_batch_is_taken_by_batches() -> None:
    run = run_of(sliced(40), NONE, NEW)
    assert [len(chunk) for chunk in run.chunks] == [MOST_FILES, MOST_FILES, 8]
    assert run.batched.all()
    assert run.not_begun == run.unfinished == 40


def test_batches_and_others_are_not_in_the_same_chunk() -> None:
    situations = [Situation.ABSENT, Situation.CHANGED] * 20
    run = run_of(sliced(40, situation=situations), NONE, NEW)
    assert sorted(itertools.chain(*run.chunks)) == list(range(40))
    for chunk in run.chunks:
        assert len({bool(run.batched[index]) for index in chunk}) == 1
        assert len(chunk) <= (MOST_FILES if run.batched[chunk[0]] else CHUNK)


def test_what_fits_a_bundle_is_in_no_batch() -> None:
    run = run_of(sliced(40), NEW, NEW)
    assert [len(bundle) for bundle in run.bundles] == [40]
    assert not run.chunks
    assert not run.batched.any()


@pytest.mark.parametrize(("bundler", "batcher"), [(NEW, NONE), (NONE, NEW)])
def test_what_is_gone_goes_alone(bundler: Taking, batcher: Taking) -> None:
    """There is nothing to send, whatever is known of its object."""
    run = run_of(sliced(10, change=Change.DELETED), bundler, batcher)
    assert not run.bundles
    assert not run.batched.any()
    assert [len(chunk) for chunk in run.chunks] == [8, 2]


def test_what_no_bundle_brought_in_goes_alone() -> None:
    run = run_of(sliced(4, alone=True), NEW, NONE)
    assert not run.bundles
    assert [len(chunk) for chunk in run.chunks] == [4]
