"""Bytes an entry, classify rate and merge rate on real trees: ``python -m tests.bench.manifest [ROOT ...]``."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from glob import glob
from pathlib import Path

import numpy as np

from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.diff import DirectoryDiff
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change, DirectoryState
from mpingest.manifest.table import JobAttributes
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch, stat_row

Tree = list[tuple[bytes, EntryBatch]]


def attributes(run: int) -> JobAttributes:
    return JobAttributes("bench", b"/data", "/zone/home/bench", run, "localhost")


def scan(root: bytes) -> Iterator[tuple[bytes, EntryBatch]]:
    for directory, _, _ in os.walk(root):
        entries = list(os.scandir(directory))
        rows = [stat_row(entry.stat(follow_symlinks=False)) for entry in entries]
        yield directory.lstrip(b"/"), EntryBatch.build([entry.name for entry in entries], rows)


def synthetic(directories: int, size: int) -> Tree:
    """Directories of files with random names, sizes, inodes and times: as incompressible as it gets."""
    random = np.random.default_rng(1)
    tree = []
    for number in range(directories):
        rows = np.zeros(size, ENTRY_DTYPE)
        rows["mode"], rows["nlink"] = 0o100644, 1
        for name in ("inode", "size"):
            rows[name] = random.integers(0, 1 << 32, size)
        for name in ("mtime_ns", "ctime_ns"):
            rows[name] = random.integers(0, 1 << 60, size)
        tree.append((b"d%06d" % number, EntryBatch.build([random.bytes(8).hex().encode() for _ in range(size)], rows)))
    return tree


def write_segments(tree: Tree, directory: Path, run: int = 1) -> list[Path]:
    writer = SegmentWriter(directory, 0, attributes(run))
    sealed = []
    for path, batch in tree:
        zeros = np.zeros(len(batch), np.uint8)
        writer.record(path, batch, zeros + np.uint8(Change.NEW), zeros, np.zeros(len(batch), np.int32))
        writer.record_directory(path, DirectoryState.COMPLETE)
        sealed.append(writer.maybe_seal())
    sealed.append(writer.seal())
    return [path for path in sealed if path]


def measure(label: str, tree: Tree, directory: Path) -> None:
    entries = sum(len(batch) for _, batch in tree)
    began = time.perf_counter()
    segments = write_segments(tree, directory)
    sealed = time.perf_counter()
    output = directory / "checkpoint.h5"
    merge(None, segments, output, attributes(1))
    merged = time.perf_counter()
    merge(output, segments, output, attributes(1))
    again = time.perf_counter()
    unchanged = 0
    with Checkpoint.open(output) as checkpoint:
        for path, batch in tree:
            diff = DirectoryDiff(checkpoint.directory(path))
            for start in range(0, len(batch), 1000):
                unchanged += int(np.sum(diff.classify(batch.slice(start, start + 1000)).change == Change.UNCHANGED))
    done = time.perf_counter()
    assert unchanged == entries
    print(
        f"{label}: {entries:,} entries in {len(tree):,} directories\n"
        f"  checkpoint {output.stat().st_size / entries:.1f} bytes an entry\n"
        f"  record and seal {entries / (sealed - began):,.0f} entries/s, {len(segments)} segments\n"
        f"  merge {entries / (merged - sealed):,.0f} entries/s, "
        f"with a checkpoint of the same size {2 * entries / (again - merged):,.0f}\n"
        f"  look up and classify {entries / (done - again):,.0f} entries/s, "
        f"{(done - again) / len(tree) * 1e6:,.0f} us a directory"
    )


def main() -> None:
    roots = [os.fsencode(root) for root in sys.argv[1:]]
    roots = roots or [b"/usr/share/doc", *(os.fsencode(root) for root in glob("/usr/lib/python3*"))]
    trees = {
        "real trees": [visited for root in roots for visited in scan(root)],
        "random names, 1,000 a directory": synthetic(300, 1000),
        "random names, one directory": synthetic(1, 300_000),
    }
    for label, tree in trees.items():
        with tempfile.TemporaryDirectory() as directory:
            measure(label, tree, Path(directory))
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
