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

Measured with ``--full`` (1,000 entries a worker; ``flat`` as large as the largest directory found), those with 1,024
but ``flat``, and two with 10,000 (``scan namespace``, ``ingest chains``), again since loops wait for messages:

    mode    shape      workers     entries  seconds  effic. bound    messages/s rank 0   steals  shares
    scan    namespace       64      64,000     0.36  82.2% work          4,788   7.7%      394  0.82-1.22
    scan    small           64      64,000     1.04  95.6% work          1,522   2.5%      313  0.99-1.02
    scan    flat            64  26,646,573    53.70  99.2% path          2,137   3.5%   43,801  0.98-1.17
    scan    chains          64      64,000     0.88  98.2% path            100   0.1%        9  0.00-6.40
    ingest  namespace       64      64,000     7.48  97.5% work            236   0.4%      339  0.98-1.02
    ingest  small           64      64,000     8.06  99.1% work            244   0.4%      337  1.00-1.00
    ingest  flat            64  26,646,573  2960.22 100.0% work             19   0.0%    7,515  1.00-1.00
    ingest  chains          64      64,000     7.30  97.7% work            228   0.4%      349  0.89-1.03
    scan    namespace    1,024   1,024,000     2.12  95.2% servers      14,307  23.1%    7,010  0.94-1.51
    scan    small        1,024   1,024,000     2.70  97.0% servers       8,557  14.2%    4,056  0.98-1.02
    scan    flat         1,024  26,646,573    53.38  99.8% path          3,247   5.6%   80,152  0.93-18.84
    scan    chains       1,024   1,024,000     1.94  97.9% servers         811   0.8%      159  0.00-6.40
    ingest  namespace    1,024   1,024,000     7.67  95.1% work          3,913   6.6%    5,899  0.98-1.04
    ingest  small        1,024   1,024,000     8.35  97.5% work          3,064   5.3%    4,148  0.99-1.01
    ingest  flat         1,024  26,646,573   186.03  99.4% work          6,449  10.7%  272,439  1.00-1.01
    ingest  chains       1,024   1,024,000     7.40  96.4% work          3,584   6.0%    5,488  0.86-1.04
    scan    namespace    4,096   4,096,000     8.18  98.7% servers      15,614  25.2%   29,853  0.93-1.66
    scan    small        4,096   4,096,000    11.24  97.6% servers      11,442  19.3%   22,220  0.97-1.05
    scan    flat         4,096  26,646,573    53.56  99.5% path          1,035   1.7%   25,300  0.87-76.50
    scan    chains       4,096   4,096,000     7.73  98.4% servers         788   0.8%      639  0.00-6.40
    ingest  namespace    4,096   4,096,000     9.09  88.8% servers      12,398  20.1%   27,346  0.92-1.17
    ingest  small        4,096   4,096,000    11.70  93.8% servers       9,981  16.6%   23,481  0.95-1.07
    ingest  flat         4,096  26,646,573    53.76  99.2% path         37,639  67.5% 1,224,489  0.99-1.16
    ingest  chains       4,096   4,096,000     8.90  85.5% servers      22,550  37.1%   53,029  0.13-1.22
    scan    namespace   10,000  10,000,000    19.84  99.4% servers      16,197  26.1%   75,403  0.93-1.80
    scan    small       10,000  10,000,000    25.94  97.6% servers      10,340  17.3%   47,239  0.98-1.03
    scan    flat        10,000  26,646,573    53.56  99.5% path          1,258   2.0%   25,318  0.75-186.56
    scan    chains      10,000  10,000,000    18.65  99.6% servers         842   0.8%    1,561  0.00-6.40
    ingest  namespace   10,000  10,000,000    20.95  94.1% servers      14,675  23.6%   77,600  0.54-1.86
    ingest  small       10,000  10,000,000    25.99  97.4% servers       8,859  14.8%   44,122  0.98-1.04
    ingest  flat        10,000  26,646,573    54.41  98.0% path          8,084  14.2%  266,616  0.88-2.86
    ingest  chains      10,000  10,000,000    19.41  95.7% servers      17,538  29.8%  145,506  0.05-1.50
    scan    namespace   16,384  16,384,000    32.47  99.5% servers      16,397  26.5%  125,179  0.93-1.84
    scan    small       16,384  16,384,000    42.44  97.4% servers       9,599  16.2%   67,951  0.98-1.04
    scan    flat        16,384  26,646,573    53.54  99.5% path          1,500   2.3%   25,498  0.61-305.36
    scan    chains      16,384  16,384,000    30.54  99.6% servers         862   0.9%    2,559  0.00-6.40
    ingest  namespace   16,384  16,384,000    34.17  94.5% servers      15,783  25.4%  137,608  0.47-2.12
    ingest  chains      16,384  16,384,000    31.95  95.2% servers      15,128  24.9%  162,483  0.11-1.20

What limits it. In worlds of some thousand ranks the servers do, in nearly every row: there a farm has little to lose.
Without that limit (``ceiling`` out of reach) 10,000 workers ingest ``namespace`` with 86.0 %, in 8.5 s, and ``chains``
with 85.0 %; rank 0 then handles 28,000 to 29,000 messages/s. A scan alone would take 0.3 s there, which is less than it
takes to hand out the tree: 2.5 s, with rank 0 busy all the time. Of a run of a second or less much is the way from one
root to all ranks (``scan namespace`` with 64 workers), and in ``ingest`` with 4,096 the servers and the work take about
the same time, one after the other at first. Where there are more workers than there is to do at a time (``ingest flat``
and ``ingest chains`` with 4,096 and more), the idle ones divide what others have begun again and again, and rank 0 is
busy with that; so in large worlds only what is left for longer is divided, into parts that last
(``transport.worth_seconds``, ``executor.Divisible``), and workers don't tell of each slice (``worker.FEW_SLICES``).
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
