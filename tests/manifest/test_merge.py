from __future__ import annotations

import multiprocessing
import random
import shutil
import tempfile
import time
import tracemalloc
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.manifest.verify import verify
from mpingest.scan.entries import EntryBatch
from tests.manifest.ranks import Simulated
from tests.manifest.trees import ATTRIBUTES, DIRECTORY, FILE, batch, content, record, row, segment

# "." sorts before "/", so that only the order by key keeps a subtree together.
DIRECTORIES = [b"", b"a", b"a/b", b"a/b/c", b"a.b", b"a/b.c", b"a\xff"]
ENTRIES = [b"a", b"b", b"c", b"b.c", b"\n", b"\xff"]

Rows = dict[tuple[bytes, bytes], tuple[int, ...]]


@dataclass(frozen=True)
class Recorded:
    directory: bytes
    names: list[bytes]
    mode: int
    outcome: Outcome
    size: int


@dataclass(frozen=True)
class Visited:
    directory: bytes
    state: DirectoryState


@dataclass(frozen=True)
class Sealed:
    pass


Step = Recorded | Visited | Sealed

STEPS = st.one_of(
    st.builds(
        Recorded,
        st.sampled_from(DIRECTORIES),
        st.lists(st.sampled_from(ENTRIES), min_size=1, max_size=6),
        st.sampled_from([FILE, DIRECTORY]),
        st.sampled_from(list(Outcome)),
        st.integers(0, 99),
    ),
    st.builds(Visited, st.sampled_from(DIRECTORIES), st.sampled_from(list(DirectoryState))),
    st.builds(Sealed),
)
HISTORIES = st.lists(st.tuples(st.integers(1, 2), st.integers(0, 2), st.lists(STEPS, max_size=12)), max_size=5)
"""(run, rank, steps), each pair of run and rank perhaps several times."""


class Model:
    """What a checkpoint must hold, kept by dictionaries one record at a time."""

    def __init__(self) -> None:
        self.states: dict[bytes, DirectoryState] = {}
        self.rows: Rows = {}

    def apply(self, step: Step) -> None:
        match step:
            case Visited(directory, state) if state is not DirectoryState.UNKNOWN:
                self.states[directory] = state
            case Recorded(directory, names, mode, outcome, size):
                for name in names:
                    self._record(directory, name, mode, (size, outcome, Change.NEW, -5))

    def _record(self, directory: bytes, name: bytes, mode: int, value: tuple[int, ...]) -> None:
        self.rows[directory, name] = value
        if value[1] != Outcome.REMOVED:
            return
        del self.rows[directory, name]
        if mode == DIRECTORY:
            self._clear(directory + b"/" + name if directory else name)

    def _clear(self, top: bytes) -> None:
        def stays(path: bytes) -> bool:
            return path != top and not path.startswith(top + b"/")

        self.rows = {key: value for key, value in self.rows.items() if stays(key[0])}
        self.states = {path: state for path, state in self.states.items() if stays(path)}

    def content(self) -> tuple[dict[bytes, DirectoryState], Rows]:
        unknown = {path: DirectoryState.UNKNOWN for path, _ in self.rows}
        return unknown | self.states, self.rows


def write(folder: Path, history: list[tuple[int, int, list[Step]]]) -> tuple[Model, list[Path]]:
    """Segments of a history, oldest first, and the model of all that they say."""
    steps = defaultdict(list)
    for run, rank, some in history:
        steps[run, rank] += some
    model, sealed = Model(), []
    for (run, rank), all_steps in sorted(steps.items()):
        folder_of_run = folder / str(run)
        folder_of_run.mkdir(exist_ok=True)
        writer = SegmentWriter(folder_of_run, rank, replace(ATTRIBUTES, run=run))
        for step in [*all_steps, Sealed()]:
            model.apply(step)
            match step:
                case Visited(directory, state):
                    writer.record_directory(directory, state)
                case Recorded(directory, names, mode, outcome, size):
                    entries = EntryBatch.build(names, [row(size, mode)] * len(names))
                    record(writer, directory, entries, outcome)
                case Sealed():
                    sealed.append(writer.seal())
    return model, [path for path in sealed if path]


@pytest.mark.usefixtures("tiny_blocks")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HISTORIES, st.randoms(use_true_random=False))
def test_latest_record_wins_in_any_order_and_grouping_by_any_number_of_ranks(
    history: list[tuple[int, int, list[Step]]], random: random.Random
) -> None:
    def ranks() -> Simulated:
        return Simulated(random.randint(1, 5))

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, segments = write(folder, history)
        output = folder / "at_once.h5"
        result = merge(None, random.sample(segments, len(segments)), output, ATTRIBUTES, ranks())
        verify(output)
        assert content(output) == model.content()
        assert (result.entries, result.merged, result.damaged) == (len(model.rows), segments, [])
        assert result.directories == len(model.content()[0])

        left = segments[random.randint(0, len(segments)) :]  # as after a crash while they were deleted
        merge(output, left, output, ATTRIBUTES, ranks())
        verify(output)
        assert content(output) == model.content()

        in_steps = None
        while segments:
            count = random.randint(1, len(segments))
            merge(in_steps, segments[:count], in_steps := folder / "in_steps.h5", ATTRIBUTES, ranks())
            segments = segments[count:]
        assert in_steps is None or content(in_steps) == model.content()


