"""Registering a file in place: whatever the catalog says first, in the end its replica is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpingest.ingest.actions import Request
from mpingest.ingest.catalog import Catalog, NewReplica, Replica
from mpingest.ingest.retry import RetryPolicy
from mpingest.ingest.statuses import RequestError, Verdict

NANOSECONDS = 1_000_000_000


class Conflict(Exception):
    """Something else has the name already, or a replica of it the place."""


@dataclass(slots=True)
class Registration:
    """The data object ``logical`` over the file ``physical`` (as the server sees it). row: its lstat.

    as_replica: an object that is there already gets one more replica. number: of our replica, as far as known.
    checksum: have the server read the file and keep its checksum.
    was_ours: whether nothing is any more where a file was that only we can have registered
    """

    catalog: Catalog
    retry: RetryPolicy
    logical: str
    physical: str
    row: np.void
    resource: str | None
    as_replica: bool
    number: int
    checksum: bool
    was_ours: Callable[[str], bool]
    made: bool = False

    def perform(self, request: Request) -> None:
        """Whatever concerns a registered file. Raises RequestError, Conflict, ZoneGone, Interrupted."""
        steps = {
            Request.REGISTER: self._register,
            Request.UPDATE: self._update,
            Request.RELOCATE: self._relocate,
            Request.RELOCATE_AND_UPDATE: self._relocate_and_update,
            Request.REGISTER_REPLICA: self._register_replica,
        }
        step = steps.get(request, self._reconcile)
        try:
            self.retry.run(step)
            self.made = request is Request.REGISTER
        except RequestError as error:
            if step == self._reconcile or error.verdict not in (Verdict.ALREADY, Verdict.ABSENT):
                raise
            self.retry.run(self._reconcile)

    def _register(self) -> None:
        self.number = 0
        new = NewReplica(self.logical, self.physical, *size_and_mtime(self.row))
        self.catalog.register(new, self.resource, checksum=self.checksum)

    def _register_replica(self) -> None:
        if self.resource is None:
            raise Conflict("an object of that name is there already, and no resource is named for one more replica")
        try:
            self.number = self.catalog.register_replica(
                self.logical, self.physical, *size_and_mtime(self.row), self.resource
            )
        except RequestError as error:
            # Asked for again after a reply that got lost, the replica is ours: a look at it tells.
            if error.verdict is Verdict.ALREADY and self._ours(self.catalog.replicas(self.logical)) is None:
                raise Conflict(f"resource {self.resource} has another replica of the object already") from error
            raise
        self._keep_checksum()

    def _update(self) -> None:
        self.catalog.update(self.logical, self.number, *size_and_mtime(self.row))
        self._keep_checksum()

    def _relocate(self) -> None:
        self.catalog.relocate(self.logical, self.number, self.physical, size_and_mtime(self.row)[1])

    def _relocate_and_update(self) -> None:
        self.catalog.update(self.logical, self.number, *size_and_mtime(self.row), physical=self.physical)
        self._keep_checksum()

    def _keep_checksum(self) -> None:
        if self.checksum:
            self.catalog.checksum(self.logical, compute=True, replica=self.number)

    def _reconcile(self) -> None:
        replicas = self.catalog.replicas(self.logical)
        ours = self._ours(replicas)
        if ours is not None:
            self.number = ours.number
            if not registered_as(ours, self.row, self.physical):
                self._update()
        elif not replicas:
            self._register()
        elif moved := next((replica for replica in replicas if self.was_ours(replica.path)), None):
            # It has moved along with its collection, and the run that registered it was killed before it noted that.
            self.number = moved.number
            self._relocate_and_update()
        elif self.as_replica:
            self._register_replica()
        else:
            raise Conflict(f"an object of that name is there already, with the file {replicas[0].path!r}")

    def _ours(self, replicas: list[Replica]) -> Replica | None:
        return next((replica for replica in replicas if replica.path == self.physical), None)


def registered_as(replica: Replica, row: np.void, physical: str) -> bool:
    """Whether a replica is this very file, registered, with today's size and mtime."""
    return replica.good and replica.path == physical and (replica.size, replica.mtime) == size_and_mtime(row)


def size_and_mtime(row: np.void) -> tuple[int, int]:
    """What is registered of an entry: bytes, and seconds since the epoch."""
    return int(row["size"]), int(row["mtime_ns"]) // NANOSECONDS
