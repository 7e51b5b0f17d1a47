"""What each step costs in requests if the zone answers what is to be expected: the one place for these numbers.

What else it may answer costs more: an object that is there unexpectedly, a parent that is missing, a busy server. What
is there already and as it should be costs less.

Logging in, and the look at target and resource before a run, are not counted. Files that go in a bundle cost less: how
much depends on what comes together when.
"""

from __future__ import annotations

import stat

import numpy as np
import numpy.typing as npt

from mpingest.ingest.actions import Request
from mpingest.ingest.catalog import SINGLE_MESSAGE_LIMIT, WRITE_SIZE
from mpingest.scan.entries import TYPE_BITS

REQUESTS = {
    Request.NOTHING: 0,
    Request.KEEP: 0,
    Request.REGISTER: 1,
    Request.UPDATE: 1,
    Request.RELOCATE: 1,
    Request.RELOCATE_AND_UPDATE: 1,
    Request.RECONCILE: 2,
    Request.REGISTER_REPLICA: 2,
    Request.PUT: 1,
    Request.OVERWRITE: 1,
    Request.APPEND: 1,
}
"""Of an entry. RECONCILE: a look, and one change at most. PUT, OVERWRITE: up to ``SINGLE_MESSAGE_LIMIT`` bytes, more is
streamed, a new one after a look. APPEND: the look alone, what is sent comes on top.
"""
COLLECTION = 1
"""A new collection."""
DELETED_OBJECT = 2
"""A look, so that nothing else goes, and the deletion."""
DELETED_COLLECTION = 1
LOOK = 1
"""Whether there is a collection, asked where a handler wants to know before it is made (or just that); or an object."""
LOOK_INSIDE = 2
"""Whether there is anything in a collection, asked where a handler wants to know before it is deleted."""
NEW_METADATA = 1
OTHER_METADATA = 2
"""Metadata of an object that is there: a look, and a change at most."""
PERMISSIONS = 1
_OPEN_AND_CLOSE = 2
_SEEK = 1
_CHECKSUM = 1
_MTIME = 1
_SENDING = (Request.PUT, Request.OVERWRITE, Request.APPEND)


def entry_requests(
    request: Request,
    rows: npt.NDArray[np.void],
    known_sizes: npt.NDArray[np.int64],
    metadata: npt.NDArray[np.bool_],
    *,
    checksum: bool,
    permissions: bool,
    mtime: bool = False,
) -> npt.NDArray[np.int64]:
    """What entries cost that all take the same kind of request, shape (n,).

    rows:        ``ENTRY_DTYPE``, shape (n,)
    known_sizes: bytes when they were last ingested, shape (n,)
    metadata:    which are to have some, bool, shape (n,)
    checksum:    the catalog is to have one of each;  permissions: they may be given some
    mtime:       objects whose content is sent are to have that of their files
    """
    sizes = rows["size"]
    for_metadata = NEW_METADATA if request in (Request.PUT, Request.REGISTER) else OTHER_METADATA
    attributes: npt.NDArray[np.int64] = for_metadata * metadata + PERMISSIONS * permissions
    if request is Request.PUT:
        # They travel with the content; where it is streamed, no reply would tell that an object is there already.
        attributes = np.where(sizes <= SINGLE_MESSAGE_LIMIT, 0, LOOK + attributes)
    if request in _SENDING:
        attributes = attributes + _MTIME * mtime
    if request in (Request.PUT, Request.OVERWRITE):
        return _put(sizes, checksum) + attributes
    if request is Request.APPEND:
        return _append(sizes, known_sizes, checksum) + attributes
    requests = np.full(len(rows), REQUESTS[request])
    if checksum and request not in (Request.NOTHING, Request.REGISTER):
        requests += _CHECKSUM * (rows["mode"] & TYPE_BITS == stat.S_IFREG)
    return requests + attributes


def _put(sizes: npt.NDArray[np.int64], checksum: bool) -> npt.NDArray[np.int64]:
    """All of each file."""
    streamed = _OPEN_AND_CLOSE + -(-sizes // WRITE_SIZE) + _CHECKSUM * checksum
    return np.where(sizes > SINGLE_MESSAGE_LIMIT, streamed, REQUESTS[Request.PUT])


def _append(sizes: npt.NDArray[np.int64], known: npt.NDArray[np.int64], checksum: bool) -> npt.NDArray[np.int64]:
    """What each file has more than its object; all of those that did not grow."""
    ends = _OPEN_AND_CLOSE + _SEEK * (known > 0) - (-(sizes - known) // WRITE_SIZE) + _CHECKSUM * checksum
    return np.where(sizes > known, REQUESTS[Request.APPEND] + ends, _put(sizes, checksum))
