"""The proof that the zone holds what a file does, without which no file is taken away."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from mpingest.handler.operations import Operation
from mpingest.ingest.checksums import is_of_source
from mpingest.ingest.content import Source
from mpingest.ingest.entry import EntryIngestor
from mpingest.ingest.subject import Entry

RELEASING = (Operation.PUT, Operation.PUT_SYNC)
"""Operations after which a file has served: its object is a whole copy, which nothing adds to."""


@dataclass(frozen=True, slots=True)
class Prover:
    """Looks at the catalog and at files. note: called with the bytes of each piece of a file that was read."""

    ingestor: EntryIngestor
    note: Callable[[int], None]

    def concerns(self, relative: bytes, row: np.void) -> bool:
        """Whether an entry is one that may be taken away after its ingest. Raises one of REFUSALS."""
        handler = self.ingestor.handler
        return self.ingestor.subjects.work_on(
            relative, row, lambda entry: handler.operation(entry.session, entry.meta) in RELEASING
        )

    def doubt(self, relative: bytes, row: np.void, file: BinaryIO) -> str:
        """Why the object is not what the file holds, which is read; empty if it is.

        A good replica has the file's size, and in the catalog the checksum of its content. Raises RequestError,
        ZoneGone, Interrupted, one of REFUSALS.
        """
        return self.ingestor.subjects.work_on(relative, row, lambda entry: self._doubt(entry, file))

    def _doubt(self, entry: Entry, file: BinaryIO) -> str:
        retry, catalog = self.ingestor.retry, entry.catalog
        replicas = retry.run(lambda: catalog.replicas(entry.logical))
        if not replicas:
            return "there is no object of it"
        size = os.fstat(file.fileno()).st_size
        same_size = [replica for replica in replicas if replica.good and replica.size == size]
        if not same_size:
            return "its object has no good replica of its size"
        replica = same_size[0]
        stored = replica.checksum or retry.run(lambda: catalog.checksum(entry.logical, replica=replica.number))
        if not is_of_source(stored, Source(file, size, retry.ending), self.note):
            return "its object has another checksum"
        return ""
