"""``mpingest start``, run as its user runs it, checked with the plain client."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import CommandLine
from tests.e2e.checking import assert_put, assert_registered, objects_below

MakeTree = Callable[[dict[str, bytes]], Path]

TREE = {f"dir{number % 5}/sub{number % 3}/file{number}": b"x" * number for number in range(60)} | {"top": b"top"}


@pytest.mark.parametrize("ranks", [None, 1, 2, 4])
@pytest.mark.parametrize("operation", ["register_sync", "put", "put_sync"])
def test_a_tree_is_ingested_whole(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, operation: str, ranks: int | None
) -> None:
    root = make_tree(TREE)
    (root / "empty").mkdir()
    summary = mpingest.start(root, target, "--operation", operation, ranks=ranks)
    check = assert_registered if operation == "register_sync" else assert_put
    assert check(session, root, target) == len(TREE)
    assert summary["exit_code"] == 0
    assert summary["total"]["outcome_done"] == len(TREE)
    assert summary["total"]["collections_made"] == 1 + 5 + 15 + 1
    assert mpingest.failures() == []


def test_a_new_file_costs_one_request_and_so_does_a_new_collection(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, target: str
) -> None:
    make_tree(TREE)
    mpingest.start(make_tree({}), target)
    counts = zone.counts()
    assert counts["PHY_PATH_REG_AN"] == len(TREE)
    assert counts["COLL_CREATE_AN"] == 1 + 5 + 15
    assert zone.catalog_changes().total() == counts["PHY_PATH_REG_AN"] + counts["COLL_CREATE_AN"]


@pytest.mark.parametrize(
    ("operation", "request_name"), [("register_sync", "MOD_DATA_OBJ_META_AN"), ("put_sync", "DATA_OBJ_PUT_AN")]
)
def test_a_second_run_sends_only_what_changed(
    mpingest: CommandLine,
    make_tree: MakeTree,
    zone: EmbeddedZone,
    session: iRODSSession,
    target: str,
    operation: str,
    request_name: str,
) -> None:
    root = make_tree(TREE)
    mpingest.start(root, target, "--operation", operation, ranks=3)
    settle()
    zone.reset_counts()
    summary = mpingest.start(root, target, "--operation", operation, ranks=3)
    assert zone.catalog_changes().total() == 0
    assert summary["total"]["requests"] == 0
    assert summary["total"]["change_unchanged"] == len(TREE)

    (root / "dir1/sub1/file1").write_bytes(b"now it is longer")
    zone.reset_counts()
    summary = mpingest.start(root, target, "--operation", operation, ranks=3)
    assert zone.counts()[request_name] == 1
    assert summary["total"]["requests"] == 1
    check = assert_registered if operation == "register_sync" else assert_put
    check(session, root, target)


def settle() -> None:
    """Let timestamps grow older than their tick."""
    import time

    time.sleep(0.2)


def test_what_goes_is_reported_and_stays_in_the_catalog(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str
) -> None:
    root = make_tree(TREE)
    mpingest.start(root, target)
    settle()
    (root / "top").unlink()
    shutil.rmtree(root / "dir2")
    under = sum(name.startswith("dir2/") for name in TREE)
    zone.reset_counts()
    summary = mpingest.start(root, target, ranks=2)
    assert summary["total"]["outcome_gone"] == summary["total"]["change_deleted"] == 1 + under
    assert zone.catalog_changes().total() == 0
    assert len(objects_below(session, target)) == len(TREE)

    # Told once; and what comes back is taken up again.
    assert mpingest.start(root, target)["total"]["outcome_gone"] == 0
    make_tree({name: content for name, content in TREE.items() if name == "top" or name.startswith("dir2/")})
    summary = mpingest.start(root, target)
    assert summary["total"]["outcome_done"] + summary["total"]["outcome_unsettled"] == 1 + under
    assert_registered(session, root, target)


def test_what_is_there_already_is_adopted(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str
) -> None:
    root = make_tree(TREE)
    mpingest.start(root, target)
    shutil.rmtree(mpingest.jobs)
    settle()
    (root / "dir1/sub1/file1").write_bytes(b"changed since")
    settle()
    zone.reset_counts()
    summary = mpingest.start(root, target, ranks=2)
    counts = zone.counts()
    # A try to make each collection, one update; one listing a collection, and a look at the one that differs.
    assert counts["COLL_CREATE_AN"] == 1 + 5 + 15
    assert counts["MOD_DATA_OBJ_META_AN"] == 1
    assert counts["PHY_PATH_REG_AN"] == 0
    assert summary["total"]["outcome_done"] == len(TREE)
    assert_registered(session, root, target)


@pytest.mark.parametrize("option", ["--ignore-cache", "--initial-ingest"])
def test_without_the_checkpoint_nothing_is_done_twice(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, option: str
) -> None:
    root = make_tree(TREE)
    mpingest.start(root, target)
    if option == "--initial-ingest":
        shutil.rmtree(mpingest.jobs)
    settle()
    summary = mpingest.start(root, target, option, ranks=2)
    assert summary["total"]["outcome_failed"] == 0
    assert summary["total"]["outcome_done"] == len(TREE)
    assert_registered(session, root, target)


def test_put_leaves_changed_files_alone_until_the_job_goes_on_with_put_sync(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str
) -> None:
    root = make_tree({"a": b"one", "b": b"two", "gone": b"two"})
    mpingest.start(root, target, "--operation", "put")
    settle()
    make_tree({"a": b"other", "c": b"three", "gone": b"longer"})
    settle()
    zone.reset_counts()
    total = mpingest.start(root, target, "--operation", "put")["total"]
    assert (total["outcome_skipped"], total["outcome_done"]) == (2, 1)
    assert zone.catalog_changes().total() == 1
    with session.data_objects.open(f"{target}/a", "r") as stored:
        assert stored.read() == b"one"
    assert sorted(objects_below(session, target)) == ["a", "b", "c", "gone"]
    (root / "gone").unlink()
    settle()
    mpingest.start(root, target, "--operation", "put_sync", "--delete-mode", "no_trash")
    assert_put(session, root, target)
    assert sorted(objects_below(session, target)) == ["a", "b", "c"]


def test_a_large_file_is_streamed(
    mpingest: CommandLine, tmp_path: Path, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with open(root / "large", "wb") as file:
        file.write(os.urandom(33 * 1024 * 1024))
        file.truncate(40 * 1024 * 1024)
    mpingest.start(root, target, "--operation", "put_sync", ranks=2)
    assert zone.counts()["DATA_OBJ_WRITE_AN"] == 5
    assert_put(session, root, target)
    with open(root / "large", "ab") as file:
        file.write(b"more")
    mpingest.start(root, target, "--operation", "put_sync", ranks=2)
    assert_put(session, root, target)


ODD_NAMES = [
    b"with spaces",
    b" leading",
    b"trailing ",
    b"it's",
    b'double "quotes"',
    b"100%s",
    b"back\\slash",
    b"new\nline",
    b"-dash",
    b"--operation",
    b"<&>;",
    b"tab\there",
    b"a&&b || c",
    b"*?[x]",
    b"$HOME`id`",
    b"x" * 255,
    "Ünïcødé-名前".encode(),
    b"~",
    b"...",
]


@pytest.mark.parametrize("operation", ["register_sync", "put_sync"])
def test_odd_names_are_ingested_right(
    mpingest: CommandLine, tmp_path: Path, session: iRODSSession, target: str, operation: str
) -> None:
    root = tmp_path / "root"
    for name in ODD_NAMES:
        directory = os.path.join(os.fsencode(root), b"in " + name[:200])
        os.makedirs(directory)
        for place in (directory, os.fsencode(root)):
            with open(os.path.join(place, name), "wb") as file:
                file.write(name)
    summary = mpingest.start(root, target, "--operation", operation, ranks=3)
    assert mpingest.failures() == []
    assert summary["total"]["outcome_done"] == 2 * len(ODD_NAMES)
    check = assert_registered if operation == "register_sync" else assert_put
    check(session, root, target)
    settle()
    assert mpingest.start(root, target, "--operation", operation, ranks=3)["total"]["requests"] == 0


def test_what_no_catalog_can_hold_is_reported_by_name_and_stops_nothing(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    root = make_tree({"good": b"good", "sub/good": b"good"})
    base = os.fsencode(root)
    (root / os.fsdecode(b"bad \xff")).write_bytes(b"")
    os.mkdir(base + b"/sub/bad \xfe")
    (root / os.fsdecode(b"sub/bad \xfe/below")).write_bytes(b"")
    deep = "/".join(["d" * 250] * 3 + ["e" * 150])
    (root / deep).mkdir(parents=True)
    (root / deep / "fits").write_bytes(b"1,000 bytes of path")
    (root / deep / ("f" * 250)).write_bytes(b"too long")
    done = mpingest("start", root, target, ranks=3)
    assert done.returncode == 3
    failures = {failure["path"]: failure["reason"] for failure in mpingest.failures()}
    assert set(failures) == {"bad \udcff", "sub/bad \udcfe/below", f"{deep}/{'f' * 250}"}
    assert "not valid UTF-8" in failures["bad \udcff"]
    assert "longer than the 1087 bytes" in failures[f"{deep}/{'f' * 250}"]
    assert sorted(objects_below(session, target)) == sorted(["good", "sub/good", f"{deep}/fits"])

    # The next run tries them again, and only them.
    assert mpingest("start", root, target, ranks=3).returncode == 3
    total = mpingest.summary()["total"]
    assert (total["outcome_failed"], total["directories_failed"], total["change_unchanged"]) == (3, 0, 3)


@pytest.mark.parametrize("operation", ["register_sync", "put_sync"])
def test_links_and_special_files(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, operation: str
) -> None:
    root = make_tree({"file": b"content", "dir/other": b"other"})
    (root / "link").symlink_to("file")
    (root / "dir-link").symlink_to("dir")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)
        listener.bind("socket")
        os.chdir(here)
        summary = mpingest.start(root, target, "--operation", operation, ranks=2)
    assert summary["exit_code"] == 0
    if operation == "register_sync":
        assert assert_registered(session, root, target) == 5
        assert summary["total"]["outcome_skipped"] == 2
    else:
        assert assert_put(session, root, target) == 3
        assert summary["total"]["outcome_skipped"] == 4
    settle()
    assert mpingest.start(root, target, "--operation", operation, ranks=2)["total"]["requests"] == 0


def test_a_put_link_follows_its_target(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"before")
    root = make_tree({"file": b"file"})
    (root / "link").symlink_to(elsewhere)
    mpingest.start(root, target, "--operation", "put_sync")
    settle()
    elsewhere.write_bytes(b"after, and longer")
    settle()
    assert mpingest.start(root, target, "--operation", "put_sync")["total"]["change_modified"] == 1
    assert_put(session, root, target)


def test_one_bad_file_does_not_fail_its_neighbours(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    files = {f"file{number}": b"x" for number in range(40)}
    root = make_tree(files)
    session.collections.create(f"{target}/file7")
    assert mpingest("start", "--operation", "put_sync", root, target, ranks=2).returncode == 3
    (failure,) = mpingest.failures()
    assert failure["path"] == "file7"
    assert failure["code"] < 0
    assert failure["error"] in failure["reason"]
    assert sorted(objects_below(session, target)) == sorted(set(files) - {"file7"})

    session.collections.remove(f"{target}/file7")
    assert mpingest.start(root, target, "--operation", "put_sync", ranks=2)["total"]["change_retry"] == 1
    assert_put(session, root, target)


HANDLER = """
from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation

