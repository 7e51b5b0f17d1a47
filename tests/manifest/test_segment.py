from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpingest.errors import MpingestError
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.segment import SegmentWriter, sealed_segments
from mpingest.manifest.states import Change, DirectoryState, Outcome
from mpingest.manifest.verify import verify
from mpingest.scan.entries import ENTRY_DTYPE
from tests.manifest.trees import ATTRIBUTES, NAMES, PATHS, batch, content, record, row

LIMITS = [np.iinfo(ENTRY_DTYPE[name]) for name in ENTRY_DTYPE.names or ()]
ROWS = st.tuples(*(st.integers(int(limit.min), int(limit.max)) for limit in LIMITS))


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(PATHS, st.dictionaries(NAMES, ROWS, max_size=5), max_size=5))
def test_every_name_and_value_comes_back(tree: dict[bytes, dict[bytes, tuple[int, ...]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        writer = SegmentWriter(Path(folder), 3, ATTRIBUTES)
        for path, entries in tree.items():
            writer.record_directory(path, DirectoryState.PARTIAL)
            record(writer, path, batch(entries), Outcome.FAILED)
        sealed = writer.seal()
        assert (sealed is None) == (not tree)
        if sealed is None:
            return
        verify(sealed)
        with Checkpoint.open(sealed) as segment:
            assert [rows.path for rows in segment] == sorted(tree, key=lambda path: path.split(b"/") if path else [])
            for path, entries in tree.items():
                rows = segment.directory(path)
                assert rows is not None
                assert rows.state is DirectoryState.PARTIAL
                assert rows.entries.names() == sorted(entries)
                assert rows.entries.rows.tolist() == [entries[name] for name in sorted(entries)]
                assert set(rows.results.tolist()) <= {(Outcome.FAILED, Change.NEW, -5)}


def test_attributes_and_summary(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, 3, ATTRIBUTES)
    record(writer, b"d", batch({b"x": row(), b"y": row(), b"z": row()}), [Outcome.DONE, Outcome.FAILED, Outcome.DONE])
    assert writer.seal() == tmp_path / "rank00003-000001.h5"
    with Checkpoint.open(tmp_path / "rank00003-000001.h5") as segment:
        assert (segment.attributes.job, segment.attributes.root) == ("job", b"/data/\xff")
        assert (segment.attributes.target, segment.attributes.host) == ("/zone/home/ä", "node1")
        assert (segment.attributes.run, segment.attributes.rank, segment.attributes.segment) == (1, 3, 1)
        assert (segment.summary().entries, segment.summary().directories) == (3, 1)
        assert {outcome: n for outcome, n in segment.summary().outcomes.items() if n} == {
            Outcome.DONE: 2,
            Outcome.FAILED: 1,
        }


def test_a_later_record_supersedes(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, 0, ATTRIBUTES)
    record(writer, b"d", batch({b"x": row(1)}), Outcome.FAILED)
    record(writer, b"d", batch({b"x": row(2)}))
    writer.record_directory(b"d", DirectoryState.PARTIAL)
    writer.record_directory(b"d", DirectoryState.COMPLETE)
    sealed = writer.seal()
    assert sealed is not None
    done = (2, Outcome.DONE, Change.NEW, -5)
    assert content(sealed) == ({b"d": DirectoryState.COMPLETE}, {(b"d", b"x"): done})


def test_seals_by_rows_and_by_time(tmp_path: Path) -> None:
    now = [0.0]
    writer = SegmentWriter(tmp_path, 0, ATTRIBUTES, clock=lambda: now[0])
    assert writer.maybe_seal() is None
    record(writer, b"d", batch({b"%d" % i: row() for i in range(1000)}))
    now[0] = 29
    assert writer.maybe_seal() is None
    now[0] = 30
    assert writer.maybe_seal() == tmp_path / "rank00000-000001.h5"
    assert writer.maybe_seal() is None
    for _ in range(100):
        assert writer.maybe_seal() is None
        record(writer, b"d", batch({b"%d" % i: row() for i in range(1000)}))
    assert writer.maybe_seal() == tmp_path / "rank00000-000002.h5"
    assert writer.seal() is None


def test_never_over_segments_of_an_earlier_run(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, 0, ATTRIBUTES)
    record(writer, b"", batch({b"x": row()}))
    writer.seal()
    with pytest.raises(MpingestError, match="run 1 was recorded before"):
        SegmentWriter(tmp_path, 0, ATTRIBUTES)


def test_refuses_a_path_that_no_block_holds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too long"):
        SegmentWriter(tmp_path, 0, ATTRIBUTES).record_directory(b"x" * 200_000, DirectoryState.COMPLETE)


def _record_and_seal(folder: Path, largest_file: int | None = None) -> None:
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    writer = SegmentWriter(folder, 0, ATTRIBUTES)
    for number in range(20):
        record(writer, b"d", batch({b"%d-%d" % (number, i): row(i * 7919) for i in range(1000)}))
        try:
            writer.seal()
        except OSError:
            assert largest_file is not None
            assert not list(folder.iterdir())
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            largest_file = None


def test_sigkill_leaves_whole_segments_or_none(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt, delay in enumerate(np.linspace(0.005, 0.15, 10)):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        process = context.Process(target=_record_and_seal, args=(folder,))
        process.start()
        time.sleep(delay)
        process.kill()
        process.join()
        for number, sealed in enumerate(sealed_segments(folder)):
            verify(sealed)
            assert set(content(sealed)[1]) == {(b"d", b"%d-%d" % (number, i)) for i in range(1000)}


@pytest.mark.parametrize("largest_file", [100, 4096, 12_000])
def test_a_full_disk_loses_nothing_that_can_still_be_written(tmp_path: Path, largest_file: int) -> None:
    """The first seal fails as on a full disk; the next one writes what was recorded since, all of it."""
    process = multiprocessing.get_context("fork").Process(target=_record_and_seal, args=(tmp_path, largest_file))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert len(content(sealed_segments(tmp_path)[0])[1]) == 2000
