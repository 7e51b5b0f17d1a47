"""What lies around the entries of a job: the root and what is above its target, tries again, resources of a tree."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.session import iRODSSession

from tests.conftest import CommandLine
from tests.e2e.scenarios.bench import Resources
from tests.e2e.test_start import settle

MakeTree = Callable[[dict[str, bytes]], Path]
RANKS = pytest.mark.parametrize("world", [1, 4])


COLLECTION_HOOKS = """
import json, os
from irods_capability_automated_ingest.core import Core

def note(method):
    def call(module, logger, session, meta, **options):
        with open(os.environ["CALLS"], "a") as calls:
            calls.write(json.dumps([method, meta["path"], meta["target"]]) + "\\n")
    return staticmethod(call)

class event_handler(Core):
    pre_coll_create = note("pre_coll_create")
    post_coll_create = note("post_coll_create")
    pre_coll_modify = note("pre_coll_modify")
    post_coll_modify = note("post_coll_modify")
"""


@RANKS
def test_the_root_and_the_parents_of_the_target_have_their_hooks(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path, world: int
) -> None:
    session.collections.create(target)
    root, script, log = make_tree({"a": b""}), tmp_path / "handler.py", tmp_path / "calls"
    script.write_text(COLLECTION_HOOKS)
    mpingest.environment["CALLS"] = str(log)
    deep = f"{target}/x/y"

    def calls() -> list[list[str]]:
        log.write_text("")
        settle()
        mpingest.start(root, deep, "--event-handler", script, ranks=world)
        return [json.loads(line) for line in log.read_text().splitlines()]

    assert calls() == [
        [f"{when}_coll_create", path, collection]
        for path, collection in ((os.path.dirname(root), f"{target}/x"), (str(root), deep))
        for when in ("pre", "post")
    ]
    assert calls() == []
    make_tree({"b": b""})
    assert calls() == [[f"{when}_coll_modify", str(root), deep] for when in ("pre", "post")]


FAILING = """
import os
from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation

class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation[os.environ["OPERATION"]]

    @staticmethod
    def pre_data_obj_create(module, logger, session, meta, *args, **options):
        open(os.environ["CALLS"], "a").write("create ")

    @staticmethod
    def pre_data_obj_modify(module, logger, session, meta, *args, **options):
        open(os.environ["CALLS"], "a").write("modify ")
        if "FAIL" in os.environ:
            raise RuntimeError("told to")
"""


@pytest.mark.parametrize("operation", ["REGISTER_SYNC", "PUT_SYNC", "PUT_APPEND"])
def test_what_failed_as_modified_is_tried_again_as_modified(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path, operation: str
) -> None:
    root, script, log = make_tree({"file": b"before"}), tmp_path / "handler.py", tmp_path / "calls"
    script.write_text(FAILING)
    mpingest.environment |= {"OPERATION": operation, "CALLS": str(log)}
    mpingest.start(root, target, "--event-handler", script)
    settle()
    make_tree({"file": b"after, and longer"})
    settle()
    mpingest.environment["FAIL"] = "1"
    for _ in range(2):
        assert mpingest.start(root, target, "--event-handler", script)["total"]["outcome_failed"] == 1
    del mpingest.environment["FAIL"]
    assert mpingest.start(root, target, "--event-handler", script)["total"]["change_retry"] == 1
    assert log.read_text().split() == ["create", "modify", "modify", "modify"]
    assert session.data_objects.get(f"{target}/file").size == len(b"after, and longer")


@pytest.mark.parametrize(
    ("place", "operation", "says"),
    [
        ("middle", "register_sync", "is in the middle of a hierarchy: name the resource at its top"),
        ("middle", "put", "is in the middle of a hierarchy: name the resource at its top"),
        ("leaf", "put_sync", "is part of a hierarchy: to put, name the resource at its top"),
    ],
)
def test_a_resource_that_takes_nothing_is_refused_before_any_work(
    mpingest: CommandLine, make_tree: MakeTree, resources: Resources, target: str, place: str, operation: str, says: str
) -> None:
    name = resources.middle if place == "middle" else resources.leaves[0]
    done = mpingest("start", "--operation", operation, "--resource", name, make_tree({"a": b""}), target)
    assert done.returncode == 1
    assert done.stderr == f"mpingest: resource {name}: {says}\n"


@RANKS
def test_an_equal_object_is_adopted_by_its_checksum(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path, world: int
) -> None:
    session.collections.create(target)
    root = make_tree({"same": b"content", "other": b"another", "longer": b"longer than that"})
    for name in ("same", "other", "longer"):
        os.utime(root / name, (1e9, 1e9))
        local = tmp_path / "local"
        local.write_bytes(b"content")
        session.data_objects.put(str(local), f"{target}/{name}")
    total = mpingest.start(root, target, "--operation", "put_sync", ranks=world)["total"]
    assert total["outcome_done"] == 3
    assert total["bytes_sent"] == len(b"another") + len(b"longer than that")
