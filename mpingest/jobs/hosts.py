"""The hosts of an MPI world, as far as they have to be alike: what each sees, what it runs, what time it has."""

from __future__ import annotations

import os
import platform
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mpingest import __version__
from mpingest.farm.collective import on_first
from mpingest.farm.transport import wait_asleep
from mpingest.farm.worker import COORDINATOR

if TYPE_CHECKING:
    from mpi4py import MPI

_ROUNDS = 8
"""Messages there and back by which the clock of a host is compared; the fastest tells most."""


@dataclass(frozen=True, slots=True)
class Host:
    """One host.

    ranks: that run there. unseen: paths that it can't see, with the reasons. versions: of mpingest and Python.
    ahead: seconds that its clock is ahead of rank 0's, give or take ``uncertainty``
    """

    name: str
    ranks: int
    unseen: Sequence[tuple[str, str]]
    versions: str
    ahead: float
    uncertainty: float


def look_around(comm: MPI.Comm | None, paths: Sequence[str]) -> list[Host]:
    """The hosts of the world, that of rank 0 first; on rank 0 only, elsewhere empty. Collective.

    comm: None for a process on its own. paths: what all hosts have to see; taken from rank 0
    """
    name = socket.gethostname()
    if comm is None or comm.size == 1:
        return [Host(name, 1, _unseen(paths), _versions(), 0.0, 0.0)]
    paths = on_first(comm, lambda: list(paths))
    mine = (name, _unseen(paths), _versions())
    wait_asleep(comm.Ibarrier())
    said = comm.allgather(mine)
    ranks = Counter(host for host, _, _ in said)
    first = {host: rank for rank, (host, _, _) in reversed(list(enumerate(said)))}
    clocks = {host: _compare_clock(comm, first[host]) for host in dict.fromkeys(host for host, _, _ in said)}
    if comm.rank != COORDINATOR:
        return []
    return [Host(host, ranks[host], said[first[host]][1], said[first[host]][2], *clocks[host]) for host in clocks]


def _unseen(paths: Sequence[str]) -> list[tuple[str, str]]:
    unseen = []
    for path in paths:
        try:
            os.stat(path)
        except OSError as error:
            unseen.append((path, error.strerror or str(error)))
    return unseen


def _versions() -> str:
    return f"mpingest {__version__}, Python {platform.python_version()}"


def _compare_clock(comm: MPI.Comm, other: int) -> tuple[float, float]:
    """Seconds that the clock of a rank is ahead of rank 0's, and how uncertain that is; on rank 0, else nothing.

    As NTP does (RFC 5905, section 8): half of the way there and back is the error at most.
    """
    if other == COORDINATOR or comm.rank not in (COORDINATOR, other):
        return 0.0, 0.0
    best = 0.0, float("inf")
    clock = np.zeros(1)
    for _ in range(_ROUNDS):
        if comm.rank == COORDINATOR:
            sent = time.time()
            wait_asleep(comm.Isend(clock, other))
            wait_asleep(comm.Irecv(clock, other))
            back = time.time()
            best = min(best, (clock[0] - (sent + back) / 2, (back - sent) / 2), key=lambda found: found[1])
        else:
            wait_asleep(comm.Irecv(clock, COORDINATOR))
            clock[0] = time.time()
            wait_asleep(comm.Isend(clock, COORDINATOR))
    return float(best[0]), best[1]
