"""How an entry compares with what the catalog has under its name, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpingest.handler.operations import Operation
from mpingest.ingest.actions import Situation
from mpingest.ingest.catalog import Replica
from mpingest.ingest.put import put_as
from mpingest.ingest.register import registered_as


@dataclass(frozen=True, slots=True)
class Finding:
    """How an entry compares with what the catalog has under its name.

    adopted: it is all that its operation wants there; replica: number of ours
    """

    adopted: bool
    situation: Situation = Situation.FOUND
    replica: int = 0


def compare_content(row: np.void, path: bytes, operation: Operation, replicas: list[Replica]) -> Finding:
    """Of an entry whose content is put. row: its lstat; path: absolute."""
    if operation is Operation.PUT:
        return Finding(adopted=any(replica.good for replica in replicas))
    return Finding(adopted=any(put_as(replica, row, path) for replica in replicas))


def compare_registration(row: np.void, physical: str, replicas: list[Replica]) -> Finding:
    """Of an entry that is registered as the file ``physical``."""
    ours = next((replica for replica in replicas if replica.path == physical), None)
    if ours is None:
        return Finding(adopted=False, situation=Situation.ELSEWHERE)
    return Finding(registered_as(ours, row, physical), Situation.FOUND, ours.number)
