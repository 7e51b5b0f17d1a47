"""What has not arrived yet in a landing zone, and is left alone: files still written, directories still filled.

When a file was last written is told by its times, of which both are upper bounds: a write sets mtime and ctime to the
file system's time, and whoever sets mtime afterwards, as tools do that copy it, does not come back to write. So an
mtime in the future, as instruments with a wrong clock leave it, keeps no file from being taken.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mpingest.jobs.directory import file_system_time_ns
from mpingest.jobs.spec import RunOptions
from mpingest.scan.directory import DirectoryScan
from mpingest.scan.pool import StatPool

_NAMES_AT_A_TIME = 1000
_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Which files and directories may be taken.

    settled_before: what was last written by then has settled, nanoseconds since the epoch; None: everything has
    ready_file:     the name of a file that marks a directory at the top as ready; None: all are
    """

    settled_before: int | None = None
    ready_file: bytes | None = None

    @classmethod
    def of(cls, options: RunOptions, now_ns: int) -> Self:
        """As options want it. now_ns: when the run began, by one clock for all ranks."""
        settled_before = now_ns - int(options.settle * _NANOSECONDS) if options.settle else None
        return cls(settled_before, options.ready_file)

    def are_young(self, rows: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
        """Which entries were written too lately, shape (n,). rows: ``ENTRY_DTYPE``, shape (n,)."""
        if self.settled_before is None:
            return np.zeros(len(rows), np.bool_)
        written: npt.NDArray[np.int64] = np.minimum(rows["mtime_ns"], rows["ctime_ns"])
        return written > self.settled_before

    def concerns(self, relative: bytes) -> bool:
        """Whether a directory (path relative to the root) has to be ready before it is taken."""
        return self.ready_file is not None and bool(relative) and b"/" not in relative

    def is_ready(self, path: bytes, row: np.void, pool: StatPool) -> bool:
        """Whether a directory has its marker, and nothing at and below it was written lately. Raises OSError.

        path: absolute; row: its lstat
        """
        assert self.ready_file is not None, "it is asked for"
        try:
            if not stat.S_ISREG(os.lstat(os.path.join(path, self.ready_file)).st_mode):
                return False
            return self.settled_before is None or (not self.are_young(row.reshape(1))[0] and self._is_quiet(path, pool))
        except FileNotFoundError:
            return False

    def _is_quiet(self, top: bytes, pool: StatPool) -> bool:
        waiting = [os.path.realpath(top)]
        while waiting:
            path = waiting.pop()
            with DirectoryScan(path, pool=pool) as scan:
                for portion in scan.portions(_NAMES_AT_A_TIME):
                    entries = portion.entries
                    if self.are_young(entries.rows).any():
                        return False
                    below = entries.select(entries.is_directory()).names()
                    waiting += [os.path.join(path, name) for name in below]
                if scan.errors:
                    raise scan.errors[0].error
        return True


def now_ns(root: bytes, jobs_directory: str) -> int:
    """The time, by the clock of the file system of ``root`` where that can be told, else by that of this host.

    It can where the jobs directory, into which we may write, is on the same file system. Nanoseconds since the epoch.
    """
    try:
        if os.stat(root).st_dev == os.stat(jobs_directory).st_dev:
            return file_system_time_ns(jobs_directory)
    except OSError:
        pass
    return time.time_ns()
