"""An object follows its file to another name, and keeps all that the catalog has of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpingest.handler.calls import Logger
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.register import NANOSECONDS
from mpingest.ingest.retry import RetryPolicy
from mpingest.ingest.statuses import RequestError, Verdict


@dataclass(frozen=True, slots=True)
class Source:
    """An entry that has vanished, and whose object may be that of another name now.

    relative: its path; row: its lstat, as recorded; replica: number of ours
    settled: whether the object is sure to be what the file was
    """

    relative: bytes
    row: np.void
    replica: int
    settled: bool


@dataclass(slots=True)
class Rename:
    """The data object ``source`` becomes ``target``.

    row: lstat of the file; number: of our replica
    was, physical: the file's old path and its new one, as the server sees them; empty where its content was put
    """

    catalog: Catalog
    retry: RetryPolicy
    logger: Logger
    source: str
    target: str
    row: np.void
    number: int
    was: str = ""
    physical: str = ""

    def perform(self) -> bool:
        """Whether it is done; if it isn't, all is as it was.

        Raises ZoneGone, Interrupted, and RequestError where something is left half done.
        """
        if self.source != self.target:
            try:
                self.retry.run(lambda: self.catalog.rename(self.source, self.target))
            except RequestError as error:
                if error.verdict is Verdict.ABSENT and self._is_done():
                    return True
                self.logger.info("not renamed", source=self.source, target=self.target, reason=str(error))
                return False
        return not self.physical or self._relocate()

    def _is_done(self) -> bool:
        """Whether an earlier run did it, and was cut off before it could record that. What it left over is done."""
        replicas = self.retry.run(lambda: self.catalog.replicas(self.target))
        if not self.physical:
            return any(replica.good and replica.size == int(self.row["size"]) for replica in replicas)
        ours = next((replica for replica in replicas if replica.path in (self.was, self.physical)), None)
        if ours is None:
            return False
        self.number = ours.number
        if ours.path == self.was:
            self.retry.run(self._set_path)
        return True

    def _relocate(self) -> bool:
        try:
            self.retry.run(self._set_path)
        except RequestError as error:
            self.logger.info("not relocated", target=self.target, path=self.physical, reason=str(error))
            if self.source != self.target:
                self.retry.run(lambda: self.catalog.rename(self.target, self.source))
            return False
        return True

    def _set_path(self) -> None:
        self.catalog.relocate(self.target, self.number, self.physical, int(self.row["mtime_ns"]) // NANOSECONDS)
