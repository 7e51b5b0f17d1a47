"""SIGKILL for ranks that leaves no shared memory behind: MPICH removes it only where a world ends in good order."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

_SEGMENTS = "/dev/shm/mpich"


def kill(pids: Iterable[int]) -> None:
    """SIGKILL to processes, those that have ended left out."""
    pids = list(pids)
    segments = set[str]().union(*map(_segments, pids))
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for segment in segments:
        Path(segment).unlink(missing_ok=True)


def _segments(pid: int) -> set[str]:
    """Files of shared memory that a process has mapped."""
    with suppress(OSError):
        mapped = (line.split()[-1] for line in Path(f"/proc/{pid}/maps").read_text().splitlines())
        return {path for path in mapped if path.startswith(_SEGMENTS)}
    return set()
