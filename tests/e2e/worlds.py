"""Programs of the tests in an MPI world: begun, and ended by force."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conftest import mpiexec

_PROGRAMS = b"-m\0tests.e2e."
"""In the command line of every rank."""


def begin(
    program: str, ranks: int, arguments: Sequence[str | Path], environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """A module below ``tests.e2e``, in a world of ``ranks``."""
    command = [mpiexec(), "-n", str(ranks), sys.executable, "-m", program, *map(os.fspath, arguments)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def kill_all(process: subprocess.Popen[str]) -> None:
    """SIGKILL to mpiexec and what it started, each in a session of its own."""
    for pid in [process.pid, *ranks_of(process)]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes of the ranks, so far as they have begun."""
    found, left = [], [process.pid]
    while left:
        pid = left.pop()
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if _PROGRAMS in Path(f"/proc/{pid}/cmdline").read_bytes() and pid != process.pid:
                found.append(pid)
        except OSError:
            continue
        left += map(int, children)
    return found
