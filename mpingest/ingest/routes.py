"""Collections that a handler chooses for files, in place of those of their directories."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from mpingest.ingest.catalog import Catalog
from mpingest.ingest.names import UnusableName, checked_path
from mpingest.ingest.retry import RetryPolicy

MOST_REMEMBERED = 100_000
"""Collections known to exist that a rank keeps in mind."""


def routed_path(target: str, collection: str, name: str) -> str:
    """The logical path of ``name`` in ``collection``, which is below ``target`` or absolute.

    Raises UnusableName where it would lie outside the zone, or no collection has such a path.
    """
    absolute = collection if collection.startswith("/") else f"{target}/{collection}"
    parts = [part for part in absolute.split("/") if part]
    zone = target.split("/")[1]
    if {".", ".."} & set(parts) or len(parts) < 2 or parts[0] != zone:
        raise UnusableName(f"collection_for() returned {collection!r}, which is no collection of zone {zone}")
    return checked_path("/".join(["", *parts, name]))


@dataclass
class KnownCollections:
    """Makes collections that are missing, each once. Safe for several threads."""

    _known: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ensure(self, catalog: Catalog, retry: RetryPolicy, path: str) -> None:
        """Have the collection and its parents. Raises RequestError, ZoneGone."""
        with self._lock:
            if path in self._known:
                return
        retry.run(lambda: catalog.make_collections(path))
        with self._lock:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            self._known.add(path)
