"""``--detect-renames``: what has another name since the last run keeps its object, with all that the catalog knows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from irods.models import Collection, CollectionMeta, DataObject, DataObjectMeta
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import CommandLine, powerless
from tests.e2e.checking import assert_put, assert_registered, objects_below
from tests.e2e.test_bad_input import login_files
from tests.e2e.test_start import settle

MakeTree = Callable[[dict[str, bytes]], Path]
FILES = {
    "top": b"top",
    "odd/it's & 100% <x>; ünï": b"odd",
    **{f"dir{number % 2}/sub{number % 3}/file{number}": b"x" * number for number in range(1, 13)},
    **{f"dir{number % 2}/plain{number}": b"y" * number for number in range(1, 5)},
}
CATALOG_NOT_CONNECTED, CAT_NO_ACCESS_PERMISSION = -801000, -818000
REGISTER, PUT = "register_sync", "put_sync"

both = pytest.mark.parametrize("operation", [REGISTER, PUT])


def moved(names: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    """The same under new paths; those of directories hold for all below."""

    def new(path: str) -> str:
        for old, name in renamed.items():
            if path == old or path.startswith(f"{old}/"):
                return name + path[len(old) :]
        return path

    return {new(path): value for path, value in names.items()}


@dataclass
class Scene:
    """A tree that is in the catalog, each object and collection with metadata that tells its path."""

    root: Path
    mpingest: CommandLine
    zone: EmbeddedZone
    session: iRODSSession
    target: str
    operation: str

    def rename(self, renamed: dict[str, str]) -> None:
        """Gives files and directories other paths, in order."""
        for old, new in renamed.items():
            (self.root / old).rename(self.root / new)

    def options(self, *, delete: bool = False) -> list[str]:
        """Options of a run. delete: what is gone goes for good."""
        mode = "unregister" if self.operation == REGISTER else "no_trash"
        return ["--operation", self.operation, "--detect-renames", *(("--delete-mode", mode) if delete else ())]

    def rerun(self, *options: str, delete: bool = False, ranks: int | None = None) -> dict[str, int]:
        """Runs the job again, a while after the last change; the total of the summary."""
        settle()
        self.zone.reset_counts()
        options = (*self.options(delete=delete), *options)
        total: dict[str, int] = self.mpingest.start(self.root, self.target, *options, ranks=ranks)["total"]
        return total

    def changes(self) -> dict[str, int]:
        """Requests of the last run that changed the catalog."""
        return dict(self.zone.catalog_changes())

    def check(self) -> int:
        """Every file has its object, and nothing else has; how many there are."""
        check = assert_registered if self.operation == REGISTER else assert_put
        return check(self.session, self.root, self.target)

    def mark(self) -> None:
        """Gives every object and collection its metadata."""
        for name in self.ids():
            self.session.data_objects.get(f"{self.target}/{name}").metadata.add("was", name)
        for name in self.collection_ids():
            self.session.collections.get(f"{self.target}/{name}").metadata.add("was", name)

    def ids(self) -> dict[str, int]:
        """Ids of objects by path below the target."""
        rows = self.session.query(Collection.name, DataObject.name, DataObject.id)
        return self._below({f"{row[Collection.name]}/{row[DataObject.name]}": row[DataObject.id] for row in rows})

    def collection_ids(self) -> dict[str, int]:
        """Ids of collections, likewise."""
        rows = self.session.query(Collection.name, Collection.id)
        return self._below({row[Collection.name]: row[Collection.id] for row in rows})

    def marks(self) -> dict[str, str]:
        """The metadata that ``mark`` gave, of those objects and collections that have it."""
        objects = self.session.query(Collection.name, DataObject.name, DataObjectMeta.value)
        collections = self.session.query(Collection.name, CollectionMeta.value)
        found = {
            f"{row[Collection.name]}/{row[DataObject.name]}": row[DataObjectMeta.value]
            for row in objects.filter(DataObjectMeta.name == "was")
        } | {
            row[Collection.name]: row[CollectionMeta.value] for row in collections.filter(CollectionMeta.name == "was")
        }
        return self._below(found)

    def _below(self, paths: dict[str, Any]) -> dict[str, Any]:
        start = f"{self.target}/"
        return {path.removeprefix(start): value for path, value in paths.items() if path.startswith(start)}


@pytest.fixture
def operation() -> str:
    """What most tests are run with."""
    return REGISTER


@pytest.fixture
def scene(
    mpingest: CommandLine,
    make_tree: MakeTree,
    zone: EmbeddedZone,
    session: iRODSSession,
    target: str,
    operation: str,
) -> Scene:
    scene = Scene(make_tree(FILES), mpingest, zone, session, target, operation)
    settle()
    mpingest.start(scene.root, target, "--operation", operation)
    scene.mark()
    return scene


@pytest.mark.parametrize(("operation", "ranks"), [(REGISTER, None), (PUT, 4)])
def test_files_within_and_across_directories(scene: Scene, operation: str, ranks: int | None) -> None:
    renamed = {
        "top": "bottom",
        "odd/it's & 100% <x>; ünï": "odd/ünï <&> 'it",
        "dir1/plain3": "dir0/plain3",
        "dir0/sub0/file6": "dir1/sub1/another name",
        "dir1/sub0/file3": "new/deep/er/file3",
    }
    ids = scene.ids()
    (scene.root / "new/deep/er").mkdir(parents=True)
    scene.rename(renamed)
    (scene.root / "really new").write_bytes(b"new")
    total = scene.rerun(delete=True, ranks=ranks)
    changes = scene.changes()
    assert scene.check() == len(FILES) + 1
    assert {name: number for name, number in scene.ids().items() if name != "really new"} == moved(ids, renamed)
    assert {scene.marks()[new] for new in renamed.values()} == set(renamed)
    assert (total["renamed"], total["directories_renamed"], total["outcome_removed"]) == (len(renamed), 0, 0)
    assert (total["change_new"], total["change_deleted"]) == (len(renamed) + 1, len(renamed))
    assert (total["entries"], total["directories"]) == (len(FILES) + 1, 13)
    assert changes["DATA_OBJ_RENAME_AN"] == len(renamed)
    assert changes.get("MOD_DATA_OBJ_META_AN", 0) == (len(renamed) if operation == REGISTER else 0)
    assert total["requests"] == sum(changes.values()), "nothing had to be asked"
    assert scene.rerun(delete=True, ranks=ranks)["requests"] == 0


@both
def test_what_has_the_name_of_a_renamed_directory_or_file_now_comes_in(scene: Scene, operation: str) -> None:
    scene.rename({"dir0": "zero", "dir1/plain1": "plain"})
    (scene.root / "dir0").write_bytes(b"a file now")
    (scene.root / "dir1/plain1").mkdir()
    (scene.root / "dir1/plain1/file").write_bytes(b"in a directory now")
    total = scene.rerun(delete=True)
    assert scene.check() == len(FILES) + 2
    assert (total["outcome_failed"], total["directories_failed"]) == (0, 0)
    assert scene.rerun(delete=True)["requests"] == 0


@pytest.mark.parametrize(("operation", "ranks"), [(REGISTER, 4), (PUT, None)])
def test_a_directory_goes_as_a_whole(scene: Scene, operation: str, ranks: int | None) -> None:
    renamed = {"dir0": "dirs/zero", "dir1": "one"}
    below = sum(name.startswith(("dir0/", "dir1/")) for name in FILES)
    ids = scene.ids() | scene.collection_ids()
    (scene.root / "dirs").mkdir()
    scene.rename(renamed)
    total = scene.rerun(delete=True, ranks=ranks)
    changes = scene.changes()
    assert scene.check() == len(FILES)
    now = scene.ids() | scene.collection_ids()
    del now["dirs"]
    assert now == moved(ids, renamed)
    assert scene.marks() == moved({name: name for name in ids}, renamed)
    assert (total["renamed"], total["directories_renamed"], total["entries"]) == (below, 2, len(FILES))
    assert (total["change_new"], total["bytes_sent"], total["outcome_removed"]) == (0, 0, 0)
    expected = {"DATA_OBJ_RENAME_AN": 2, "COLL_CREATE_AN": 1}
    assert changes == expected | ({"MOD_DATA_OBJ_META_AN": below} if operation == REGISTER else {})
    assert total["requests"] == sum(changes.values()), "nothing had to be asked"
    assert f"renamed      {below} files and 2 directories" in scene.mpingest.last.stdout

    assert scene.rerun(delete=True, ranks=ranks)["requests"] == 0
    shutil.rmtree(scene.root / "one")
    assert scene.rerun(delete=True, ranks=ranks)["outcome_removed"] == below / 2
    assert scene.check() == len(FILES) - below / 2


@both
def test_a_directory_with_changes_inside(scene: Scene) -> None:
    collections, ids = scene.collection_ids(), scene.ids()
    scene.rename({"dir0": "zero", "zero/sub0/file12": "zero/sub0/twelve"})
    (scene.root / "zero/plain2").write_bytes(b"changed since")
    (scene.root / "zero/sub0/file6").unlink()
    (scene.root / "zero/sub1/new").write_bytes(b"new")
    total = scene.rerun(delete=True)
    assert scene.check() == len(FILES)
    assert scene.collection_ids() == moved(collections, {"dir0": "zero"})
    assert scene.marks()["zero"] == "dir0"
    assert scene.ids()["zero/plain2"] == ids["dir0/plain2"]
    assert (total["directories_renamed"], total["change_modified"]) == (1, 1)
    assert scene.rerun(delete=True)["requests"] == 0


@pytest.mark.parametrize("operation", [PUT])
def test_what_came_or_went_in_a_directory_makes_it_go_file_by_file(scene: Scene) -> None:
    ids = scene.ids()
    scene.rename({"dir0": "zero"})
    (scene.root / "zero/plain2").unlink()
    total = scene.rerun(delete=True)
    assert scene.check() == len(FILES) - 1
    del ids["dir0/plain2"]
    assert scene.ids() == moved(ids, {"dir0": "zero"})
    assert (total["directories_renamed"], total["outcome_removed"]) == (3, 1), "its subdirectories go as a whole"
    assert scene.rerun(delete=True)["requests"] == 0


def test_a_directory_is_known_as_the_last_run_found_it(scene: Scene) -> None:
    (scene.root / "dir0/one more").write_bytes(b"more")
    scene.rerun()
    scene.rename({"dir0": "zero"})
    assert scene.rerun()["directories_renamed"] == 1
    assert scene.check() == len(FILES) + 1
    assert scene.marks()["zero"] == "dir0"


def test_what_is_renamed_and_changed_is_new(scene: Scene) -> None:
    ids = scene.ids()
    scene.rename({"top": "bottom"})
    (scene.root / "bottom").write_bytes(b"other content")
    total = scene.rerun(delete=True)
    assert (total["renamed"], total["outcome_removed"]) == (0, 1)
    assert scene.ids()["bottom"] not in ids.values()
    assert scene.check() == len(FILES)


def test_hard_links_take_one_object_each(scene: Scene) -> None:
    (scene.root / "link").hardlink_to(scene.root / "top")
    scene.rerun()
    ids = scene.ids()
    scene.rename({"top": "one", "link": "two"})
    (scene.root / "three").hardlink_to(scene.root / "one")
    assert scene.rerun(delete=True)["renamed"] == 2
    assert scene.check() == len(FILES) + 2
    now = scene.ids()
    assert {ids["top"], ids["link"]} < {now["one"], now["two"], now["three"]}


def test_a_swap_is_no_rename(scene: Scene) -> None:
    ids = scene.ids()
    scene.rename({"dir0/plain2": "aside", "dir0/plain4": "dir0/plain2", "aside": "dir0/plain4"})
    total = scene.rerun()
    assert (total["renamed"], total["change_modified"], scene.ids()) == (0, 2, ids)
    assert scene.check() == len(FILES)


@both
def test_a_name_that_is_taken_in_the_catalog_is_ingested_as_ever(scene: Scene, operation: str) -> None:
    scene.session.data_objects.create(f"{scene.target}/bottom")
    ids = scene.ids()
    scene.rename({"top": "bottom"})
    assert scene.rerun()["renamed"] == 0
    assert scene.ids() == ids
    if operation == REGISTER:
        assert "an object of that name is there already" in scene.mpingest.failures()[0]["reason"]
    else:
        assert objects_below(scene.session, scene.target)["bottom"].size == len(FILES["top"])


def test_what_else_is_gone_stays_unless_deletion_is_asked_for(scene: Scene) -> None:
    ids = scene.ids()
    scene.rename({"top": "bottom"})
    (scene.root / "dir0/plain2").unlink()
    assert scene.rerun()["outcome_removed"] == 0
    assert scene.ids() == moved(ids, {"top": "bottom"})


@both
def test_what_is_gone_below_a_renamed_directory_moves_with_its_collection_until_deletion_is_asked_for(
    scene: Scene,
) -> None:
    ids = scene.ids()
    scene.rename({"dir0": "zero"})
    (scene.root / "zero/sub0/file6").unlink()
    assert scene.rerun()["outcome_removed"] == 0
    assert scene.ids() == moved(ids, {"dir0": "zero"})
    assert scene.rerun(delete=True)["outcome_removed"] == 1
    assert scene.check() == len(FILES) - 1


def test_nothing_is_taken_for_renamed_on_the_word_of_an_incomplete_scan(scene: Scene) -> None:
    ids = scene.ids()
    scene.rename({"dir0/plain2": "two"})
    (scene.root / "dir0").chmod(0)
    scene.mpingest.prefix = powerless()
    try:
        assert scene.rerun()["renamed"] == 0
    finally:
        (scene.root / "dir0").chmod(0o755)
    assert set(scene.ids()) == {*ids, "two"}


def test_excluded_names_are_neither_gone_nor_found(scene: Scene) -> None:
    ids = scene.ids()
    scene.rename({"top": "left out", "dir0/plain2": "two"})
    total = scene.rerun("--exclude-file-name", f"{scene.root}/left.*")
    assert (total["renamed"], total["excluded"]) == (1, 1)
    assert scene.ids() == moved(ids, {"dir0/plain2": "two"})


@pytest.mark.parametrize("operation", [PUT])
def test_large_directories_shared_by_several_ranks(scene: Scene) -> None:
    for number in range(60):
        (scene.root / f"dir1/many{number}").write_bytes(b"many")
    scene.rerun("--slice-size", "7", ranks=3)
    ids = scene.ids()
    scene.rename({"dir1": "one"})
    for number in range(20):
        (scene.root / f"dir0/some{number}").write_bytes(b"some")
    total = scene.rerun("--slice-size", "7", ranks=3)
    assert {name: number for name, number in scene.ids().items() if "some" not in name} == moved(ids, {"dir1": "one"})
    assert scene.check() == total["entries"] == len(FILES) + 80
    assert scene.rerun("--slice-size", "7", ranks=3)["requests"] == 0


@both
def test_a_lost_reply_does_not_matter(scene: Scene) -> None:
    ids = scene.ids()
    scene.rename({"top": "bottom"})
    scene.zone.inject("drop-after", Api.DATA_OBJ_RENAME_AN)
    assert scene.rerun()["renamed"] == 1
    assert scene.ids() == moved(ids, {"top": "bottom"})
    assert scene.check() == len(FILES)


@pytest.mark.parametrize("api", [Api.DATA_OBJ_RENAME_AN, Api.MOD_DATA_OBJ_META_AN])
def test_a_refused_request_leaves_all_as_it_is_without_renames(scene: Scene, api: Api) -> None:
    scene.rename({"top": "bottom"})
    scene.zone.inject("fail", api, status=CAT_NO_ACCESS_PERMISSION)
    assert scene.rerun(delete=True)["renamed"] == 0
    assert scene.check() == len(FILES)
    assert scene.rerun(delete=True)["requests"] == 0


def test_what_cannot_be_finished_below_a_renamed_directory_is_so_by_the_next_run(scene: Scene) -> None:
    ids, renamed = scene.ids(), {"dir0": "zero", "dir1": "one"}
    scene.rename(renamed)
    (scene.root / "one/sub0").chmod(0)
    scene.mpingest.prefix = powerless()
    scene.zone.inject("fail", Api.MOD_DATA_OBJ_META_AN, status=CAT_NO_ACCESS_PERMISSION)
    try:
        total = scene.rerun()
    finally:
        (scene.root / "one/sub0").chmod(0o755)
    assert (total["outcome_failed"], total["directories_failed"]) == (1, 1)
    assert scene.ids() == moved(ids, renamed)
    assert scene.rerun(delete=True)["outcome_failed"] == 0
    assert scene.ids() == moved(ids, renamed)
    assert scene.check() == len(FILES)
    assert scene.rerun(delete=True)["requests"] == 0


# Runs that are killed.


def run_until(scene: Scene, is_time: Callable[[], bool], *options: str) -> None:
    """Runs the job again, and kills it."""
    settle()
    command = [sys.executable, "-m", "mpingest", "start", *scene.options(), *options, str(scene.root), scene.target]
    run = subprocess.Popen(command, env=scene.mpingest.environment, stderr=subprocess.PIPE)
    try:
        while not is_time():
            assert run.poll() is None, run.communicate()[1]
            time.sleep(0.02)
    finally:
        run.kill()
        run.communicate()


def run_until_in(scene: Scene, method: str, path: Path, name: str) -> None:
    """Runs the job again with a handler whose ``method`` hangs for the entry ``name``, and kills it there."""
    mark = path / "reached"
    options = handler(
        path,
        "@staticmethod\n"
        f"def {method}(module, logger, session, meta, *args, **options):\n"
        f"    if meta['path'].endswith('/{name}'):\n"
        f"        open({str(mark)!r}, 'w').close()\n"
        "        time.sleep(600)\n",
    )
    run_until(scene, mark.exists, *options)


@pytest.mark.parametrize(
    ("operation", "method"),
    [(REGISTER, "pre_data_obj_modify"), (REGISTER, "post_data_obj_modify"), (PUT, "post_data_obj_modify")],
)
def test_killed_before_a_rename_or_before_it_is_recorded(scene: Scene, tmp_path: Path, method: str) -> None:
    ids = scene.ids()
    scene.rename({"top": "bottom"})
    run_until_in(scene, method, tmp_path, "bottom")
    assert scene.ids() == (ids if method.startswith("pre") else moved(ids, {"top": "bottom"}))
    assert scene.rerun(delete=True)["bytes_sent"] == 0
    assert scene.ids() == moved(ids, {"top": "bottom"})
    assert scene.check() == len(FILES)
    assert scene.rerun(delete=True)["requests"] == 0


def test_killed_before_the_paths_of_files_are_set(scene: Scene) -> None:
    ids, renamed = scene.ids(), {"top": "bottom", "dir0": "zero"}
    scene.rename(renamed)
    scene.zone.inject("fail", Api.MOD_DATA_OBJ_META_AN, status=CATALOG_NOT_CONNECTED, times=None)
    run_until(scene, lambda: set(scene.ids()) == set(moved(ids, renamed)))
    scene.zone.clear_faults()
    scene.rerun(delete=True)
    assert scene.ids() == moved(ids, renamed)
    assert scene.check() == len(FILES)
    assert scene.rerun(delete=True)["requests"] == 0


@pytest.mark.parametrize("operation", [PUT])
def test_killed_after_a_directory_was_renamed(scene: Scene, tmp_path: Path) -> None:
    ids, renamed = scene.ids(), {"dir0": "zero"}
    scene.rename(renamed)
    run_until_in(scene, "pre_coll_modify", tmp_path, "zero")
    assert scene.ids() == moved(ids, renamed)
    assert scene.rerun(delete=True)["bytes_sent"] == 0
    assert scene.ids() == moved(ids, renamed)
    assert scene.check() == len(FILES)
    assert scene.rerun(delete=True)["requests"] == 0


# Handlers.


def handler(path: Path, body: str) -> list[str]:
    """Options for a run with an event handler of these methods."""
    script = path / "handler.py"
    methods = "\n".join(f"    {line}" for line in body.splitlines())
    imports = "import json, time\nfrom mpingest.handler.operations import Operation\n"
    script.write_text(f"{imports}class event_handler:\n{methods}\n")
    return ["--event-handler", str(script)]


def test_hooks_of_what_is_modified_are_called_and_metadata_follows(scene: Scene, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    options = handler(
        tmp_path,
        "@staticmethod\n"
        "def post_data_obj_create(module, logger, session, meta, **options):\n"
        f"    open({str(calls)!r}, 'a').write('created\\n')\n"
        "@staticmethod\n"
        "def post_data_obj_modify(module, logger, session, meta, *operation, **options):\n"
        "    known = {key: meta[key] for key in ('path', 'target', 'renamed_from', 'target_renamed_from')}\n"
        f"    open({str(calls)!r}, 'a').write(json.dumps([known, bool(operation)]) + '\\n')\n"
        "@staticmethod\n"
        "def metadata(meta):\n"
        "    return [('name', meta['target'].rpartition('/')[2])]\n",
    )
    scene.rename({"top": "bottom"})
    scene.rerun(*options)
    (line,) = calls.read_text().splitlines()
    assert json.loads(line) == [
        {
            "path": f"{scene.root}/bottom",
            "target": f"{scene.target}/bottom",
            "renamed_from": f"{scene.root}/top",
            "target_renamed_from": f"{scene.target}/top",
        },
        False,
    ]
    scene.rename({"bottom": "last"})
    scene.rerun(*options)
    found = scene.session.data_objects.get(f"{scene.target}/last").metadata
    assert {avu.name: avu.value for avu in found.items()} == {"was": "top", "name": "last"}


def test_a_hook_that_fails_fails_the_file_and_the_next_run_renames_it(scene: Scene, tmp_path: Path) -> None:
    ids = scene.ids()
    scene.rename({"top": "bottom"})
    options = handler(
        tmp_path, "@staticmethod\ndef pre_data_obj_modify(*args, **options):\n    raise ValueError('no')\n"
    )
    assert scene.rerun(*options)["outcome_failed"] == 1
    assert "pre_data_obj_modify() raised ValueError: no" in scene.mpingest.failures()[0]["reason"]
    assert scene.ids() == ids
    assert scene.rerun()["renamed"] == 1
    assert scene.ids() == moved(ids, {"top": "bottom"})


def test_the_object_goes_where_the_handler_says(scene: Scene, tmp_path: Path) -> None:
    options = handler(
        tmp_path,
        "@staticmethod\ndef collection_for(meta):\n    return 'large' if '/big' in meta['path'] else None\n",
    )
    ids = scene.ids()
    scene.rename({"top": "big", "dir0": "big0"})
    assert scene.rerun(*options)["directories_renamed"] == 0
    below = {name: "large/" + name.rpartition("/")[2] for name in ids if name.startswith("dir0/")}
    assert scene.ids() == moved(ids, {"top": "large/big", **below})


def test_what_is_to_be_stored_otherwise_is_no_rename(scene: Scene, tmp_path: Path) -> None:
    options = handler(
        tmp_path,
        "@staticmethod\n"
        "def operation(session, meta, **options):\n"
        "    return Operation.PUT_SYNC if 'vault' in meta['path'] else Operation.REGISTER_SYNC\n",
    )
    scene.rename({"top": "vault", "dir0": "vault0", "dir1": "one"})
    total = scene.rerun(*options)
    assert (total["renamed"], total["directories_renamed"]) == (8, 1)
    stored = objects_below(scene.session, scene.target)
    assert not any(stored[name].path.startswith(str(scene.root)) for name in ("vault", "vault0/plain2"))
    assert stored["one/plain1"].path == f"{scene.root}/one/plain1"


# What it does not go with.


def test_who_may_not_change_the_paths_of_files(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, tmp_path: Path
) -> None:
    session.users.create("rita", "rodsuser")
    session.users.modify("rita", "password", "secret")
    mpingest.environment |= login_files(zone, tmp_path, user="rita", password="secret")
    done = mpingest("start", "--detect-renames", make_tree(FILES), f"/{zone.zone}/home/rita/target")
    session.users.remove("rita")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "--detect-renames: user rita is a rodsuser" in done.stderr


def test_contradictions(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    root = make_tree(FILES)
    for option, reason in (("--ignore-cache", "the checkpoint"), ("--delete-unknown", "unknown: choose one")):
        done = mpingest("start", "--detect-renames", option, root, target)
        assert done.returncode == 2
        assert reason in done.stderr


def test_an_object_keeps_the_modify_time_of_its_file(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    root = make_tree({"one/file": b"content", "other/file": b"else"})
    os.utime(root / "one/file", (10**9, 10**9))
    options = ("--operation", PUT, "--detect-renames", "--preserve-mtime")
    mpingest.start(root, target, *options)
    (root / "one/file").rename(root / "other/new")
    assert mpingest.start(root, target, *options)["total"]["renamed"] == 1
    assert session.data_objects.get(f"{target}/other/new").modify_time.timestamp() == 10**9


def test_what_a_killed_run_had_registered_in_a_directory_that_was_renamed(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    """It moves with the collection, and nothing is recorded of it."""
    root = make_tree({"one/file": b"content", "one/late": b"late"})
    settle()
    mpingest.start(root, target, "--detect-renames", "--exclude-file-name", ".*late")
    session.data_objects.register(str(root / "one/late"), f"{target}/one/late")
    (root / "one/late").write_bytes(b"longer now")
    (root / "one").rename(root / "other")
    settle()
    assert mpingest.start(root, target, "--detect-renames")["total"]["directories_renamed"] == 1
    assert assert_registered(session, root, target) == 2
