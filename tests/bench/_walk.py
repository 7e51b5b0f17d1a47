"""The scan engine alone, walking a tree in this process: ``python -m tests.bench._walk ROOT THREADS CALLERS``.

Prints a line of JSON: the seconds without the start of the interpreter, the entries, and the peak memory in bytes
beyond what there was before.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections import deque

import numpy as np

from mpingest.scan.directory import DirectoryScan
from mpingest.scan.pool import StatPool

SLICE = 1000
NAP_SECONDS = 0.003


class Walk:
    """Callers that take directories from one queue."""

    def __init__(self, root: bytes, pool: StatPool) -> None:
        self.entries = 0
        self._pool = pool
        self._waiting = deque([root])
        self._busy = 0
        self._changed = threading.Condition()

    def run(self, number: int = 0) -> None:
        """What each caller does until nothing is left; all but the first only as long as it pays."""
        while (path := self._next()) is not None:
            self._visit(path)
            while number >= self._pool.useful_callers and (self._waiting or self._busy):
                time.sleep(NAP_SECONDS)

    def _next(self) -> bytes | None:
        with self._changed:
            while not self._waiting and self._busy:
                self._changed.wait()
            if not self._waiting:
                self._changed.notify_all()
                return None
            self._busy += 1
            return self._waiting.popleft()

    def _visit(self, path: bytes) -> None:
        entries = 0
        try:
            with DirectoryScan(path, pool=self._pool) as scan:
                for portion in scan.portions(SLICE):
                    entries += len(portion.entries)
                    directories = np.flatnonzero(portion.entries.is_directory()).tolist()
                    self._found([os.path.join(path, portion.entries.name(index)) for index in directories])
        except OSError as error:
            print(error, file=sys.stderr)
        with self._changed:
            self.entries += entries
            self._busy -= 1
            if not self._busy:
                self._changed.notify_all()

    def _found(self, paths: list[bytes]) -> None:
        if paths:
            with self._changed:
                self._waiting += paths
                self._changed.notify(len(paths))


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(root: str, threads: str, callers: str) -> None:
    before, began = peak(), time.perf_counter()
    with StatPool(int(threads)) as pool:
        walk = Walk(os.fsencode(root), pool)
        others = [threading.Thread(target=walk.run, args=(number,)) for number in range(1, int(callers))]
        for other in others:
            other.start()
        walk.run()
        for other in others:
            other.join()
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "entries": walk.entries, "memory": peak() - before}))


if __name__ == "__main__":
    main(*sys.argv[1:])
