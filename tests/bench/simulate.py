"""The farm at 64 to 16,384 workers, simulated: ``python -m tests.bench.simulate [--full] [--json FILE]``.

The state machines are those of ``mpingest.farm``, driven by a virtual clock instead of MPI and threads; what is around
them are costs (``simulation/costs.py``): the time that rank 0 needs for each message, one after the other; latency and
bandwidth; loops that sleep ever longer, up to 5 ms, and so notice messages late; stats, getdents and requests. What the
trees look like and where that is from stands in ``simulation/shapes.py``.

``scan``    nothing but stats, 8 in flight a rank, of 0.86 ms each, and no more than 544,000 a second of all ranks
``ingest``  besides, a request of 14 ms for each entry, 2 in flight a rank

Efficiency is the time that any schedule takes at least, over that of the simulated run, from the first message until
the last rank knows the end. At least it takes the longest of: all the work, shared out evenly; the longest chain of
things that must wait for one another (a directory is found by scanning its parent, names of one directory come one
after the other); and what the file system's servers can do. ``bound`` says which. Shares are entries of a worker,
the least and the most, relative to the mean.

"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

from tests.bench.simulation.clock import Figures, Simulation
from tests.bench.simulation.costs import Costs
from tests.bench.simulation.shapes import FLAT, SHAPES

QUICK = (64, 256)
FULL = (64, 1024, 4096, 10_000, 16_384)
ENTRIES_EACH = 1000
MODES = {"scan": Costs(), "ingest": Costs(ingest=14e-3)}


@dataclass(frozen=True)
class Case:
    """One run. entries: of the whole tree."""

    shape: str
    mode: str
    workers: int
    entries: int

    def run(self) -> tuple[Figures, float]:
        began = time.perf_counter()
        figures = Simulation(SHAPES[self.shape], self.entries, self.workers, MODES[self.mode]).run()
        return figures, time.perf_counter() - began


def cases(is_full: bool) -> Iterator[Case]:
    """Just enough entries for every worker; a flat directory is as large as the largest one found, if there is time."""
    for workers in FULL if is_full else QUICK:
        for mode in MODES:
            for shape in SHAPES:
                yield Case(shape, mode, workers, FLAT if is_full and shape == "flat" else ENTRIES_EACH * workers)


def line(case: Case, figures: Figures) -> str:
    return (
        f"{case.mode:7} {case.shape:10} {case.workers:7,} {figures.entries:11,} {figures.seconds:8.2f} "
        f"{figures.efficiency:6.1%} {figures.bound:8} {figures.message_rate:10,.0f} {figures.busy:6.1%} "
        f"{figures.steals:8,} {figures.least:5.2f}-{figures.most:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--full", action="store_true", help="up to 16,384 workers; takes many minutes")
    parser.add_argument("--quick", action="store_false", dest="full", help="less than 20 s (the default)")
    parser.add_argument("--processes", type=int, metavar="N", help="runs at a time [default: one per core]")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    print("mode    shape      workers     entries  seconds  effic. bound    messages/s rank 0   steals  shares")
    results = []
    with ProcessPoolExecutor(options.processes) as pool:
        runs = [(case, pool.submit(case.run)) for case in cases(options.full)]
        for case, run in runs:
            figures, took = run.result()
            print(line(case, figures), flush=True)
            derived = {"efficiency": figures.efficiency, "message_rate": figures.message_rate, "took": took}
            results.append(asdict(case) | asdict(figures) | derived)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
