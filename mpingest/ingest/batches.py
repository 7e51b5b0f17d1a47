"""Batches: new files that are registered by requests that go out together, one right after another on one connection.

The server answers them in that order, each for itself. So the way to it and back counts once a batch, and the rank does
little more for a file than to write its request and to read the reply. Whatever is not a plain success is left to
requests of its own, which know what to make of it.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpingest.ingest.actions import ACTIONS, Request, Situation
from mpingest.ingest.bundles import Answer, File
from mpingest.ingest.catalog import NewReplica
from mpingest.ingest.entry import EntryIngestor, Result, changed_meanwhile
from mpingest.ingest.kinds import is_unchanged
from mpingest.ingest.names import UnusableName, text
from mpingest.ingest.register import size_and_mtime
from mpingest.ingest.statuses import SUCCESS, RequestError
from mpingest.ingest.subject import UnusableUser
from mpingest.manifest.states import Outcome
from mpingest.scan.entries import TYPE_BITS

MOST_FILES = 16
"""Files of a batch: what has gone out is with one connection, however long it takes there."""


@dataclass(frozen=True, slots=True)
class Batcher:
    """Makes the batches of a rank. Safe for several threads. makes_any: whether there are to be any at all"""

    ingestor: EntryIngestor
    makes_any: bool = True

    def fitting(self, rows: npt.NDArray[np.void], situations: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Which entries may go in a batch: new regular files that no script has a say about, nor the server reads.

        rows, situations: shape (n,); so is the answer, bool
        """
        regular = rows["mode"] & TYPE_BITS == stat.S_IFREG
        return regular & (situations == Situation.ABSENT) & self._is_on  # type: ignore[no-any-return]

    @property
    def _is_on(self) -> bool:
        handler, reads = self.ingestor.handler, self.ingestor.options.checksum
        request = ACTIONS[handler.defaults.operation][Situation.ABSENT].request
        return self.makes_any and handler.module is None and not reads and request is Request.REGISTER

    def ingest(self, files: Sequence[File]) -> list[Answer]:
        """Register files, no more than ``MOST_FILES``. Raises ZoneGone, Interrupted, nothing else."""
        answers: list[Answer] = [Situation.ABSENT] * len(files)
        replicas = [self._replica(file) for file in files]
        sent = [place for place, replica in enumerate(replicas) if replica is not None]
        for place, status in zip(sent, self._statuses([replica for replica in replicas if replica]), strict=False):
            if status >= SUCCESS:
                answers[place] = self._result(files[place])
        return answers

    def _replica(self, file: File) -> NewReplica | None:
        """What is to be registered; None for names that need more than that, or can't be had."""
        subjects = self.ingestor.subjects
        try:
            name, physical = subjects.naming.of(file.relative), text(subjects.path(file.relative))
        except UnusableName:
            return None
        if name.reason:
            return None
        return NewReplica(name.path, physical, *size_and_mtime(file.row))

    def _statuses(self, replicas: Sequence[NewReplica]) -> Sequence[int]:
        """Of the first ones: as many as were answered."""
        ingestor = self.ingestor
        ingestor.retry.breaker.wait_until_closed()
        with suppress(UnusableUser, RequestError), ingestor.subjects.catalog_of(ingestor.handler.defaults.user) as own:
            return own.register_all(replicas, ingestor.resource(None))
        return ()

    def _result(self, file: File) -> Result:
        result = Result(Outcome.DONE)
        unchanged = is_unchanged(self.ingestor.subjects.path(file.relative), file.row)
        return result if unchanged else changed_meanwhile(result)
