"""``mpingest`` with an accident: python -m tests.e2e.crash.accident ARGUMENTS….

The variable ACCIDENT says which: RANK WHEN STEP NUMBER, "2 after reply 5": the process of rank 2 gets SIGKILL when it
has had its fifth reply from the zone; "any" rank: whichever comes to that. Segments are sealed after a few rows, and
merges of few rows are shared.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from mpingest import cli
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.traffic import RequestCounts
from mpingest.jobs import disposal, merging, run
from mpingest.jobs.directory import Lock, RunDirectory
from mpingest.jobs.recorder import Recorder
from mpingest.manifest import merge, ranges, segment, table
from mpingest.scan.directory import DirectoryScan
from tests.e2e.killing import kill

STEPS: dict[str, tuple[Any, str]] = {
    "scan": (DirectoryScan, "__enter__"),
    "reply": (Catalog, "send"),
    "answer": (RequestCounts, "answered"),
    "record": (Recorder, "entries"),
    "record_directory": (Recorder, "directory"),
    "seal": (segment.SegmentWriter, "seal"),
    "publish": (table.TableWriter, "_publish"),
    "remove": (merging, "_remove"),
    "unlink": (os, "unlink"),
    "join_failures": (RunDirectory, "join_failures"),
    "summary": (run, "_keep_summary"),
    "release": (Lock, "release"),
    "copy": (disposal, "_copy_or_link"),
    "take_away": (disposal.Disposal, "take_away"),
    "rmdir": (os, "rmdir"),
}
"""Where what is done lies."""

SEAL_ROWS = 25
_seen: Counter[tuple[str, str]] = Counter()


def with_accident(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with an accident before or after if that is wanted."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        happens("before", step)
        result = function(*args, **options)
        happens("after", step)
        return result

    return call


def happens(when: str, step: str) -> None:
    rank, wanted_when, wanted_step, number = os.environ.get("ACCIDENT", "-1 - - 0").split()
    _seen[when, step] += 1
    if (when, step) == (wanted_when, wanted_step) and _seen[when, step] == int(number) and rank in ("any", own_rank()):
        kill([os.getpid()])


def own_rank() -> str:
    return os.environ.get("PMI_RANK", "0")


def prepare() -> None:
    """Accidents can happen from now on."""
    segment.SEAL_ROWS = SEAL_ROWS
    table.LIMITS = table.BlockLimits(rows=64, name_bytes=4096, directories=64, path_bytes=4096)
    merge.FAN_IN, merge.RANGE_ROWS, ranges.WINDOW_ROWS = 4, 50, 256
    for name, (owner, attribute) in STEPS.items():
        setattr(owner, attribute, with_accident(name, getattr(owner, attribute)))


if __name__ == "__main__":
    prepare()
    cli.main()
