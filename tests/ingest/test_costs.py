"""What steps cost, by hand; what the zone counts is in tests/e2e/test_requests.py and test_plan.py."""

from __future__ import annotations

import stat

import numpy as np
import pytest

from mpingest.ingest.actions import Request
from mpingest.ingest.costs import REQUESTS, entry_requests
from mpingest.scan.entries import ENTRY_DTYPE

MIB = 1 << 20


def cost(
    request: Request,
    size: int = 1,
    known: int = 0,
    *,
    kind: int = stat.S_IFREG,
    metadata: bool = False,
    checksum: bool = False,
    permissions: bool = False,
    mtime: bool = False,
) -> int:
    rows = np.zeros(1, ENTRY_DTYPE)
    rows["size"], rows["mode"] = size, kind
    known_sizes, has_metadata = np.array([known]), np.array([metadata])
    (number,) = entry_requests(
        request, rows, known_sizes, has_metadata, checksum=checksum, permissions=permissions, mtime=mtime
    ).tolist()
    return number


def test_every_request_has_a_cost() -> None:
    assert set(REQUESTS) == set(Request)
    assert [cost(request) for request in (Request.REGISTER, Request.UPDATE, Request.PUT, Request.NOTHING)] == [
        1,
        1,
        1,
        0,
    ]


@pytest.mark.parametrize("request_", [Request.PUT, Request.OVERWRITE])
def test_content(request_: Request) -> None:
    assert cost(request_, 0) == cost(request_, 32 * MIB) == cost(request_, 1, checksum=True) == 1
    look = 1 if request_ is Request.PUT else 0
    assert cost(request_, 32 * MIB + 1) == look + 2 + 5
    assert cost(request_, 40 * MIB) == look + 2 + 5
    assert cost(request_, 40 * MIB + 1, checksum=True) == look + 2 + 6 + 1


def test_append() -> None:
    assert cost(Request.APPEND, 5, 4) == 1 + 2 + 1 + 1
    assert cost(Request.APPEND, 5, 0) == 1 + 2 + 1
    assert cost(Request.APPEND, 17 * MIB, 1 * MIB, checksum=True) == 1 + 2 + 1 + 2 + 1
    assert cost(Request.APPEND, 4, 5) == cost(Request.APPEND, 5, 5) == 1


def test_attributes() -> None:
    both = {"metadata": True, "permissions": True}
    assert cost(Request.PUT, **both) == 1
    assert cost(Request.PUT, 33 * MIB, **both) == 1 + 2 + 5 + 2
    assert cost(Request.REGISTER, **both) == 1 + 2
    assert cost(Request.UPDATE, **both) == 1 + 2 + 1
    assert cost(Request.NOTHING, metadata=True) == 2


def test_modify_times() -> None:
    assert [cost(request, mtime=True) for request in (Request.PUT, Request.OVERWRITE, Request.REGISTER)] == [2, 2, 1]
    assert cost(Request.APPEND, 5, 4, mtime=True) == cost(Request.APPEND, 5, 4) + 1


def test_checksums_are_those_of_files() -> None:
    assert cost(Request.REGISTER, checksum=True) == 1
    assert cost(Request.UPDATE, checksum=True) == 2
    assert cost(Request.UPDATE, checksum=True, kind=stat.S_IFLNK) == 1
