"""Merges shared by a world, and alone: ``python -m tests.bench.merge [--ranks N] [ENTRIES ...]``.

A checkpoint of ENTRIES entries with random names, 1,000 a directory, is merged with 40 segments that hold them all
once more, directory after directory dealt out among the segments; then with one segment that holds few of them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mpingest.farm.world import find_mpiexec, open_world
from mpingest.jobs.merging import merge_shared
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter, sealed_segments
from mpingest.manifest.states import Change, DirectoryState
from mpingest.manifest.table import JobAttributes
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

ATTRIBUTES = JobAttributes("bench", b"/data", "/zone/home/bench", 1, "localhost")
SEGMENTS = 40
DIRECTORY = 1000
FEW = 10


def entries(number: int) -> EntryBatch:
    """Of one directory, as incompressible as it gets."""
    random = np.random.default_rng(number)
    rows = np.zeros(DIRECTORY, ENTRY_DTYPE)
    rows["mode"], rows["nlink"] = 0o100644, 1
    for name in ("inode", "size"):
        rows[name] = random.integers(0, 1 << 32, DIRECTORY)
    for name in ("mtime_ns", "ctime_ns"):
        rows[name] = random.integers(0, 1 << 60, DIRECTORY)
    names = random.bytes(8 * DIRECTORY).hex().encode()
    return EntryBatch(names, np.arange(0, len(names) + 1, 16, np.uint32), rows)


def record(folder: Path, rank: int, directories: range) -> None:
    writer = SegmentWriter(folder, rank, ATTRIBUTES)
    zeros = np.zeros(DIRECTORY, np.uint8)
    for number in directories:
        writer.record(b"d%07d" % number, entries(number), zeros + np.uint8(Change.NEW), zeros, zeros.astype(np.int32))
        writer.record_directory(b"d%07d" % number, DirectoryState.COMPLETE)
    writer.seal()


def world(folder: Path, output: Path) -> None:
    """A rank. Rank 0 tells how long it took; the processor time, and the most memory in MiB, of each rank."""
    comm = open_world()
    segments = sealed_segments(folder)
    comm.Barrier()
    began, cpu = time.perf_counter(), time.process_time()
    merge_shared(comm, folder / "checkpoint.h5", segments, output, ATTRIBUTES)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    row = cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = comm.gather(row)
    if comm.rank == 0:
        print(json.dumps([seconds, rows]))


def tell(what: str, ranks: int, command: list[str | Path]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    seconds, rows = json.loads(done.stdout)
    cpu, memory = zip(*rows, strict=True)
    each = ", ".join(f"{number:.2f}" for number in cpu)
    print(f"  {what}, {ranks} ranks: {seconds:.2f} s; processor {each} s; at most {max(memory):,.0f} MiB", flush=True)


def copied(source: Path, output: Path) -> float:
    """Seconds that the system takes to copy a file."""
    began = time.perf_counter()
    shutil.copyfile(source, output)
    return time.perf_counter() - began


def measure(mpiexec: str, ranks: int, count: int, folder: Path) -> None:
    checkpoint, output = folder / "checkpoint.h5", folder / "new.h5"

    def both(what: str) -> None:
        for number in (1, ranks):
            program = [sys.executable, "-m", "tests.bench.merge", "--world", folder, output]
            tell(what, number, [mpiexec, "-n", str(number), *program])
        with Checkpoint.open(output) as merged:
            assert merged.summary().entries == directories * DIRECTORY

    directories = count // DIRECTORY
    with multiprocessing.Pool(2) as pool:
        pool.starmap(record, [(folder, rank, range(rank, directories, SEGMENTS)) for rank in range(SEGMENTS)])
    merge(None, sealed_segments(folder), checkpoint, ATTRIBUTES)
    size = checkpoint.stat().st_size / (directories * DIRECTORY)
    print(f"{directories * DIRECTORY:,} entries, {size:.1f} bytes an entry", flush=True)
    both(f"with {SEGMENTS} segments of the same")

    for segment in sealed_segments(folder):
        segment.unlink()
    record(folder, 0, range(0, directories, directories // FEW))
    both(f"with {FEW} directories of the same")
    print(f"  a copy of the checkpoint: {copied(checkpoint, output):.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("counts", nargs="*", type=int, default=[1_000_000, 2_000_000], metavar="ENTRIES")
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--world", nargs=2, type=Path, help=argparse.SUPPRESS)
    options, _ = parser.parse_known_args()
    if options.world:
        world(*options.world)
        return
    mpiexec = find_mpiexec()
    if mpiexec is None:
        print("no mpiexec: no worlds")
        return
    for count in options.counts:
        with tempfile.TemporaryDirectory() as directory:
            measure(mpiexec, options.ranks, count, Path(directory))


if __name__ == "__main__":
    main()
