"""Replicas that dead clients and agents have left stale, intermediate or locked: what a run makes of them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.session import iRODSSession

from tests.conftest import CommandLine
from tests.e2e.checking import assert_put, assert_registered, objects_below

MakeTree = Callable[[dict[str, bytes]], Path]

STALE, INTERMEDIATE, WRITE_LOCKED = 0, 2, 4
LEFT = {"stale": STALE, "written": INTERMEDIATE, "locked": WRITE_LOCKED}


@pytest.mark.parametrize(
    ("operation", "is_known"), [("put", True), ("put_sync", False), ("put_sync", True), ("register_sync", False)]
)
def test_what_dead_clients_have_left_is_put_right_or_told(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, operation: str, is_known: bool
) -> None:
    """is_known: whether the collection is recorded, and the entries as failed; else it is listed."""
    options = ("--operation", operation, "--bundle", "never")
    root = make_tree({f"it's/{name}": name.encode() for name in (*LEFT, "good")})
    mpingest.start(root, target, *options)
    for name, status in LEFT.items():
        session.data_objects.modDataObjMeta(
            {"objPath": f"{target}/it's/{name}", "replNum": 0}, {"replStatus": str(status), "dataSize": "1"}
        )
    if is_known:
        assert mpingest("verify", "--repair", mpingest.job().name).returncode == 3
    else:
        (mpingest.job() / "checkpoint.h5").unlink()

    mpingest.start(root, target, *options)
    stuck = set() if operation == "register_sync" else {"it's/written", "it's/locked"}
    failures = mpingest.failures()
    assert {failure["path"] for failure in failures} == stuck
    assert {name for name, found in objects_below(session, target).items() if found.status != "1"} == stuck
    for failure in failures:
        state = "intermediate" if failure["path"].endswith("written") else "write-locked"
        said, _, command = failure["reason"].partition(": once nobody writes it, a rodsadmin has to say ")
        assert said.endswith(f"replica 0 is {state}")
        path = f"{target}/{failure['path']}"
        expected = ("iadmin", "modrepl", "logical_path", path, "replica_number", "0", "DATA_REPL_STATUS", str(STALE))
        assert tuple(shlex.split(command)) == expected
        session.data_objects.modDataObjMeta({"objPath": path, "replNum": 0}, {"replStatus": str(STALE)})

    assert mpingest.start(root, target, *options)["exit_code"] == 0
    check = assert_registered if operation == "register_sync" else assert_put
    assert check(session, root, target) == len(LEFT) + 1
    assert {found.status for found in objects_below(session, target).values()} == {"1"}
