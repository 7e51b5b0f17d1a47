"""A run that is under way, and its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.conftest import CommandLine, mpiexec
from tests.e2e.worlds import commands_below

END_SECONDS = 30
"""In which a run has ended that was told to."""


class Running:
    """``mpingest start`` in a world of ``ranks``, of one without mpiexec."""

    def __init__(
        self,
        mpingest: CommandLine,
        *arguments: str | Path,
        ranks: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        command = [sys.executable, "-m", "mpingest", "start", *map(os.fspath, arguments)]
        if ranks > 1:
            command = [mpiexec(), "-n", str(ranks), *command]
        self.ranks = ranks
        self.process = subprocess.Popen(
            command,
            env=mpingest.environment | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def pids(self) -> list[int]:
        """The processes of the ranks, in order of their start."""
        if self.ranks == 1:
            return [self.process.pid]
        return commands_below(self.process.pid, b"mpingest\0start")

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Until something is so, while it runs."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, "it has ended: " + "".join(self.process.communicate())
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.05)

    def end(self, seconds: float = END_SECONDS) -> tuple[int, str, str]:
        """Wait for its end: exit code, stdout, stderr. Kills it, and fails, where it doesn't come in time."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        finally:
            self.process.kill()
        return self.process.returncode, out, err
