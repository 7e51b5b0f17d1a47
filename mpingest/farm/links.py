"""How messages travel between the state machines: over MPI, or within a world of one rank."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from mpingest.farm.messages import Send

if TYPE_CHECKING:
    from mpi4py import MPI

_TAG = 0
_ARRIVALS_PER_TURN = 256


class Link(Protocol):
    """One end of the network. Between two ranks messages keep their order."""

    sent: int
    """Messages sent so far."""
    received: int
    """Messages received so far."""

    def send(self, sends: Iterable[Send]) -> None:
        """Sends messages without waiting for anyone to receive them."""

    def arrivals(self) -> Iterator[tuple[int, bytes]]:
        """Messages that are here by now, a bounded number, each with its source."""

    def still_sending(self) -> bool:
        """Helps messages on their way; whether some still need it."""


class MpiLink:
    """A link over an MPI communicator that no one else uses.

    Sends are nonblocking, so that two ranks that send each other more than MPI buffers cannot block one another.
    """

    def __init__(self, comm: MPI.Comm) -> None:
        from mpi4py import MPI

        self.sent = 0
        self.received = 0
        self._comm = comm
        self._byte = MPI.BYTE
        self._status = MPI.Status()
        self._requests: list[MPI.Request] = []

    def send(self, sends: Iterable[Send]) -> None:
        """Isend, whose request keeps the payload alive."""
        for send in sends:
            request = self._comm.Isend([send.payload, self._byte], send.destination, _TAG)
            self._requests.append(request)
            self.sent += 1

    def arrivals(self) -> Iterator[tuple[int, bytes]]:
        """Matched probes, so that a message is received in the size it has."""
        for _ in range(_ARRIVALS_PER_TURN):
            message = self._probe() or self._probe()  # MPICH looks first, then lets in what the second look finds
            if message is None:
                return
            source = self._status.Get_source()
            data = bytearray(self._status.Get_count(self._byte))
            message.Recv([data, self._byte])
            self.received += 1
            yield source, bytes(data)

    def still_sending(self) -> bool:
        """Tests the sends under way, which lets MPI go on with them."""
        self._requests = [request for request in self._requests if not request.Test()]
        return bool(self._requests)

    def _probe(self) -> MPI.Message | None:
        return self._comm.Improbe(tag=_TAG, status=self._status)


class LocalLink:
    """One of the two ends within a world of one rank; see ``local_links``."""

    def __init__(self, inbox: deque[bytes], outbox: deque[bytes]) -> None:
        self.sent = 0
        self.received = 0
        self._inbox = inbox
        self._outbox = outbox

    def send(self, sends: Iterable[Send]) -> None:
        """Puts messages before the other end."""
        for send in sends:
            self._outbox.append(send.payload)
            self.sent += 1

    def arrivals(self) -> Iterator[tuple[int, bytes]]:
        """What the other end has sent."""
        while self._inbox:
            self.received += 1
            yield 0, self._inbox.popleft()

    def still_sending(self) -> bool:
        """Never: a message is there at once."""
        return False


def local_links() -> tuple[LocalLink, LocalLink]:
    """Both ends of the link between the coordinator and the worker of one process."""
    here: deque[bytes] = deque()
    there: deque[bytes] = deque()
    return LocalLink(here, there), LocalLink(there, here)
