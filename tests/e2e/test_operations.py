"""Replicas and appends: operations whose outcome depends on what was there before."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.handler.operations import Operation
from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import CommandLine
from tests.e2e.checking import assert_put, assert_registered
from tests.e2e.test_start import settle
from tests.ingest.documented import CHANGES, documented

MakeTree = Callable[[dict[str, bytes]], Path]
FILES = {f"dir{number % 3}/file{number}": b"x" * number for number in range(20)}


def replicas_of(session: iRODSSession, path: str) -> list[tuple[int, str, str, int, str]]:
    """Number, resource, physical path, size and status of each replica."""
    found = session.data_objects.get(path).replicas
    return sorted((r.number, r.resource_name, r.path, r.size, r.status) for r in found)


@pytest.fixture
def other_copy(session: iRODSSession, target: str, tmp_path: Path) -> Iterator[None]:
    """Every file is in the catalog already, put to demoResc."""
    for name, content in FILES.items():
        session.collections.create(f"{target}/{os.path.dirname(name)}")
        local = tmp_path / "copy"
        local.write_bytes(content)
        session.data_objects.put(str(local), f"{target}/{name}")
    yield


def test_an_object_of_the_second_in_which_its_file_changed_is_looked_into(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    """As after a run that was killed when it had put the file, and before it had noted that."""
    session.collections.create(target)
    with session.data_objects.open(f"{target}/file", "w") as stored:
        stored.write(b"before")
    second = session.data_objects.get(f"{target}/file").modify_time.timestamp()
    root = make_tree({"file": b"after!"})
    os.utime(root / "file", (second, second))
    assert mpingest.start(root, target, "--operation", "put_sync")["total"]["outcome_failed"] == 0
    assert assert_put(session, root, target) == 1


def test_an_object_with_the_time_of_its_file_is_adopted_unread(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree({"file": b"content"})
    os.utime(root / "file", (10**9, 10**9))
    options = ("--operation", "put_sync", "--preserve-mtime")
    mpingest.start(root, target, *options)
    zone.reset_counts()
    total = mpingest.start(root, target, *options, "--ignore-cache")["total"]
    assert (total["outcome_done"], total["bytes_sent"]) == (1, 0)
    assert zone.counts()["DATA_OBJ_CHKSUM_AN"] == 0
    assert_put(session, root, target)


def test_an_object_with_the_content_of_its_file_gets_its_time_when_it_is_adopted(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    """A run that was killed before it recorded anything may have put it before its file was touched."""
    root = make_tree({"file": b"content"})
    options = ("--operation", "put_sync", "--preserve-mtime", "--ignore-cache")
    for second in (10**9, 10**9 + 5):
        os.utime(root / "file", (second, second))
        mpingest.start(root, target, *options)
        assert session.data_objects.get(f"{target}/file").modify_time.timestamp() == second
    assert mpingest.summary()["total"]["bytes_sent"] == 0


AS_REPLICA = ("--operation", "register_as_replica_sync", "--resource", "secondResc")


@pytest.mark.parametrize("ranks", [None, 4])
@pytest.mark.usefixtures("other_copy")
def test_a_file_becomes_one_more_replica_and_only_that_is_updated(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    target: str,
    ranks: int | None,
) -> None:
    root = make_tree(FILES)
    summary = mpingest.start(root, target, *AS_REPLICA, ranks=ranks)
    assert summary["total"]["outcome_done"] == len(FILES)
    name = "dir1/file7"
    original, ours = replicas_of(session, f"{target}/{name}")
    assert (original[0], original[1], original[4]) == (0, "demoResc", "0")
    assert ours == (1, "secondResc", f"{root}/{name}", 7, "1")

    settle()
    zone.reset_counts()
    assert mpingest.start(root, target, *AS_REPLICA, ranks=ranks)["total"]["requests"] == 0
    (root / name).write_bytes(b"now longer than it was")
    settle()
    mpingest.start(root, target, *AS_REPLICA, ranks=ranks)
    assert zone.catalog_changes() == {"MOD_DATA_OBJ_META_AN": 1}
    assert replicas_of(session, f"{target}/{name}") == [original, (1, "secondResc", f"{root}/{name}", 22, "1")]


def test_a_first_replica_is_registered_as_any_file(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree(FILES)
    mpingest.start(root, target, *AS_REPLICA)
    assert zone.counts()["PHY_PATH_REG_AN"] == len(FILES)
    assert_registered(session, root, target)


@pytest.mark.usefixtures("other_copy")
def test_a_replica_needs_a_resource_and_an_object_of_its_own_needs_the_name(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    root = make_tree(FILES)
    for options, says in (
        (("--operation", "register_sync"), "an object of that name is there already"),
        (("--operation", "register_as_replica_sync"), "demoResc has another replica of the object already"),
    ):
        assert mpingest("start", *options, root, target).returncode == 3
        failures = mpingest.failures()
        assert len(failures) == len(FILES)
        assert all(says in failure["reason"] for failure in failures), failures[0]
    assert len(replicas_of(session, f"{target}/dir1/file7")) == 1


def test_an_adopted_replica_is_the_one_that_is_updated(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path
) -> None:
    root = make_tree({"file": b"content"})
    path = f"{target}/file"
    session.collections.create(target)
    local = tmp_path / "copy"
    local.write_bytes(b"content")
    session.data_objects.put(str(local), path)
    status = (root / "file").stat()
    registration = {"regRepl": "", "destRescName": "secondResc", "dataSize": str(status.st_size)}
    session.data_objects.register(str(root / "file"), path, **registration)
    mpingest.start(root, target)
    settle()
    (root / "file").write_bytes(b"longer content")
    settle()
    mpingest.start(root, target)
    original, ours = replicas_of(session, path)
    assert (original[0], original[3]) == (0, len(b"content"))
    assert (ours[0], ours[3], ours[4]) == (1, len(b"longer content"), "1")


APPEND = ("--operation", "put_append")


@pytest.mark.parametrize("ranks", [None, 4])
def test_only_the_tail_is_sent(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int | None
) -> None:
    root = make_tree(dict.fromkeys(FILES, b"line\n" * 1000))
    mpingest.start(root, target, *APPEND, ranks=ranks)
    settle()
    for name in FILES:
        with open(root / name, "ab") as file:
            file.write(b"one more\n")
    settle()
    summary = mpingest.start(root, target, *APPEND, ranks=ranks)
    assert summary["total"]["bytes_sent"] == len(FILES) * len(b"one more\n")
    assert_put(session, root, target)
    settle()
    assert mpingest.start(root, target, *APPEND, ranks=ranks)["total"]["requests"] == 0


def test_a_large_tail_goes_in_large_writes(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree({"log": b"begin"})
    mpingest.start(root, target, *APPEND)
    settle()
    with open(root / "log", "ab") as file:
        file.write(os.urandom(20 * 1024 * 1024))
    settle()
    zone.reset_counts()
    mpingest.start(root, target, *APPEND)
    assert zone.counts()["DATA_OBJ_WRITE_AN"] == 3
    assert_put(session, root, target)


@pytest.mark.parametrize("how", ["shrunk", "rewritten", "changed behind our back", "removed behind our back"])
def test_what_is_no_append_is_put_whole(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path, how: str
) -> None:
    root = make_tree({"log": b"0123456789", "other": b"other"})
    mpingest.start(root, target, *APPEND)
    settle()
    if how == "shrunk":
        (root / "log").write_bytes(b"0123")
    elif how == "rewritten":
        (root / "log").write_bytes(b"abcdefghij")
    else:
        (root / "log").write_bytes(b"0123456789 and more")
        if how == "removed behind our back":
            session.data_objects.unlink(f"{target}/log", force=True)
        else:
            local = tmp_path / "copy"
            local.write_bytes(b"something else")
            session.data_objects.put(str(local), f"{target}/log")
    settle()
    summary = mpingest.start(root, target, *APPEND)
    assert summary["total"]["outcome_done"] == 1
    assert_put(session, root, target)


TABLE_HANDLER = """
import os
from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import DeleteMode, Operation

