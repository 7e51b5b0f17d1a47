"""How fast trees are scanned, beside the tools in use: ``python -m tests.bench.scan [--dir DIR] [--json FILE]``.

Every program runs on every tree ``--rounds`` times, in random order; the table has medians and how they compare with
``find -printf``. Trees are made below ``--dir`` once, and read before they are measured, so that they are cached.

Then the same with a delay in each stat (an LD_PRELOAD shim, see ``_latency``), on smaller trees: a scan with one stat
in flight against one with many. ``--huge`` also measures the memory that a directory of two million names takes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpingest.farm.world import find_mpiexec
from tests.bench._latency import build_shim, delayed

FIELDS = "%m %n %U %G %i %s %T@ %C@ %p\\n"
PEER = "find -printf"
THREADS = 16


@dataclass(frozen=True)
class Program:
    """A command that scans a tree.

    measures: it prints its own seconds, without its start;  output: what it writes, removed before each run
    """

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    measures: bool = False
    output: Path | None = None

    def run(self, root: Path, environment: dict[str, str]) -> float:
        """Seconds."""
        command = [part.replace("ROOT", str(root)) for part in self.command]
        variables = os.environ | self.environment | environment
        if self.output is not None:
            self.output.unlink(missing_ok=True)
        began = time.perf_counter()
        done = subprocess.run(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        elapsed = time.perf_counter() - began
        return float(json.loads(done.stdout)["seconds"]) if self.measures else elapsed


def engine(threads: int, callers: int, native: bool) -> Program:
    command = [sys.executable, "-m", "tests.bench._walk", "ROOT", str(threads), str(callers)]
    kind = "native" if native else "portable"
    name = f"engine {kind} {threads} thread{'s' * (threads > 1)} {callers} caller{'s' * (callers > 1)}"
    return Program(name, command, {"MPINGEST_NATIVE": str(int(native))}, measures=True)


def scan_command(output: Path, threads: int, native: bool) -> Program | None:
    """``mpingest scan``, with its start; None where there is no such command."""
    command = [sys.executable, "-m", "mpingest", "scan"]
    if subprocess.run([*command, "--help"], capture_output=True, check=False).returncode != 0:
        return None
    name = f"mpingest scan {'native' if native else 'portable'} {threads} thread{'s' * (threads > 1)}"
    command += ["ROOT", "-o", str(output), "--stat-threads", str(threads)]
    return Program(name, command, {"MPINGEST_NATIVE": str(int(native))}, output=output)


def peers() -> list[Program]:
    """The tools in use, as far as they are installed."""
    fd = next((name for name in ("fd", "fdfind") if shutil.which(name)), "fd")
    programs = [
        Program(PEER, ["find", "ROOT", "-printf", FIELDS]),
        Program("bfs -printf", ["bfs", "ROOT", "-printf", FIELDS]),
        Program("fd --size", [fd, "--unrestricted", "--size", "+1ti", ".", "ROOT"]),
        Program("dwalk", ["mpirun", "-n", "2", "dwalk", "--quiet", "ROOT"]),
    ]
    wanted = ("find", "bfs", fd, "dwalk")
    return [program for program, name in zip(programs, wanted, strict=True) if shutil.which(name)]


def fill(directory: Path, count: int, prefix: str) -> None:
    directory.mkdir(parents=True)
    for number in range(count):
        os.close(os.open(directory / f"{prefix}_{number:07d}.dat", os.O_CREAT | os.O_WRONLY, 0o644))


def flat(root: Path, count: int = 60_000) -> None:
    fill(root, count, "flat")


def wide(root: Path, directories: int = 1200, files: int = 200, beside: int = 60_000) -> None:
    for number in range(directories):
        fill(root / f"group{number // 100:02d}" / f"set{number:05d}", files, f"file_{number:05d}")
    if beside:
        flat(root / "flat", beside)


def deep(root: Path, chains: int = 50, depth: int = 100, files: int = 59) -> None:
    for chain in range(chains):
        level = root / f"chain{chain:03d}"
        for number in range(depth):
            fill(level, files, "file")
            level /= f"level{number:03d}"


def made(parent: Path, name: str, make: Callable[[Path], None]) -> Path:
    """The tree of that name, made unless it is there."""
    root, unfinished = parent / name, parent / f".{name}"
    if not root.exists():
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(root)
    return root


Figures = dict[str, dict[str, float]]


def measure(programs: list[Program], trees: dict[str, Path], rounds: int, environment: dict[str, str]) -> Figures:
    """Median seconds by program and tree."""
    seconds: dict[tuple[str, str], list[float]] = {}
    for tree, root in trees.items():
        subprocess.run(["find", root, "-size", "+1P"], stderr=subprocess.DEVNULL, check=False)
        for _ in range(rounds):
            for program in random.sample(programs, len(programs)):
                seconds.setdefault((program.name, tree), []).append(program.run(root, environment))
    return {
        program.name: {tree: statistics.median(seconds[program.name, tree]) for tree in trees} for program in programs
    }


def show(figures: Figures, base: str) -> None:
    """Seconds, and how they compare with those of ``base``."""
    trees = list(figures[base])
    print(f"{'':42}" + "".join(f"{tree:>18}" for tree in trees))
    for name, row in figures.items():
        cells = (f"{row[tree]:9.3f} {row[tree] / figures[base][tree]:5.2f} x " for tree in trees)
        print(f"{name:42}" + "".join(f"{cell:>18}" for cell in cells))


def show_speedups(figures: Figures, pairs: list[tuple[str, str]]) -> dict[str, dict[str, float]]:
    """How many times as fast as the second of each pair the first is."""
    speedups = {
        fast: {tree: figures[slow][tree] / figures[fast][tree] for tree in figures[fast]} for fast, slow in pairs
    }
    for fast, row in speedups.items():
        print(f"{fast:42}" + "".join(f"{factor:15.2f} x " for factor in row.values()))
    return speedups


def huge(parent: Path) -> dict[str, int]:
    """Bytes that the scan of two million names takes beyond what there was, by implementation."""
    root = made(parent, "huge", lambda path: flat(path, 2_000_000))
    memory = {}
    for native in (True, False):
        program = engine(THREADS, 1, native)
        command = [part.replace("ROOT", str(root)) for part in program.command]
        done = subprocess.run(command, env=os.environ | program.environment, stdout=subprocess.PIPE, check=True)
        memory[program.name] = int(json.loads(done.stdout)["memory"])
        print(f"{program.name:42}{memory[program.name] / 2**20:12.1f} MiB")
    return memory


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--dir", type=Path, default=Path(tempfile.gettempdir()) / "mpingest-bench", help="for the trees"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--real", type=Path, default=Path("/usr"), help="a tree as it is found in life")
    parser.add_argument("--latency", type=int, default=300, help="microseconds of delay in each stat")
    parser.add_argument("--only", choices=["warm", "worlds", "latency"], help="one part of the bench")
    parser.add_argument("--huge", action="store_true", help="also the memory of a directory of 2,000,000 names")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    return parser.parse_args()


def warm(options: argparse.Namespace) -> dict[str, object]:
    trees = {
        "wide": made(options.dir, "wide", wide),
        "deep": made(options.dir, "deep", deep),
        "flat": made(options.dir, "flat", flat),
        "real": options.real,
    }
    engines = [engine(threads, threads, native) for native in (True, False) for threads in (1, 2)]
    commands = [program for native in (True, False) if (program := scan_command(options.dir / "scan.h5", 1, native))]
    figures = measure([*peers(), *engines, *commands], trees, options.rounds, {})
    print(f"warm cache: seconds (median of {options.rounds}) and ratio to {PEER}")
    show(figures, PEER)
    print("\ntwo threads against one")
    speedups = show_speedups(figures, [(engines[1].name, engines[0].name), (engines[3].name, engines[2].name)])
    return {"seconds": figures, "two threads": speedups}


def latency(options: argparse.Namespace, shim: Path) -> dict[str, object]:
    trees = {
        "wide": made(options.dir, "wide-small", lambda root: wide(root, 60, beside=0)),
        "flat": made(options.dir, "flat-small", lambda root: flat(root, 12_000)),
    }
    engines, pairs = [], []
    for native in (True, False):
        alone = engine(1, 1, native)
        together = [engine(THREADS, callers, native) for callers in (1, 4, THREADS)]
        engines += [alone, *together]
        pairs += [(program.name, alone.name) for program in together]
    for native in (True, False):
        one, many = (scan_command(options.dir / "scan.h5", threads, native) for threads in (1, THREADS))
        if one and many:
            engines += [one, many]
            pairs.append((many.name, one.name))
    figures = measure([*peers(), *engines], trees, options.rounds, delayed(shim, options.latency))
    print(f"\n{options.latency} us in each stat: seconds (median of {options.rounds}) and ratio to {PEER}")
    show(figures, PEER)
    print("\nmany threads against one")
    return {"seconds": figures, "many threads": show_speedups(figures, pairs)}


WORLDS = (1, 2, 4, 8)


def worlds(options: argparse.Namespace, mpiexec: str) -> dict[str, float]:
    """Median seconds by workers, from when all ranks are there: how more workers do on the cores that there are.

    Beside them one ``find``, and two at once that share the tree: what two processes can gain on this machine.
    """
    root = made(options.dir, "worlds", lambda path: wide(path, 2400, 200, beside=120_000))
    halves = [sorted(root.iterdir())[part::2] for part in range(2)]
    seconds: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        for finds in ([[root]], halves):
            began = time.perf_counter()
            running = [
                subprocess.Popen(["find", *paths, "-printf", FIELDS], stdout=subprocess.DEVNULL) for paths in finds
            ]
            for process in running:
                process.wait()
            seconds.setdefault(f"find x {len(finds)}", []).append(time.perf_counter() - began)
        for workers in random.sample(WORLDS, len(WORLDS)):
            command = [mpiexec, "-n", str(workers + 1), sys.executable, "-m", "mpingest", "scan", str(root)]
            command += ["--format", "json", "--stat-threads", "1"]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            seconds.setdefault(f"workers x {workers}", []).append(float(json.loads(done.stdout)["scan_seconds"]))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"\nworlds: seconds (median of {options.rounds}) and how many times as fast as one")
    for name, value in medians.items():
        print(f"{name:42}{value:9.3f} {medians[name.split(' x ')[0] + ' x 1'] / value:5.2f} x")
    return medians


def main() -> None:
    options = arguments()
    options.dir.mkdir(parents=True, exist_ok=True)
    results: dict[str, object] = {"rounds": options.rounds, "latency_us": options.latency}
    if options.only in (None, "warm"):
        results["warm"] = warm(options)
    mpiexec = find_mpiexec()
    if mpiexec is None:
        print("no mpiexec: no worlds")
    elif options.only in (None, "worlds"):
        results["worlds"] = worlds(options, mpiexec)
    shim = build_shim(options.dir)
    if shim is None:
        print("no C compiler: no stats with latency")
    elif options.only in (None, "latency"):
        results["latency"] = latency(options, shim)
    if options.huge:
        results["huge"] = huge(options.dir)
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
