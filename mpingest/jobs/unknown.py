"""Objects and collections that no file or directory stands for, recorded as gone so that they can be deleted."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mpingest.ingest.catalog import Replica
from mpingest.ingest.entry import EntryIngestor
from mpingest.ingest.unknown import unknown_entries
from mpingest.jobs.recorder import Records
from mpingest.manifest.block import RESULT_DTYPE


@dataclass(slots=True)
class UnknownContent:
    """What of a directory's collection has not been seen as an entry of the directory ``relative`` so far.

    objects: replicas by logical path; collections: logical paths
    """

    ingestor: EntryIngestor
    relative: bytes
    objects: dict[str, list[Replica]]
    collections: set[str]

    @classmethod
    def of(
        cls, ingestor: EntryIngestor, relative: bytes, objects: dict[str, list[Replica]] | None = None
    ) -> UnknownContent:
        """All that is in the collection; ``objects``, if they have been listed already.

        Raises RequestError, ZoneGone, UnusableName.
        """
        above = ingestor.subjects.logical_path(relative)
        collections = {f"{above}/{name}" for name in ingestor.subcollections(relative)}
        return cls(ingestor, relative, objects or ingestor.listing(relative), collections)

    def strike(self, names: Iterable[bytes]) -> None:
        """Entries with these names are in the directory."""
        for name in names:
            path = self.ingestor.subjects.logical_path(os.path.join(self.relative, name))
            self.objects.pop(path, None)
            self.collections.discard(path)

    def record(self, recorder: Records) -> None:
        """Record what is left, and all that is below it. Raises RequestError, ZoneGone, UnusableName."""
        objects = {path.rpartition("/")[2]: replicas for path, replicas in self.objects.items() if self._is_plain(path)}
        collections = [path.rpartition("/")[2] for path in self.collections if self._is_plain(path)]
        if objects or collections:
            rows = unknown_entries(objects, collections)
            recorder.vanished(self.relative, rows, np.zeros(len(rows), RESULT_DTYPE))  # as if done
        for name in collections:
            UnknownContent.of(self.ingestor, os.path.join(self.relative, name.encode())).record(recorder)

    def _is_plain(self, path: str) -> bool:
        """Whether the path is found again from the name alone."""
        name = path.rpartition("/")[2].encode(errors="surrogateescape")
        return self.ingestor.subjects.logical_path(os.path.join(self.relative, name)) == path