DELETE_MODES = {
    Operation.REGISTER_SYNC: DeleteMode.UNREGISTER,
    Operation.REGISTER_AS_REPLICA_SYNC: DeleteMode.UNREGISTER,
    Operation.PUT_SYNC: DeleteMode.NO_TRASH,
    Operation.PUT_APPEND: DeleteMode.TRASH,
}

def operation_of(meta):
    name = os.path.basename(meta["path"] if meta["entry_type"] == "dir" else os.path.dirname(meta["path"]))
    return Operation.__members__.get(name, Operation.REGISTER_SYNC)

def hook(name):
    def call(hdlr_mod, *args, **options):
        meta = next(argument for argument in args if isinstance(argument, dict))
        if "FAIL" in os.environ and meta["path"].endswith("retry"):
            raise RuntimeError("not yet")
        with open(os.environ["CALLS"], "a") as calls:
            calls.write(operation_of(meta).name + " " + os.path.basename(meta["path"]) + " " + name + "\\n")
    return staticmethod(call)

class event_handler(Core):
    pre_data_obj_create, post_data_obj_create = hook("create"), hook("create")
    pre_data_obj_modify, post_data_obj_modify = hook("modify"), hook("modify")
    pre_data_obj_delete, post_data_obj_delete = hook("delete"), hook("delete")

    @staticmethod
    def operation(session, meta, **options):
        return operation_of(meta)

    @staticmethod
    def delete_mode(meta):
        return DELETE_MODES.get(operation_of(meta), DeleteMode.DO_NOT_DELETE)
