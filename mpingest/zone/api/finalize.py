"""The end of a descriptor: what was written becomes the object, or a stale replica."""

from __future__ import annotations

import os

from mpingest.zone import vault
from mpingest.zone.catalog.database import now
from mpingest.zone.catalog.objects import ReplicaStatus, stale_siblings, unlock_object, update_replica
from mpingest.zone.messages import Keywords
from mpingest.zone.session import OpenReplica, Session
from mpingest.zone.statuses import Status, ZoneError


def finalize(session: Session, opened: OpenReplica) -> int:
    """Close, and write down what the replica is now; 0, or its size where that isn't what was announced."""
    size = _close(opened)
    if not _still_writes(session, opened):
        return 0
    if not opened.changed:
        _restore(session, opened)
        return 0
    as_announced = opened.expected_size in {None, size}
    try:
        checksum = _checksum(opened, opened.keywords)
    except ZoneError:
        _settle(session, opened, size, "", ReplicaStatus.STALE)
        raise
    expected = opened.keywords.get("verifyChksum")
    mismatch = bool(expected) and expected != checksum
    good = as_announced and not mismatch
    _settle(session, opened, size, checksum, ReplicaStatus.GOOD if good else ReplicaStatus.STALE)
    if mismatch:
        raise ZoneError(Status.USER_CHKSUM_MISMATCH)
    return 0 if as_announced else size


def abandon(session: Session, opened: OpenReplica) -> None:
    """Close what the client left open, or what failed: a replica that was being written is stale."""
    size = _close(opened)
    if not _still_writes(session, opened):
        return
    if opened.changed:
        _settle(session, opened, size, "", ReplicaStatus.STALE)
    else:
        _restore(session, opened)


def release(opened: OpenReplica) -> None:
    """Close without a word to the catalog."""
    _close(opened)


def _close(opened: OpenReplica) -> int:
    size = os.fstat(opened.file).st_size
    os.close(opened.file)
    return size


def _still_writes(session: Session, opened: OpenReplica) -> bool:
    """Whether nobody finished the replica yet, of those who write it."""
    with session.zone.db.reading():
        return opened.writer is not None and session.zone.writers.of(opened.replica.data_id) is opened.writer


def _restore(session: Session, opened: OpenReplica) -> None:
    with session.zone.db.transaction():
        unlock_object(session.zone.db, opened.replica.data_id)
        session.zone.writers.end(opened.replica.data_id)


def _settle(session: Session, opened: OpenReplica, size: int, checksum: str, status: ReplicaStatus) -> None:
    """Write down what the replica is now. Where it is good and not a copy its siblings are old, else what they were."""
    db, replica = session.zone.db, opened.replica
    with db.transaction():
        if status == ReplicaStatus.GOOD and not opened.copies:
            stale_siblings(db, replica)
        else:
            unlock_object(db, replica.data_id)
        update_replica(db, replica, size=size, checksum=checksum, status=status, modified=now(), data_status="")
        session.zone.writers.end(replica.data_id)


def _checksum(opened: OpenReplica, keywords: Keywords) -> str:
    if opened.copies:
        return opened.copies.checksum
    if "regChksum" in keywords:
        return vault.checksum(opened.replica.path)
    if "verifyChksum" in keywords:
        return vault.checksum(opened.replica.path, like=keywords["verifyChksum"])
    return ""
