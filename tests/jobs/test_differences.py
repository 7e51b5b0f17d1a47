"""How an entry's three sides can differ, and what marks lead the next run to."""

from __future__ import annotations

import json
import stat

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpingest.handler.operations import Operation
from mpingest.ingest.catalog import Replica
from mpingest.jobs.differences import FORGET, MAKE, RECONCILE, Claim, Difference, Kind, Sides, differ, overwrite
from mpingest.jobs.findings import Totals
from mpingest.manifest.block import RESULT_DTYPE
from mpingest.manifest.states import Outcome
from mpingest.scan.entries import ENTRY_DTYPE

MTIME = 1_700_000_000
PUT = Claim(Operation.PUT_SYNC, "/zone/it's")
KEPT = Claim(Operation.PUT, "/zone/file")
REGISTERED = Claim(Operation.REGISTER_SYNC, "/zone/file", "/data/file")
AS_REPLICA = Claim(Operation.REGISTER_AS_REPLICA_SYNC, "/zone/file", "/data/file")
NOTHING = Claim(Operation.NO_OP, "/zone/file", expected=False)
LEFT_ALONE = Claim(Operation.PUT_SYNC, "/zone/file", expected=False)


def row(size: int = 5, inode: int = 7, nlink: int = 1) -> np.void:
    rows = np.zeros(1, ENTRY_DTYPE)
    rows["mode"], rows["size"], rows["inode"], rows["nlink"] = stat.S_IFREG, size, inode, nlink
    rows["mtime_ns"] = MTIME * 10**9 + 1
    return rows[0]


def result(outcome: Outcome, code: int = 0) -> np.void:
    results = np.zeros(1, RESULT_DTYPE)
    results["outcome"], results["code"] = outcome, code
    return results[0]


def replica(number: int = 0, status: int = 1, size: int = 5, path: str = "/data/file", mtime: int = MTIME) -> Replica:
    return Replica(1, "file", number, size, path, status, "", mtime, created=mtime)


DONE, UNSETTLED, FAILED, GONE, SKIPPED = map(
    result, (Outcome.DONE, Outcome.UNSETTLED, Outcome.FAILED, Outcome.GONE, Outcome.SKIPPED)
)
GOOD, OTHER = replica(), replica(1, path="/data/other")
R, CHANGED = row(), row(6)
UNKNOWN = row(inode=0, nlink=0)

CASES = [
    # on disk, recorded, its result, in the catalog, claim -> kind and mark
    (R, R, DONE, [GOOD], PUT, None, None),
    (R, R, UNSETTLED, [GOOD], PUT, None, None),
    (R, R, DONE, [replica(mtime=1)], PUT, None, None),
    (R, None, None, [], PUT, Kind.NEW, None),
    (R, None, None, [GOOD], PUT, Kind.NEW, None),
    (R, None, None, [], NOTHING, Kind.NEW, None),
    (R, None, None, [], LEFT_ALONE, None, None),
    (R, R, GONE, [], PUT, Kind.NEW, None),
    (CHANGED, R, DONE, [GOOD], PUT, Kind.CHANGED, None),
    (row(inode=8), R, DONE, [GOOD], REGISTERED, Kind.CHANGED, None),
    (CHANGED, R, SKIPPED, [], LEFT_ALONE, Kind.CHANGED, None),
    (R, R, SKIPPED, [], PUT, None, None),
    (R, R, DONE, [], NOTHING, None, None),
    (CHANGED, R, DONE, [], NOTHING, Kind.CHANGED, None),
    (R, R, FAILED, [], PUT, Kind.FAILED, None),
    (None, R, DONE, [GOOD], PUT, Kind.GONE, None),
    (None, R, UNSETTLED, [], PUT, Kind.GONE, None),
    (None, R, FAILED, [], PUT, None, None),
    (None, R, SKIPPED, [], PUT, None, None),
    (None, R, GONE, [GOOD], PUT, None, None),
    (None, R, GONE, [], PUT, Kind.MISSING, FORGET),
    (None, R, GONE, [], NOTHING, None, None),
    (None, UNKNOWN, GONE, [GOOD], PUT, Kind.EXTRA, None),
    (None, UNKNOWN, GONE, [], PUT, Kind.MISSING, FORGET),
    (R, R, DONE, [], PUT, Kind.MISSING, MAKE),
    (CHANGED, R, DONE, [], KEPT, Kind.MISSING, MAKE),
    (R, R, DONE, [OTHER], REGISTERED, Kind.PATH, None),
    (R, R, DONE, [OTHER], AS_REPLICA, Kind.PATH, RECONCILE),
    (R, R, DONE, [replica(size=9)], PUT, Kind.SIZE, overwrite(0)),
    (R, R, DONE, [replica(size=9)], KEPT, Kind.SIZE, None),
    (R, R, DONE, [replica(size=9), replica(1)], PUT, None, None),
    (R, R, DONE, [OTHER, replica(3, size=9)], REGISTERED, Kind.SIZE, overwrite(3)),
    (R, R, DONE, [replica(mtime=1)], REGISTERED, Kind.MTIME, overwrite(0)),
    (R, R, DONE, [replica(status=0)], PUT, Kind.STALE, overwrite(0)),
    (R, R, DONE, [replica(status=0)], KEPT, Kind.STALE, overwrite(0)),
    (R, R, DONE, [replica(2, status=0), OTHER], REGISTERED, Kind.STALE, overwrite(2)),
    (CHANGED, R, DONE, [replica(status=2)], PUT, Kind.INTERMEDIATE, overwrite(0)),
    (R, R, DONE, [replica(status=3)], PUT, Kind.LOCKED, overwrite(0)),
    (R, R, DONE, [GOOD, replica(1, status=0)], PUT, Kind.STALE, None),
    (R, R, DONE, [GOOD, replica(1, status=0, path="/x")], REGISTERED, None, None),
    (R, R, DONE, [GOOD, replica(1, status=4, path="/x")], REGISTERED, Kind.LOCKED, None),
]


