"""Replicas that are neither good nor stale: being written, or left like that when the agent that wrote them died.

Nobody gets at such an object, and the server never puts it right by itself. A rodsadmin can say that a replica is
stale; then it can be overwritten. Whether somebody writes it, the catalog doesn't tell.

Source: iadmin(1) modrepl and irepl(1) of iRODS 4.3; https://github.com/irods/irods/issues/8765.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from mpingest.ingest.catalog import REPLICA_STATES, STALE, Replica
from mpingest.ingest.statuses import LOCKED_DATA_OBJECT, RequestError, Verdict


def stuck_replicas(replicas: Iterable[Replica]) -> list[Replica]:
    """Those of them."""
    return [replica for replica in replicas if not replica.good and replica.status != STALE]


def state_name(replica: Replica) -> str:
    """What the catalog says that a replica is."""
    known = 0 <= replica.status < len(REPLICA_STATES)
    return REPLICA_STATES[replica.status] if known else f"in state {replica.status}"


def release_commands(path: str, stuck: Iterable[Replica]) -> list[str]:
    """What a rodsadmin has to do about stuck replicas that nobody writes any more."""
    logical = shlex.quote(path)
    return [
        f"iadmin modrepl logical_path {logical} replica_number {replica.number} DATA_REPL_STATUS {STALE}"
        for replica in stuck
    ]


def explained(error: RequestError, path: str, stuck: Sequence[Replica]) -> RequestError:
    """What the error comes to: that the object is locked, by which replicas, and what to do about them."""
    states = ", ".join(f"replica {replica.number} is {state_name(replica)}" for replica in stuck)
    commands = " && ".join(release_commands(path, stuck))
    advice = f"{states}: once nobody writes it, a rodsadmin has to say {commands}"
    if error.verdict is not Verdict.LOCKED:
        return RequestError(LOCKED_DATA_OBJECT, f"{error}; {advice}")
    return RequestError(error.status, f"{error.message}; {advice}" if error.message else advice)