"""
KINDS = {
    "register": "PHY_PATH_REG_AN",
    "update": "MOD_DATA_OBJ_META_AN",
    "put": "DATA_OBJ_PUT_AN",
    "overwrite": "DATA_OBJ_PUT_AN",
    "append": "DATA_OBJ_WRITE_AN",
    "unregister": "DATA_OBJ_UNLINK_AN",
    "unlink": "DATA_OBJ_UNLINK_AN",
}


@pytest.mark.parametrize("ranks", [1, 4])
def test_every_operation_does_what_its_docs_say(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, target: str, tmp_path: Path, ranks: int
) -> None:
    """A file of each change for each operation: which hooks are called, and which requests all of them cost."""
    calls, script = tmp_path / "calls", tmp_path / "handler.py"
    script.write_text(TABLE_HANDLER)
    mpingest.environment |= {"CALLS": str(calls), "FAIL": "yes"}
    earlier = [change for change in CHANGES if change != "new"]
    root = make_tree({f"{one.name}/{change}": b"before" for one in Operation for change in earlier})
    settle()
    mpingest.start(root, target, "--event-handler", script, ranks=ranks)
    assert len(mpingest.failures()) == len(Operation)

    del mpingest.environment["FAIL"]
    make_tree({f"{one.name}/new": b"new" for one in Operation})
    make_tree({f"{one.name}/modified": b"before, and after" for one in Operation})
    for one in Operation:
        (root / one.name / "metadata-only").chmod(0o600)
        (root / one.name / "deleted").unlink()
    settle()
    zone.reset_counts()
    calls.write_text("")
    mpingest.start(root, target, "--event-handler", script, ranks=ranks)
    table = documented()
    expected = [
        f"{one.name} {change} {hook}" for (one, change), (_, hook) in table.items() if hook for _ in ("pre", "post")
    ]
    assert sorted(calls.read_text().splitlines()) == sorted(expected)
    counted = {kind: count for kind, count in zone.counts().items() if kind in KINDS.values()}
    assert counted == Counter(KINDS[sent] for sent, _ in table.values() if sent != "-")
