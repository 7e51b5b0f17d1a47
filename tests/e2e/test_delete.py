"""What is gone from the file system, and what the delete modes make of it in the catalog."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.models import Collection, DataObject
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import CommandLine
from tests.e2e.checking import assert_put, assert_registered, collections_below, objects_below
from tests.e2e.test_start import settle

MakeTree = Callable[[dict[str, bytes]], Path]
FILES = {f"dir{number % 4}/sub{number % 3}/file{number}": b"x" * number for number in range(60)}
GONE = sum(name.startswith(("dir1/", "dir2/sub2/")) for name in FILES) + 1

MODES = {"unregister": "register_sync", "trash": "put_sync", "no_trash": "put_sync"}


def remove_some(root: Path) -> None:
    shutil.rmtree(root / "dir1")
    shutil.rmtree(root / "dir2/sub2")
    (root / "dir0/sub0/file0").unlink()


def in_trash(session: iRODSSession, target: str, name: str) -> bool:
    """Whether an object of that name lies in the trash below the collection where it was."""
    below = os.path.basename(target)
    rows = session.query(Collection.name, DataObject.name).filter(DataObject.name == name)
    return any("/trash/" in row[Collection.name] and f"/{below}/" in row[Collection.name] for row in rows)


@pytest.mark.parametrize("ranks", [None, 4])
@pytest.mark.parametrize("mode", list(MODES))
def test_what_is_gone_is_deleted_and_nothing_else(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    target: str,
    mode: str,
    ranks: int | None,
) -> None:
    options = ("--operation", MODES[mode], "--delete-mode", mode)
    root = make_tree(FILES)
    mpingest.start(root, target, *options, ranks=ranks)
    session.data_objects.create(f"{target}/dir2/not ours")
    settle()
    physical = [stored.path for name, stored in objects_below(session, target).items() if name.startswith("dir1/")]
    remove_some(root)
    total = mpingest.start(root, target, *options, ranks=ranks)["total"]
    assert (total["outcome_gone"], total["outcome_removed"], total["outcome_failed"]) == (GONE, GONE, 0)
    assert "dir2/not ours" in objects_below(session, target)
    session.data_objects.unlink(f"{target}/dir2/not ours", force=True)
    check = assert_registered if mode == "unregister" else assert_put
    assert check(session, root, target) == len(FILES) - GONE
    if mode != "unregister":
        assert in_trash(session, target, "file13") == (mode == "trash")
        assert not any(map(os.path.exists, physical))

    zone.reset_counts()
    again = mpingest.start(root, target, *options, ranks=ranks)["total"]
    assert (again["requests"], again["outcome_gone"], again["outcome_removed"]) == (0, 0, 0)
    make_tree(FILES)
    settle()
    mpingest.start(root, target, *options, ranks=ranks)
    assert check(session, root, target) == len(FILES)


def swap(root: Path) -> None:
    """A directory becomes a file, and a file a directory."""
    shutil.rmtree(root / "dir1")
    (root / "dir1").write_bytes(b"a file")
    (root / "dir0/sub0/file0").unlink()
    (root / "dir0/sub0/file0/sub").mkdir(parents=True)
    for name in ("one", "sub/two"):
        (root / "dir0/sub0/file0" / name).write_bytes(b"of a file")
    settle()


@pytest.mark.parametrize(("mode", "ranks"), [("unregister", None), ("no_trash", 4)])
def test_a_directory_that_becomes_a_file_and_the_reverse(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, mode: str, ranks: int | None
) -> None:
    """One run does it all; what has the name is brought in once what had it is deleted, and not before."""
    options = ("--operation", MODES[mode], "--delete-mode", mode, "--slice-size", "2")
    check = assert_registered if mode == "unregister" else assert_put
    root = make_tree(FILES)
    mpingest.start(root, target, *options, ranks=ranks)
    swap(root)
    gone = sum(name.startswith("dir1/") for name in FILES) + 1
    before = set(objects_below(session, target))
    refused = mpingest.start(root, target, *options, "--max-delete", "1", ranks=ranks)
    assert (refused["exit_code"], refused["total"]["outcome_removed"]) == (3, 0)
    reason = "its name was that of a directory, or of a file, whose collection or object is not deleted yet"
    assert [(failure["path"], failure["reason"]) for failure in sorted(mpingest.failures(), key=str)] == [
        ("dir0/sub0/file0", reason),
        ("dir1", reason),
    ]
    assert set(objects_below(session, target)) == before

    total = mpingest.start(root, target, *options, ranks=ranks)["total"]
    assert mpingest.failures() == []
    assert (total["outcome_removed"], total["change_new"], total["outcome_done"]) == (gone, 3, 3)
    assert check(session, root, target) == len(FILES) - gone + 3
    assert "dir1" not in collections_below(session, target)
    assert mpingest.start(root, target, *options, ranks=ranks)["total"]["requests"] == 0


def test_what_a_link_no_longer_leads_to_is_not_gone(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path
) -> None:
    options = ("--operation", "put_sync", "--delete-mode", "no_trash", "--follow-symlinks", "all")
    root = make_tree({"file": b"x"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "below").write_bytes(b"y")
    (root / "link").symlink_to(elsewhere)
    mpingest.start(root, target, *options)
    settle()
    elsewhere.rename(tmp_path / "away")
    assert mpingest.start(root, target, *options)["total"]["outcome_removed"] == 0
    assert set(objects_below(session, target)) == {"file", "link/below"}


def test_what_is_not_ours_keeps_its_name(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    """Not even what has the name now is recorded, so that this can come in once it is free."""
    options = ("--operation", "put_sync", "--delete-mode", "no_trash")
    root = make_tree(FILES)
    mpingest.start(root, target, *options)
    session.data_objects.create(f"{target}/dir1/not ours")
    swap(root)
    for _ in range(2):
        assert mpingest.start(root, target, *options)["exit_code"] == 3
        assert [failure["path"] for failure in mpingest.failures()] == ["dir1"]
        assert "dir1/not ours" in objects_below(session, target)
    session.data_objects.unlink(f"{target}/dir1/not ours", force=True)
    assert mpingest.start(root, target, *options)["exit_code"] == 0
    assert "dir1" in objects_below(session, target)


def test_a_collection_that_holds_something_else_stays(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    options = ("--operation", "put_sync", "--delete-mode", "no_trash")
    root = make_tree(FILES)
    mpingest.start(root, target, *options)
    session.data_objects.create(f"{target}/dir1/sub1/not ours")
    settle()
    remove_some(root)
    assert mpingest.start(root, target, *options)["exit_code"] == 0
    assert [name for name in objects_below(session, target) if name.startswith("dir1/")] == ["dir1/sub1/not ours"]
    assert {name for name in collections_below(session, target) if name.startswith("dir1")} == {"dir1", "dir1/sub1"}


@pytest.mark.parametrize("mode", ["unregister", "no_trash"])
def test_an_object_that_is_not_ours_any_more_stays(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path, mode: str
) -> None:
    options = ("--operation", MODES[mode], "--delete-mode", mode)
    root = make_tree({"replaced": b"ours", "removed": b"ours", "gone": b"ours", "kept": b"ours"})
    mpingest.start(root, target, *options)
    local = tmp_path / "local"
    local.write_bytes(b"theirs, and longer")
    for name in ("replaced", "removed"):
        if mode == "unregister":
            session.data_objects.unregister(f"{target}/{name}")
        else:
            session.data_objects.unlink(f"{target}/{name}", force=True)
    session.data_objects.put(str(local), f"{target}/replaced")
    settle()
    for name in ("replaced", "removed", "gone"):
        (root / name).unlink()
    done = mpingest("start", *options, root, target)
    assert done.returncode == 3
    (failure,) = mpingest.failures()
    assert failure["path"] == "replaced"
    assert "kept" in failure["reason"]
    assert sorted(objects_below(session, target)) == ["kept", "replaced"]
    # It is tried again each time, and still said.
    assert mpingest("start", *options, root, target).returncode == 3


def test_of_several_replicas_only_ours_is_unregistered(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path
) -> None:
    options = ("--operation", "register_as_replica_sync", "--resource", "secondResc", "--delete-mode", "unregister")
    root = make_tree({"file": b"content", "other": b"other"})
    session.collections.create(target)
    session.data_objects.put(str(root / "file"), f"{target}/file")
    mpingest.start(root, target, *options)
    # The registered replica made the other one stale; now it is good again.
    session.data_objects.modDataObjMeta({"objPath": f"{target}/file", "replNum": 0}, {"replStatus": "1"})
    settle()
    (root / "file").unlink()
    assert mpingest.start(root, target, *options)["total"]["outcome_removed"] == 1
    (left,) = session.data_objects.get(f"{target}/file").replicas
    assert (left.number, left.resource_name) == (0, "demoResc")


def test_a_mass_deletion_is_refused_unless_meant(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    options = ("--delete-mode", "unregister")
    files = {f"dir{number % 4}/file{number}": b"" for number in range(200)}
    root = make_tree(files)
    mpingest.start(root, target, *options)
    for name in ("dir0", "dir1", "dir2"):
        shutil.rmtree(root / name)
    done = mpingest("start", *options, root, target, ranks=3)
    assert done.returncode == 3
    assert "more than half: nothing is deleted" in done.stdout
    assert len(objects_below(session, target)) == 200
    done = mpingest("start", *options, "--max-delete", "152", root, target)
    assert "--max-delete allows 152" in done.stdout
    assert len(objects_below(session, target)) == 200
    assert mpingest("start", *options, "--max-delete", "153", root, target, ranks=3).returncode == 0
    assert assert_registered(session, root, target) == 50


def test_what_went_before_is_deleted_once_the_mode_asks_for_it(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    root = make_tree(FILES)
    mpingest.start(root, target)
    remove_some(root)
    mpingest.start(root, target)
    assert len(objects_below(session, target)) == len(FILES)
    mpingest.start(root, target, "--delete-mode", "unregister")
    assert assert_registered(session, root, target) == len(FILES) - GONE


@pytest.mark.parametrize(
    ("operation", "mode"),
    [("register_sync", "trash"), ("put", "no_trash"), ("put_sync", "unregister"), ("no_op", "trash")],
)
def test_modes_that_do_not_fit_are_refused_before_any_work(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, operation: str, mode: str
) -> None:
    done = mpingest("start", "--operation", operation, "--delete-mode", mode, make_tree(FILES), target, ranks=2)
    assert done.returncode == 1
    assert f"delete mode {mode} does not fit operation {operation}: it takes do_not_delete" in done.stderr
    assert not mpingest.jobs.exists()
    assert not session.collections.exists(target)


def test_the_handler_decides_and_is_called_around_deletions(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    log = tmp_path / "calls"
    script = tmp_path / "handler.py"
    hooks = "\n".join(
        f"    @staticmethod\n    def {when}_{what}_delete(hdlr_mod, session, meta, **options):\n"
        f"        note('{when}_{what}', meta['target'])"
        for when in ("pre", "post")
        for what in ("data_obj", "coll")
    )
    script.write_text(
        "from irods_capability_automated_ingest.core import Core\n"
        "from irods_capability_automated_ingest.utils import DeleteMode\n"
        "def note(*what):\n"
        f"    with open({str(log)!r}, 'a') as file:\n"
        "        file.write(' '.join(what) + '\\n')\n"
        "class event_handler(Core):\n"
        "    @staticmethod\n"
        "    def delete_mode(meta):\n"
        "        return DeleteMode.UNREGISTER\n" + hooks
    )
    root = make_tree({"dir/file": b"", "kept": b""})
    mpingest.start(root, target, "--event-handler", script, ranks=2)
    shutil.rmtree(root / "dir")
    mpingest.start(root, target, "--event-handler", script, ranks=2)
    assert log.read_text().splitlines() == [
        f"{when}_{what} {target}/{path}"
        for what, path in (("data_obj", "dir/file"), ("coll", "dir"))
        for when in ("pre", "post")
    ]
    assert_registered(session, root, target)
