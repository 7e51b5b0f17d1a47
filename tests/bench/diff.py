"""How fast a run sees that nothing has changed: ``python -m tests.bench.diff [--rows N] [--entries N] [--dir DIR]``.

First the diff alone, over synthetic checkpoints of ``--rows`` rows: directories are looked up and compared as a worker
does it, names in no order and in slices of 1,000. Then whole commands over a tree of ``--entries`` empty files: a
``mpingest start`` that finds nothing to do, beside ``mpingest scan`` of the same tree.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mpingest.manifest.block import RESULT_DTYPE, Block
from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.diff import DirectoryDiff
from mpingest.manifest.states import DirectoryState
from mpingest.manifest.table import JobAttributes, TableWriter
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch
from mpingest.scan.names import bounds
from mpingest.zone.embedded import EmbeddedZone

SLICE = 1000
ROUNDS = 5
_PIECE = 1 << 16
_DIGITS = 8


def entries(first: int, count: int) -> EntryBatch:
    """Files numbered from ``first``, with sizes, inodes and times of their own."""
    numbers = np.arange(first, first + count)
    digits = numbers[:, None] // 10 ** np.arange(_DIGITS - 1, -1, -1) % 10 + ord("0")
    rows = np.zeros(count, ENTRY_DTYPE)
    rows["mode"], rows["nlink"], rows["uid"], rows["gid"] = 0o100644, 1, 1000, 100
    rows["inode"] = numbers + 1_000_000
    rows["size"] = numbers * 2_654_435_761 % (1 << 32)
    rows["mtime_ns"] = rows["ctime_ns"] = 10**18 + numbers * 1_000_003
    return EntryBatch(digits.astype(np.uint8).tobytes(), bounds(np.full(count, _DIGITS, np.uint32)), rows)


def directories(rows: int, sizes: tuple[int, int]) -> Iterator[tuple[bytes, int, int]]:
    """Paths of directories of random sizes, and the numbers of their entries: first and count."""
    random = np.random.default_rng(1)
    first = number = 0
    while first < rows:
        count = min(int(random.integers(sizes[0], sizes[1], endpoint=True)), rows - first)
        yield b"d%06d" % number, first, count
        first += count
        number += 1


def write_checkpoint(path: Path, rows: int, sizes: tuple[int, int]) -> None:
    with TableWriter(path, JobAttributes("bench", b"/data", "/zone/home/bench", 1, "localhost")) as table:
        for directory, first, count in directories(rows, sizes):
            for start in range(first, first + count, _PIECE):
                batch = entries(start, min(_PIECE, first + count - start))
                results = np.zeros(len(batch), RESULT_DTYPE)
                state = DirectoryState.COMPLETE
                table.append(Block.of_directory(directory, state, entries=batch, results=results))


def found(first: int, count: int) -> Iterator[EntryBatch]:
    """The entries of a directory in the order of a hash, in slices, as a scan finds them."""
    random = np.random.default_rng(first)
    starts = np.arange(first, first + count, min(_PIECE, count))
    for start in random.permutation(starts).tolist():
        piece = entries(start, min(_PIECE, first + count - start))
        order = random.permutation(len(piece))
        for begin in range(0, len(piece), SLICE):
            yield piece.select(order[begin : begin + SLICE])


def diff_rate(label: str, folder: Path, rows: int, sizes: tuple[int, int]) -> None:
    path = folder / "checkpoint.h5"
    write_checkpoint(path, rows, sizes)
    look_up = index = classify = 0.0
    number = 0
    with Checkpoint.open(path) as checkpoint:
        for directory, first, count in directories(rows, sizes):
            began = time.process_time()
            known = checkpoint.directory(directory)
            looked_up = time.process_time()
            diff = DirectoryDiff(known)
            indexed = time.process_time()
            look_up += looked_up - began
            index += indexed - looked_up
            for batch in found(first, count):
                began = time.process_time()
                changed = diff.classify(batch).change.any()
                classify += time.process_time() - began
                assert not changed
            began = time.process_time()
            assert not len(diff.vanished()[0])
            classify += time.process_time() - began
            number += 1
    total = look_up + index + classify
    print(
        f"{label}: {rows:,} entries in {number:,} directories, {path.stat().st_size / rows:.1f} bytes an entry\n"
        f"  {rows / total:,.0f} entries a CPU second: look up {look_up / rows * 1e9:.0f} ns an entry, "
        f"index {index / rows * 1e9:.0f} ns, compare {classify / rows * 1e9:.0f} ns; "
        f"peak memory so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB"
    )


def make_tree(root: Path, count: int) -> None:
    """Empty files, a hundred in a directory, a hundred directories in a group."""
    for directory in range(count // 100):
        path = root / f"group{directory // 100:03d}" / f"set{directory % 100:02d}"
        path.mkdir(parents=True)
        for number in range(100):
            os.close(os.open(path / f"frame{number:04d}.dat", os.O_CREAT | os.O_WRONLY))


def cpu_of_children() -> float:
    """Seconds that all processes took which have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def no_change_run(folder: Path, count: int) -> None:
    """Medians of whole processes, from their start to their end, in turns: wall time, and time of all their CPUs."""
    root = folder / "tree"
    make_tree(root, count)
    program = [sys.executable, "-m", "mpingest"]
    with EmbeddedZone() as zone:
        environment = os.environ | {"IRODS_ENVIRONMENT_FILE": str(zone.environment_file)}
        start = [
            *program,
            "start",
            "--jobs-dir",
            str(folder / "jobs"),
            str(root),
            f"/{zone.zone}/home/{zone.user}/tree",
        ]
        commands = {
            "scan": [*program, "scan", str(root)],
            "scan -o": [*program, "scan", "-o", str(folder / "scan.h5"), str(root)],
            "start, nothing changed": start,
            "scan --help": [*program, "scan", "--help"],
            "start --help": [*program, "start", "--help"],
        }
        subprocess.run(start, env=environment, check=True, capture_output=True)
        time.sleep(1)  # until all timestamps are old enough to be settled
        subprocess.run(start, env=environment, check=True, capture_output=True)
        wall: dict[str, list[float]] = {name: [] for name in commands}
        cpu: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                began, used = time.perf_counter(), cpu_of_children()
                subprocess.run(command, env=environment, check=True, capture_output=True)
                wall[name].append(time.perf_counter() - began)
                cpu[name].append(cpu_of_children() - used)
    print(f"{'':<26}{'wall':>8}{'x scan':>8}{'CPU':>10}{'x scan':>8}")
    for name in commands:
        ratios = []
        for seconds in (wall, cpu):
            median = statistics.median(seconds[name])
            ratios.append(f"{median:>8.2f} s{median / statistics.median(seconds['scan']):>7.2f}")
        print(f"{name:<24}{''.join(ratios)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the checkpoints; 0: none")
    parser.add_argument("--entries", type=int, default=300_000, help="files in the tree; 0: none")
    parser.add_argument("--dir", type=Path, help="where to make them")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as name:
        if arguments.rows:
            diff_rate("ordinary directories", Path(name), arguments.rows, (100, 1000))
            diff_rate("one directory", Path(name), arguments.rows, (arguments.rows, arguments.rows))
        if arguments.entries:
            no_change_run(Path(name), arguments.entries)


if __name__ == "__main__":
    main()