def test_memory_is_bounded(tmp_path: Path) -> None:
    """Twice the entries, the same memory: a merge holds a block of each table and one window."""

    def peak(files: int) -> int:
        folder = tmp_path / str(files)
        folder.mkdir()
        tree = {b"d%03d" % i: batch({b"f%05d" % j: row(j) for j in range(files)}) for i in range(60)}
        segments = [segment(folder, tree, rank) for rank in range(3)]
        del tree
        tracemalloc.start()
        assert merge(None, segments, folder / "checkpoint.h5", ATTRIBUTES).entries == 60 * files
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert peak(1600) < 1.2 * peak(800)


def test_interrupted_merge_leaves_the_checkpoint_whole(tmp_path: Path) -> None:
    """SIGKILL at any moment: the old checkpoint or the new one stands there, and merging again gives the new one."""
    output = tmp_path / "checkpoint.h5"
    tree = {b"d%d" % i: batch({b"f%d" % j: row(j) for j in range(2000)}) for i in range(5)}
    first, second = (segment(tmp_path, tree | {b"d%d" % rank: batch({b"new": row(rank)})}, rank) for rank in range(2))
    old, new = tmp_path / "old.h5", tmp_path / "new.h5"
    merge(None, [first], old, ATTRIBUTES)
    merge(old, [second], new, ATTRIBUTES)
    for delay in np.linspace(0, 0.1, 8):
        shutil.copy(old, output)
        process = multiprocessing.get_context("fork").Process(target=merge, args=(output, [second], output, ATTRIBUTES))
        process.start()
        time.sleep(delay)
        process.kill()
        process.join()
        assert content(output) in (content(old), content(new))
    merge(output, [second], output, ATTRIBUTES)
    assert content(output) == content(new)
    assert sorted(path.name for path in tmp_path.glob("checkpoint*")) == ["checkpoint.h5"]


def test_rows_beneath_a_directory_that_became_a_file_go(tmp_path: Path) -> None:
    old = segment(tmp_path, {b"": batch({b"d": row(mode=DIRECTORY)}), b"d": batch({b"x": row()}), b"d/e": batch({})})
    writer = SegmentWriter(tmp_path, 1, ATTRIBUTES)
    record(writer, b"", batch({b"d": row(mode=DIRECTORY)}), Outcome.REMOVED)
    record(writer, b"", batch({b"d": row(3)}))
    new = writer.seal()
    assert new is not None
    merge(None, [old, new], tmp_path / "checkpoint.h5", ATTRIBUTES)
    states, rows = content(tmp_path / "checkpoint.h5")
    assert states == {b"": DirectoryState.COMPLETE}
    assert list(rows) == [(b"", b"d")]


def test_more_segments_than_files_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpingest.manifest.merge.FAN_IN", 4)
    segments = [segment(tmp_path, {b"d": batch({b"x": row(rank), b"y%d" % rank: row()})}, rank) for rank in range(21)]
    output = tmp_path / "checkpoint.h5"
    assert merge(None, segments, output, ATTRIBUTES).entries == 22
    assert content(output)[1][b"d", b"x"][0] == 20
    assert not list(tmp_path.glob("*.passes"))


@pytest.mark.usefixtures("tiny_blocks")
def test_the_latest_state_holds_for_all_of_a_large_directory(tmp_path: Path) -> None:
    old = segment(tmp_path, {b"d": batch({b"%02d" % i: row() for i in range(40)})})
    writer = SegmentWriter(tmp_path, 1, ATTRIBUTES)
    writer.record_directory(b"d", DirectoryState.PARTIAL)
    new = writer.seal()
    assert new is not None
    output = tmp_path / "checkpoint.h5"
    merge(None, [old, new], output, ATTRIBUTES)
    assert content(output)[0] == {b"d": DirectoryState.PARTIAL}


def test_a_checkpoint_keeps_no_trace_of_what_was_removed(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, 0, ATTRIBUTES)
    record(writer, b"", batch({b"d": row(mode=DIRECTORY), b"f": row()}), Outcome.REMOVED)
    writer.record_directory(b"d", DirectoryState.COMPLETE)
    sealed = writer.seal()
    assert sealed is not None
    output = tmp_path / "checkpoint.h5"
    assert merge(None, [sealed], output, ATTRIBUTES).entries == 0
    with h5py.File(sealed) as removed, h5py.File(output) as kept:
        assert removed["directories"]["cleared"].sum() == 1
        assert kept["directories"]["cleared"].sum() == 0


@pytest.mark.usefixtures("tiny_blocks")
def test_a_directory_whose_first_block_is_copied_may_lose_the_rest(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, 0, ATTRIBUTES)
    names = [b"%d" % number for number in range(6)]
    entries = batch({name: row(1) for name in names})
    record(writer, b"a", entries, [Outcome.DONE] * 4 + [Outcome.REMOVED] * 2)
    writer.record_directory(b"a", DirectoryState.COMPLETE)
    writer.seal()
    result = merge(None, list(tmp_path.glob("*.h5")), tmp_path / "out.h5", ATTRIBUTES)
    verify(tmp_path / "out.h5")
    states, rows = content(tmp_path / "out.h5")
    assert states == {b"a": DirectoryState.COMPLETE}
    assert sorted(rows) == [(b"a", name) for name in names[:4]]
    assert (result.entries, result.directories) == (4, 1)
