"""Registering a file in place: whatever the catalog says first, in the end its replica is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpingest.ingest.actions import Request
from mpingest.ingest.catalog import Catalog, Replica
from mpingest.ingest.retry import RetryPolicy
from mpingest.ingest.statuses import RequestError, Verdict

NANOSECONDS = 1_000_000_000


class Conflict(Exception):
    """Something else has the name already."""


@dataclass(frozen=True, slots=True)
class Registration:
    """The data object ``logical`` over the file ``physical`` (as the server sees it). row: its lstat."""

    catalog: Catalog
    retry: RetryPolicy
    logical: str
    physical: str
    row: np.void
    resource: str | None

    def perform(self, request: Request) -> bool:
        """REGISTER, UPDATE or RECONCILE; whether there is a new object. Raises RequestError, Conflict, ZoneGone."""
        step = {Request.REGISTER: self._register, Request.UPDATE: self._update}.get(request, self._reconcile)
        try:
            self.retry.run(step)
            return request is Request.REGISTER
        except RequestError as error:
            if step == self._reconcile or error.verdict not in (Verdict.ALREADY, Verdict.ABSENT):
                raise
            self.retry.run(self._reconcile)
            return False

    def _register(self) -> None:
        self.catalog.register(self.logical, self.physical, *_size_and_mtime(self.row), self.resource)

    def _update(self) -> None:
        # What mpingest registered as a new object is its replica 0.
        self.catalog.update(self.logical, 0, *_size_and_mtime(self.row))

    def _reconcile(self) -> None:
        replicas = self.catalog.replicas(self.logical)
        if not replicas:
            self._register()
            return
        ours = next((replica for replica in replicas if replica.path == self.physical), None)
        if ours is None:
            raise Conflict(f"an object of that name is there already, with the file {replicas[0].path!r}")
        if not registered_as(ours, self.row, self.physical):
            self.catalog.update(self.logical, ours.number, *_size_and_mtime(self.row))


def registered_as(replica: Replica, row: np.void, physical: str) -> bool:
    """Whether a replica is this very file, registered, with today's size and mtime."""
    return replica.good and replica.path == physical and (replica.size, replica.mtime) == _size_and_mtime(row)


def _size_and_mtime(row: np.void) -> tuple[int, int]:
    return int(row["size"]), int(row["mtime_ns"]) // NANOSECONDS
