"""How an entry compares with what the catalog has under its name, before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mpingest.handler.operations import Operation
from mpingest.ingest.actions import Situation
from mpingest.ingest.catalog import Replica
from mpingest.ingest.checksums import is_of_file
from mpingest.ingest.register import NANOSECONDS, registered_as


@dataclass(frozen=True, slots=True)
class Finding:
    """How an entry compares with what the catalog has under its name.

    adopted: it is all that its operation wants there; replica: number of ours
    by_content: found so by its content alone, whatever its modify time
    """

    adopted: bool
    situation: Situation = Situation.FOUND
    replica: int = 0
    by_content: bool = False


def compare_content(
    row: np.void,
    path: bytes,
    operation: Operation,
    replicas: list[Replica],
    compute: Callable[[], str],
    *,
    doubtful: bool,
) -> Finding:
    """Of an entry whose content is put.

    row: its lstat; path: absolute; compute: has the server compute the object's checksum, where it has none
    doubtful: the object may be what is left of a bundle that was cut off: only its content tells
    """
    good = [replica for replica in replicas if replica.good]
    if operation is Operation.PUT and not doubtful:
        return Finding(adopted=bool(good))
    same_size = [replica for replica in good if replica.size == int(row["size"])]
    if not same_size:
        return Finding(adopted=False)
    if not doubtful and any(_has_mtime(replica, row) for replica in same_size):
        return Finding(adopted=True)
    is_same = is_of_file(same_size[0].checksum or compute(), path)
    return Finding(adopted=is_same, by_content=is_same)


def compare_registration(row: np.void, physical: str, replicas: list[Replica]) -> Finding:
    """Of an entry that is registered as the file ``physical``."""
    ours = next((replica for replica in replicas if replica.path == physical), None)
    if ours is None:
        return Finding(adopted=False, situation=Situation.ELSEWHERE)
    return Finding(registered_as(ours, row, physical), Situation.FOUND, ours.number)


def _has_mtime(replica: Replica, row: np.void) -> bool:
    """Whether an object that was put has the modify time of its file, and not by chance.

    A file may have changed again in the very second in which it was put.
    """
    return replica.has_mtime_of_file and replica.mtime == int(row["mtime_ns"]) // NANOSECONDS
