"""What is counted while a run goes on: one int64 vector a rank, so that ranks are summed by adding arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from mpingest.ingest.traffic import Kind
from mpingest.manifest.states import Change, Outcome

DIRECTORIES, ENTRIES, BYTES, COLLECTIONS, SENT = range(5)
"""Directories scanned; other entries seen and their bytes; collections made; bytes of content sent, or compared."""
REQUESTS, CATALOG_CHANGES, DIRECTORIES_FAILED, EXCLUDED, RETRIED, BUNDLED = range(5, 11)
"""Requests; those of them that change the catalog; directories whose collection or scan failed; names that were

excluded; times that an entry was tried again; entries that came in with a bundle.
"""
RENAMED, DIRECTORIES_RENAMED = range(11, 13)
"""Files whose objects followed them to another name, alone or with a directory; directories, with all below them."""
TO_DO, BYTES_TO_DO, FINISHED, BYTES_FINISHED = range(13, 17)
"""Files about which something is to be done and their bytes; those of them that came to an outcome, and their bytes."""
YOUNG, NOT_READY, REREAD = range(17, 20)
"""Files that were written too lately to be taken; directories that are not ready to be; bytes read once more, to be

compared with what the zone has.
"""
_CHANGES = 20
_OUTCOMES = _CHANGES + len(Change)
OVERLOADS = _OUTCOMES + len(Outcome)
"""Requests for which the server had no means."""
WANTED = OVERLOADS + 1
"""Requests that could be in flight now, if they might."""
TO_SCAN = WANTED + 1
"""Directories that the rank scans now, or that wait there."""
BUSY = TO_SCAN + 1
"""1 where the rank has anything under way, else 0."""
DONE = BUSY + 1
"""By ``Kind``, in its units: what requests did."""
TOOK = DONE + len(Kind)
"""By ``Kind``: nanoseconds that requests took."""
SQUARES = TOOK + len(Kind)
"""The sum of the squares of what requests took, each in units of ``SQUARED`` seconds."""
SQUARED = 1e-4
SIZE = SQUARES + 1

Counts = npt.NDArray[np.int64]


def new_counts() -> Counts:
    """All zero, shape (SIZE,)."""
    return np.zeros(SIZE, np.int64)


def count_entries(counts: Counts, sizes: npt.NDArray[np.int64], changes: npt.NDArray[np.uint8]) -> None:
    """Entries seen by a scan. sizes: bytes, shape (n,); changes: ``Change``, shape (n,)."""
    counts[ENTRIES] += len(sizes)
    counts[BYTES] += sizes.sum()
    count_changes(counts, changes)


def count_changes(counts: Counts, changes: npt.NDArray[np.uint8]) -> None:
    """How entries compare with the checkpoint. changes: ``Change``, shape (n,)."""
    counts[_CHANGES:_OUTCOMES] += np.bincount(changes, minlength=len(Change))


def count_outcomes(counts: Counts, outcomes: npt.NDArray[np.uint8]) -> None:
    """What became of entries. outcomes: ``Outcome``, shape (n,)."""
    counts[_OUTCOMES:OVERLOADS] += np.bincount(outcomes, minlength=len(Outcome))


def count_finished(counts: Counts, sizes: npt.NDArray[np.int64]) -> None:
    """Files that came to an outcome. sizes: bytes, shape (n,)."""
    counts[FINISHED] += len(sizes)
    counts[BYTES_FINISHED] += sizes.sum()


def of_change(counts: Counts, change: Change) -> int:
    """Entries with that change."""
    return int(counts[_CHANGES + change])


def of_outcome(counts: Counts, outcome: Outcome) -> int:
    """Entries with that outcome."""
    return int(counts[_OUTCOMES + outcome])


_NAMES = (
    {
        "directories": DIRECTORIES,
        "entries": ENTRIES,
        "bytes": BYTES,
        "collections_made": COLLECTIONS,
        "bytes_sent": SENT,
        "requests": REQUESTS,
        "catalog_changes": CATALOG_CHANGES,
        "directories_failed": DIRECTORIES_FAILED,
        "excluded": EXCLUDED,
        "retried": RETRIED,
        "renamed": RENAMED,
        "directories_renamed": DIRECTORIES_RENAMED,
        "bundled": BUNDLED,
        "to_do": TO_DO,
        "bytes_to_do": BYTES_TO_DO,
        "finished": FINISHED,
        "bytes_finished": BYTES_FINISHED,
        "young": YOUNG,
        "not_ready": NOT_READY,
        "bytes_reread": REREAD,
    }
    | {f"change_{change.name.lower()}": _CHANGES + change for change in Change}
    | {f"outcome_{outcome.name.lower()}": _OUTCOMES + outcome for outcome in Outcome}
)


def as_mapping(counts: Counts) -> dict[str, int]:
    """By name, for files that people and programs read."""
    return {name: int(counts[index]) for name, index in _NAMES.items()}


def from_mapping(named: Mapping[str, int]) -> Counts:
    """The inverse of ``as_mapping``; what is not named is zero."""
    counts = new_counts()
    for name, index in _NAMES.items():
        counts[index] = named.get(name, 0)
    return counts
