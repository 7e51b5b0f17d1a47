"""Programs of the tests in an MPI world: begun, and ended by force."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.conftest import mpiexec
from tests.e2e.killing import kill

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
    kill([process.pid, *ranks_of(process)])
    process.wait()


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """The processes of the ranks, so far as they have begun."""
    return commands_below(process.pid, _PROGRAMS)


def commands_below(launcher: int, words: bytes) -> list[int]:
    """Processes below a launcher with these words in their command, in order of their start."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            parents[int(name)] = int(Path("/proc", name, "stat").read_text().rpartition(")")[2].split()[1])

    def is_below(process: int) -> bool:
        return process == launcher or is_below(parents.get(process, 0)) if process else False

    def is_meant(process: int) -> bool:
        with contextlib.suppress(OSError):
            return words in Path("/proc", str(process), "cmdline").read_bytes()
        return False

    return sorted(pid for pid in parents if pid != launcher and is_below(pid) and is_meant(pid))


def kill_below(pid: int) -> None:
    """SIGKILL a process and all its descendants."""
    kill([pid, *commands_below(pid, b"")])
