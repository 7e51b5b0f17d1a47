"""Damages a segment in every way that disks and crashes know, and looks what becomes of it.

By hand: ``python -m tests.manifest.damage [CASES]``.
"""

from __future__ import annotations

import faulthandler
import hashlib
import multiprocessing
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np

from mpingest.manifest import table
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import DirectoryState
from mpingest.manifest.table import DamagedTable
from mpingest.manifest.verify import verify
from tests.manifest.trees import ATTRIBUTES, batch, record, row, segment

WAYS = ("bit", "byte", "zeros", "ones", "noise", "torn", "torn and filled", "shifted", "grown")
MERGE_EVERY = 4
"""Merging takes most of the time; all ways come by, for there are nine."""
MEMORY = 1 << 30
"""Bytes that one process may allocate beyond what it has: a healthy read takes a hundredth of it."""
SECONDS = 20
"""After which one case counts as hanging."""
_PER_PROCESS = 1000
_LIMITS = table.BlockLimits(rows=64, name_bytes=2048, directories=16, path_bytes=1024)


def whole_segment(folder: Path, *, small_blocks: bool) -> Path:
    """A segment with directories that span blocks, empty ones and, in small blocks, several chunks a dataset."""
    with mock.patch.object(table, "LIMITS", _LIMITS if small_blocks else table.LIMITS):
        writer = SegmentWriter(folder, 0, ATTRIBUTES)
        generator = np.random.default_rng(1)
        for directory in range(40):
            path = b"d%d/\xff%s" % (directory % 3, b"x" * directory)
            sizes = generator.integers(0, 1 << 40, 150 if directory == 20 else directory % 7).tolist()
            record(writer, path, batch({b"f%d" % i: row(size, inode=size) for i, size in enumerate(sizes)}))
            writer.record_directory(path, DirectoryState.COMPLETE)
        sealed = writer.seal()
    assert sealed is not None
    return sealed


def damaged(data: bytes, way: str, generator: random.Random) -> bytes:
    """The bytes of a file, damaged somewhere."""
    at = generator.randrange(len(data))
    size = 1 if way in ("bit", "byte") else generator.choice((1, 2, 4, 8, 16, 64, 512, 4096))
    head, hit, tail = data[:at], data[at : at + size], data[at + size :]
    match way:
        case "bit":
            hit = bytes([hit[0] ^ 1 << generator.randrange(8)])
        case "byte" | "noise":
            hit = generator.randbytes(len(hit))
        case "zeros" | "ones":
            hit = (b"\0" if way == "zeros" else b"\xff") * len(hit)
        case "torn":
            hit = tail = b""
        case "torn and filled":
            hit, tail = bytes(len(hit)), bytes(len(tail))
        case "shifted":
            hit, tail = tail, hit
        case "grown":
            tail += generator.randbytes(size)
    return head + hit + tail


def content(path: Path) -> bytes:
    """A digest of where a table comes from and of all that it holds."""
    digest = hashlib.sha256()
    with Checkpoint.open(path) as checkpoint:
        summary = (checkpoint.attributes, checkpoint.program, checkpoint.version, checkpoint.summary())
        digest.update(repr(summary).encode())
        for piece in checkpoint:
            digest.update(repr((piece.path, piece.state, piece.entries.names())).encode())
            digest.update(piece.entries.rows.tobytes() + piece.results.tobytes())
    return digest.digest()


def merged(folder: Path, suspect: Path) -> bytes:
    """Content of a checkpoint that a merge has made of the suspect and a segment that is whole."""
    folder.mkdir(exist_ok=True)
    good = folder / "rank00003-000001.h5"
    if not good.exists():
        assert segment(folder, {b"good": batch({b"x": row()})}, 3) == good
    taken = folder / "rank00000-000001.h5"
    (folder / "rank00000-000001.h5.damaged").unlink(missing_ok=True)
    shutil.copyfile(suspect, taken)
    result = merge(None, [taken, good], folder / "checkpoint.h5", ATTRIBUTES)
    assert taken.exists() == (not result.damaged) == (result.merged == [taken, good])
    assert (folder / "rank00000-000001.h5.damaged").exists() == bool(result.damaged)
    return content(folder / "checkpoint.h5")


def examine(cases: range, whole: Path, folder: Path) -> Counter[str]:
    """How many cases of each way are damage; raises AssertionError where rows come wrong, whatever else is raised.

    The case number alone says what is damaged and how.
    """
    expected, data = content(whole), whole.read_bytes()
    with_it = merged(folder / "merged", whole)
    without_it = merged(folder / "merged", Path("/dev/null"))
    suspect = folder / "suspect.h5"
    found: Counter[str] = Counter()
    for case in cases:
        way = WAYS[case % len(WAYS)]
        suspect.write_bytes(damaged(data, way, random.Random(case)))
        signal.alarm(SECONDS)
        try:
            is_damaged = _is_damaged(suspect, expected)
            if case % MERGE_EVERY == 0:
                assert merged(folder / "merged", suspect) == (without_it if is_damaged else with_it)
        except BaseException as error:
            error.add_note(f"case {case}: {way}")
            raise
        finally:
            signal.alarm(0)
        found[way] += is_damaged
    return found


def _is_damaged(suspect: Path, expected: bytes) -> bool:
    try:
        same = content(suspect) == expected
    except DamagedTable as error:
        assert str(suspect) in str(error)
        assert "\n" not in str(error)
        return True
    assert same, "other content than before"
    verify(suspect)
    return False


def examine_apart(cases: range, whole: Path, folder: Path) -> Counter[str]:
    """The same in a process of its own, with little memory: HDF5 may do anything."""
    folder.mkdir()
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    process = context.Process(target=_answer, args=(cases, whole, folder, answer))
    process.start()
    process.join()
    assert process.exitcode == 0, f"cases {cases}: exit code {process.exitcode}"
    return answer.get()


def _answer(cases: range, whole: Path, folder: Path, answer: multiprocessing.SimpleQueue) -> None:
    faulthandler.enable()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY, mapped + MEMORY))
    try:
        answer.put(examine(cases, whole, folder))
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1) from None


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    totals: Counter[str] = Counter()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        for small_blocks in (True, False):
            folder = Path(name, str(small_blocks))
            folder.mkdir()
            whole = whole_segment(folder, small_blocks=small_blocks)
            print(f"{whole.stat().st_size:,} bytes, small blocks: {small_blocks}", flush=True)
            for start in range(0, count // 2, _PER_PROCESS):
                try:
                    totals += examine_apart(range(start, start + _PER_PROCESS), whole, folder / str(start))
                except AssertionError as error:
                    failed += 1
                    print(error, flush=True)
                shutil.rmtree(folder / str(start), ignore_errors=True)
    print(f"{count:,} cases: {failed} processes failed; damage by way: {dict(totals)}")
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
