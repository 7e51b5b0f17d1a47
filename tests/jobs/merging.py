"""``mpingest`` with limits so small that a small merge is shared, and with accidents: python -m tests.jobs.merging.

The variable ACCIDENT says what happens: RANK STEP NUMBER KIND: on that rank, before the NUMBERth task of that name,
"kill" ends the process at once and "full" lets no file grow any more.
"""

from __future__ import annotations

import os
import resource
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mpingest import cli
from mpingest.farm import collective
from mpingest.jobs import merging
from mpingest.manifest import merge, ranges, table

done: Counter[str] = Counter()


def deal(comm: Any, tasks: Sequence[Any]) -> list[Any]:
    return collective.deal(comm, [lambda task=task: run(comm, task) for task in tasks])


def run(comm: Any, task: Any) -> Any:
    step = getattr(task, "func", task).__name__
    accident(comm.rank if comm else 0, step)
    return task()


def accident(rank: int, step: str) -> None:
    done[step] += 1
    on, where, number, kind = os.environ.get("ACCIDENT", "-1 - 0 -").split()
    if (int(on), where, int(number)) != (rank, step, done[step]):
        return
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def publish(writer: table.TableWriter, original: Any = table.TableWriter._publish) -> None:
    if writer._path.name == "checkpoint.h5":
        accident(0, "publish")
    original(writer)


def unlink(path: Any, original: Any = os.unlink, **options: Any) -> None:
    if os.path.basename(path).startswith("rank"):
        accident(0, "unlink")
    original(path, **options)


if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    table.LIMITS = table.BlockLimits(rows=64, name_bytes=4096, directories=64, path_bytes=4096)
    merge.FAN_IN, merge.RANGE_ROWS, ranges.WINDOW_ROWS = 8, 100, 512
    merging.deal = deal
    table.TableWriter._publish = publish
    os.unlink = unlink
    cli.main()