@pytest.mark.parametrize(("on_disk", "recorded", "became", "replicas", "claim", "kind", "mark"), CASES)
def test_each_case(on_disk, recorded, became, replicas, claim, kind, mark) -> None:
    found = differ(b"file", Sides(on_disk, recorded, became, replicas), claim)
    if kind is None:
        assert found is None
        return
    assert found is not None
    assert (found.kind, found.mark) == (kind, mark)
    assert found.says
    assert found.mark is None or found.row is recorded
    json.dumps(found.to_json(marked=False))


def commands(*replicas: Replica) -> tuple[str, ...]:
    found = differ(b"file", Sides(R, R, DONE, replicas), PUT)
    assert found is not None
    return found.commands


def test_commands_are_what_a_rodsadmin_types() -> None:
    reset = "iadmin modrepl logical_path '/zone/it'\"'\"'s' replica_number {} DATA_REPL_STATUS 0"
    assert commands(replica(0, 2), replica(1, 4)) == (reset.format(0), reset.format(1))
    assert commands(GOOD, replica(1, 0)) == ("irepl -aU '/zone/it'\"'\"'s'",)
    assert commands(replica(0, 0)) == ()
    assert commands(replica(0, 99)) == (reset.format(0),)


names = st.binary(min_size=1, max_size=4).filter(lambda name: not {0, ord("/")} & set(name))
found = st.builds(
    Difference,
    st.sampled_from(Kind),
    st.lists(names, max_size=3).map(b"/".join),
    st.just("/zone"),
    st.text(max_size=5),
    mark=st.sampled_from([None, MAKE, FORGET]),
    commands=st.sampled_from([(), ("do it",)]),
)


def totals_of(differences: list[Difference]) -> Totals:
    totals = Totals(2)
    for difference in differences:
        totals.add(difference)
        totals.compared += 1
    return totals


@given(st.lists(st.lists(found, max_size=6), max_size=4))
def test_totals_of_parts_merged_in_any_way_are_those_of_the_whole(parts: list[list[Difference]]) -> None:
    whole = totals_of([difference for part in parts for difference in part])
    merged = Totals(2)
    for part in reversed(parts):
        other = Totals.unpack(totals_of(part).pack())
        other.merge(merged)
        merged = other
    assert merged == whole
    assert Totals.unpack(whole.pack()) == whole
    for kind in Kind:
        paths = sorted(
            difference.path.replace(b"/", b"\0") for part in parts for difference in part if difference.kind is kind
        )
        assert [path.replace(b"/", b"\0") for path, _ in whole.first(kind)] == paths[:2]