LOG = {log!r}

def note(*what):
    with open(LOG, "a") as file:
        file.write(" ".join(map(str, what)) + "\\n")

class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC if "/put/" in meta["path"] else Operation.REGISTER_SYNC

    @staticmethod
    def to_resource(session, meta, **options):
        return "secondResc"

    @staticmethod
    def target_path(session, meta, **options):
        return "/mounted" + meta["path"]

    @staticmethod
    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        logger.info("about to create", path=meta["path"])
        note("pre_create", meta["target"], *args)

    @staticmethod
    def post_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        session.data_objects.get(meta["target"]).metadata.add("mode", "0644")
        note("post_create", meta["target"], *args)

    @staticmethod
    def pre_data_obj_modify(hdlr_mod, logger, session, meta, *args, **options):
        note("pre_modify", meta["target"], *args)

    @staticmethod
    def post_data_obj_modify(hdlr_mod, logger, session, meta, *args, **options):
        note("post_modify", meta["target"], *args)

    @staticmethod
    def pre_coll_create(hdlr_mod, logger, session, meta, **options):
        note("pre_coll", meta["target"])

    @staticmethod
    def post_coll_create(hdlr_mod, logger, session, meta, **options):
        note("post_coll", meta["target"])
"""


def test_a_handler_decides_and_is_called_around_everything(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    log = tmp_path / "calls"
    script = tmp_path / "handler.py"
    script.write_text(HANDLER.format(log=str(log)))
    root = make_tree({"put/a": b"a", "reg/b": b"b"})
    mpingest.start(root, target, "--event-handler", script, ranks=3)
    put, registered = f"{target}/put/a", f"{target}/reg/b"
    calls = log.read_text().splitlines()
    assert sorted(calls) == sorted(
        [f"{when}_coll {path}" for path in (target, f"{target}/put", f"{target}/reg") for when in ("pre", "post")]
        + [f"{when}_create {put} Operation.PUT_SYNC" for when in ("pre", "post")]
        + [f"{when}_create {registered}" for when in ("pre", "post")]
    )
    assert calls[:2] == [f"pre_coll {target}", f"post_coll {target}"]
    assert session.data_objects.get(registered).metadata.get_one("mode").value == "0644"
    replicas = {path: session.data_objects.get(path).replicas for path in (put, registered)}
    assert [replica.resource_name for path in replicas for replica in replicas[path]] == ["secondResc", "secondResc"]
    assert replicas[registered][0].path == f"/mounted{root}/reg/b"
    logged = "".join(path.read_text() for path in (mpingest.last_run() / "log").iterdir())
    assert logged.count('"event": "about to create"') == 2

    log.unlink()
    settle()
    make_tree({"put/a": b"changed", "reg/b": b"changed"})
    settle()
    mpingest.start(root, target, "--event-handler", script, ranks=3)
    assert sorted(log.read_text().splitlines()) == sorted(
        [f"{when}_modify {put} Operation.PUT_SYNC" for when in ("pre", "post")]
        + [f"{when}_modify {registered}" for when in ("pre", "post")]
    )
    assert objects_below(session, target)["reg/b"].size == len(b"changed")


def test_a_handler_that_raises_fails_its_entry_alone(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    script = tmp_path / "handler.py"
    script.write_text(
        "class event_handler:\n"
        "    @staticmethod\n"
        "    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):\n"
        "        if meta['path'].endswith('bad'):\n"
        "            raise RuntimeError('I do not like it')\n"
    )
    root = make_tree({"good": b"", "bad": b"", "other": b""})
    assert mpingest("start", "--event-handler", script, root, target, ranks=2).returncode == 3
    (failure,) = mpingest.failures()
    assert failure == {"path": "bad", "reason": "pre_data_obj_create() raised RuntimeError: I do not like it"}
    assert sorted(objects_below(session, target)) == ["good", "other"]


def test_what_becomes_a_file_is_put(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    root = make_tree({"file": b"file", "sub/other": b"other"})
    (root / "dangling").symlink_to("sub/later")
    (root / "to-directory").symlink_to("sub")
    os.mkfifo(root / "fifo")
    mpingest.start(root, target, "--operation", "put")
    settle()
    for name in ("to-directory", "fifo"):
        (root / name).unlink()
    make_tree({"to-directory": b"a file", "fifo": b"a file", "sub/later": b"a file"})
    settle()
    mpingest.start(root, target, "--operation", "put")
    assert assert_put(session, root, target) == 6


def test_a_put_of_a_file_that_was_changing_is_put_again(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    script = tmp_path / "handler.py"
    script.write_text(
        "class event_handler:\n"
        "    @staticmethod\n"
        "    def post_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):\n"
        "        open(meta['path'], 'a').write('more')\n"
    )
    root = make_tree({"growing": b"content"})
    options = ("--operation", "put", "--event-handler", script)
    assert mpingest.start(root, target, *options)["total"]["outcome_unsettled"] == 1
    settle()
    assert mpingest.start(root, target, *options)["total"]["outcome_done"] == 1
    assert assert_put(session, root, target) == 1


@pytest.mark.parametrize("when", ["1901-01-01", "1969-12-31", "2100-01-01", "2300-01-01"])
@pytest.mark.parametrize("operation", ["register_sync", "put_sync"])
def test_times_far_away(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, operation: str, when: str
) -> None:
    root = make_tree({"sub/file": b"content"})
    seconds = datetime.fromisoformat(when).replace(tzinfo=UTC).timestamp()
    for path in (root / "sub/file", root / "sub"):
        os.utime(path, (seconds, seconds))
    settle()
    assert mpingest.start(root, target, "--operation", operation)["total"]["outcome_done"] == 1
    assert list(objects_below(session, target)) == ["sub/file"]
    assert mpingest.start(root, target, "--operation", operation)["total"]["requests"] == 0


def taking_away(directory: Path, hook: str) -> Path:
    """A handler that removes files named brief in a hook."""
    script = directory / "handler.py"
    script.write_text(
        "import os\n"
        "class event_handler:\n"
        "    @staticmethod\n"
        f"    def {hook}(hdlr_mod, logger, session, meta, *args, **options):\n"
        "        os.unlink(meta['path']) if meta['path'].endswith('brief') else None\n"
    )
    return script


@pytest.mark.parametrize("options", [("--operation", "put_sync"), ("--checksum",)])
def test_a_file_that_vanishes_is_no_failure(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    tmp_path: Path,
    target: str,
    options: tuple[str, ...],
) -> None:
    """Whether mpingest is to read it, or the server."""
    script = taking_away(tmp_path, "pre_data_obj_create")
    root = make_tree({"brief": b"content", "stays": b"content"})
    options = (*options, "--event-handler", str(script))
    assert mpingest.start(root, target, *options)["exit_code"] == 0
    assert list(objects_below(session, target)) == ["stays"]
    again = mpingest.start(root, target, *options)["total"]
    assert (again["outcome_gone"], again["outcome_failed"], again["requests"]) == (0, 0, 0)


@pytest.mark.parametrize("options", [("--operation", "put_sync"), ("--checksum",)])
def test_the_object_of_a_file_that_vanishes_while_it_is_updated_is_deleted_later(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    tmp_path: Path,
    target: str,
    options: tuple[str, ...],
) -> None:
    script = taking_away(tmp_path, "pre_data_obj_modify")
    root = make_tree({"brief": b"content", "stays": b"content"})
    mpingest.start(root, target, *options)
    settle()
    make_tree({"brief": b"other content", "stays": b"other content"})
    settle()
    mpingest.start(root, target, *options, "--event-handler", script)
    assert not (root / "brief").exists()
    delete = ("--delete-mode", "trash" if "put_sync" in options else "unregister")
    assert mpingest.start(root, target, *options, *delete)["exit_code"] == 0
    assert list(objects_below(session, target)) == ["stays"]


PUT_AND_DELETE = ("--operation", "put_sync", "--delete-mode", "no_trash")


def at_first_sight(directory: Path, statement: str) -> Path:
    """A handler that does something about the file ``path`` before its object is made."""
    script = directory / "handler.py"
    script.write_text(
        "import os, threading\n"
        "class event_handler:\n"
        "    @staticmethod\n"
        "    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):\n"
        "        path = meta['path']\n"
        f"        {statement}\n"
    )
    return script


def test_the_object_of_a_file_that_grew_while_it_was_put_and_then_vanished_is_deleted(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    script = at_first_sight(tmp_path, "open(path, 'a').write('more')")
    root = make_tree({"brief": b"content"})
    mpingest.start(root, target, "--operation", "put_sync", "--event-handler", script)
    (root / "brief").unlink()
    assert mpingest.start(root, target, *PUT_AND_DELETE, "--allow-empty")["total"]["outcome_removed"] == 1
    assert objects_below(session, target) == {}


def test_the_object_of_a_file_whose_update_failed_and_that_then_vanished_is_deleted(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str
) -> None:
    root = make_tree({"brief": b"content"})
    mpingest.start(root, target, *PUT_AND_DELETE)
    settle()
    make_tree({"brief": b"other content", "never": b"never in the zone"})
    zone.inject("fail", Api.DATA_OBJ_PUT_AN, status=-818000, times=2)
    assert mpingest.start(root, target, *PUT_AND_DELETE)["total"]["outcome_failed"] == 2
    shutil.rmtree(root)
    root.mkdir()
    assert mpingest.start(root, target, *PUT_AND_DELETE, "--allow-empty")["total"]["outcome_removed"] == 1
    assert objects_below(session, target) == {}


@pytest.mark.parametrize("when", ["drop-before", "drop-after"])
def test_what_a_transfer_that_broke_off_left_of_a_file_that_vanished_is_deleted(
    mpingest: CommandLine,
    make_tree: MakeTree,
    zone: EmbeddedZone,
    session: iRODSSession,
    tmp_path: Path,
    target: str,
    when: str,
) -> None:
    script = at_first_sight(tmp_path, "threading.Timer(0.3, os.unlink, [path]).start()")
    root = make_tree({"brief": b"content"})
    zone.inject("delay", Api.DATA_OBJ_PUT_AN, seconds=0.6)
    zone.inject(when, Api.DATA_OBJ_PUT_AN)
    mpingest.start(root, target, "--operation", "put_sync", "--event-handler", script)
    assert len(objects_below(session, target)) == (when == "drop-after")
    assert mpingest.start(root, target, *PUT_AND_DELETE, "--allow-empty")["exit_code"] == 0
    assert objects_below(session, target) == {}


def test_another_operation_is_noted_and_done_for_all_if_asked(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    root = make_tree({"file": b"content"})
    mpingest.start(root, target, "--operation", "no_op")
    settle()
    (note,) = mpingest.start(root, target, "--operation", "put")["notes"]
    assert "it was no_op before, now it is put" in note
    assert not session.data_objects.exists(f"{target}/file")
    assert mpingest.start(root, target, "--operation", "put", "--ignore-cache")["notes"] == []
    assert_put(session, root, target)
