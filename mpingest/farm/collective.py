"""What all ranks of a world do together, asleep while they wait for one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import numpy as np

from mpingest.errors import MpingestError
from mpingest.farm.transport import wait_asleep
from mpingest.farm.worker import COORDINATOR
from mpingest.farm.world import abort_on_error

if TYPE_CHECKING:
    from mpi4py import MPI

Answer = TypeVar("Answer")


class Mergeable(Protocol):
    """What ranks have counted. ``merge`` is associative; ``unpack`` is the inverse of ``pack``."""

    def merge(self, other: Self) -> None: ...  # noqa: D102
    def pack(self) -> bytes: ...  # noqa: D102
    @classmethod
    def unpack(cls, data: bytes) -> Self: ...  # noqa: D102


def on_first(comm: MPI.Comm | None, task: Callable[[], Answer]) -> Answer:
    """Have rank 0 do it and tell all. comm: None for a world of one rank. Raises its MpingestError on all."""
    answer: Answer | None = None
    error: MpingestError | None = None
    with abort_on_error(comm):
        if comm is None or comm.rank == COORDINATOR:
            try:
                answer = task()
            except MpingestError as problem:
                error = problem
        if comm is not None:
            wait_asleep(comm.Ibarrier())
            answer, error = comm.bcast((answer, error), COORDINATOR)
    if error is not None:
        raise error
    assert answer is not None, "rank 0 either answers or fails"
    return answer


def deal(comm: MPI.Comm | None, tasks: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Have task i done by rank i % size and tell all the answers, in order. Collective.

    comm: None for a world of one rank. Raises on all ranks the MpingestError or OSError of the first task that has one;
    its rank does none of those after it.
    """
    rank, size = (comm.rank, comm.size) if comm is not None else (COORDINATOR, 1)
    answers: dict[int, Answer] = {}
    failures: dict[int, MpingestError | OSError] = {}
    with abort_on_error(comm):
        for index in range(rank, len(tasks), size):
            try:
                answers[index] = tasks[index]()
            except (MpingestError, OSError) as problem:
                failures[index] = problem
                break
        if comm is not None:
            wait_asleep(comm.Ibarrier())
            for others_answers, others_failures in comm.allgather((answers, failures)):
                answers |= others_answers
                failures |= others_failures
    if failures:
        raise failures[min(failures)]
    return [answers[index] for index in range(len(tasks))]


def merge_on_first(comm: MPI.Comm | None, mine: Mergeable) -> None:
    """Merge what all ranks have counted into that of rank 0; that of the others may be merged in part. Collective.

    Ranks send along a binomial tree, so that none hears of more than log2(ranks) others.
    """
    step = 1
    while comm is not None and step < comm.size:
        if comm.rank & step:
            _send(comm, mine.pack(), comm.rank - step)
            return
        if comm.rank + step < comm.size:
            mine.merge(mine.unpack(_receive(comm, comm.rank + step)))
        step *= 2


def _send(comm: MPI.Comm, data: bytes, destination: int) -> None:
    wait_asleep(comm.Isend(np.array([len(data)]), destination))
    wait_asleep(comm.Isend(np.frombuffer(data, np.uint8), destination))


def _receive(comm: MPI.Comm, source: int) -> bytes:
    size = np.zeros(1, np.int64)
    wait_asleep(comm.Irecv(size, source))
    data = np.empty(int(size[0]), np.uint8)
    wait_asleep(comm.Irecv(data, source))
    return data.tobytes()
