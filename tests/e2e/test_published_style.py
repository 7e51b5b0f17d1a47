"""Handler scripts in the style that the iRODS Automated Ingest Framework publishes, run as they are."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.access import iRODSAccess
from irods.exception import UserDoesNotExist
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import CommandLine
from tests.e2e.checking import assert_put, objects_below

MakeTree = Callable[[dict[str, bytes]], Path]
SCRIPTS = Path(__file__).parents[1] / "handler" / "scripts"
pytestmark = pytest.mark.parametrize("ranks", [1, 4])
TREE = {"top": b"top", "dir/a": b"a", "dir/b": b"bb"}


@pytest.fixture
def calls(mpingest: CommandLine, tmp_path: Path) -> Path:
    """Where the scripts write what was called."""
    path = tmp_path / "calls"
    path.touch()
    mpingest.environment["CALLS"] = str(path)
    return path


def settle() -> None:
    time.sleep(0.2)


def handler(name: str) -> tuple[str, Path]:
    return "--event-handler", SCRIPTS / name


def test_register_mapped(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int
) -> None:
    root = make_tree(TREE)
    mpingest.start(root, target, *handler("register_mapped.py"), ranks=ranks)
    found = objects_below(session, target)
    assert {name: stored.path for name, stored in found.items()} == {
        name: f"/mnt/on_server{root}/{name}" for name in TREE
    }


def test_put_with_hooks(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, calls: Path, ranks: int
) -> None:
    root = make_tree(TREE)
    mpingest.start(root, target, *handler("put_with_hooks.py"), ranks=ranks)
    assert_put(session, root, target)
    expected = {
        f"{when}_data_obj_create {target}/{name} Operation.PUT_SYNC ['allow_redirect']"
        for name in TREE
        for when in ("pre", "post")
    }
    assert sorted(calls.read_text().splitlines()) == sorted(expected)
    calls.write_text("")
    settle()
    make_tree({"dir/a": b"changed"})
    mpingest.start(root, target, *handler("put_with_hooks.py"), ranks=ranks)
    assert calls.read_text().splitlines() == [
        f"{when}_data_obj_modify {target}/dir/a Operation.PUT_SYNC ['allow_redirect']" for when in ("pre", "post")
    ]


def test_collection_hooks(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, calls: Path, ranks: int
) -> None:
    root = make_tree({"old/file": b"", "new/file": b""})
    for path in (target, f"{target}/old"):
        session.collections.create(path)
    mpingest.start(root, target, *handler("collection_hooks.py"), ranks=ranks)
    # The first sync of a collection that is there already counts as a change of it.
    assert sorted(calls.read_text().splitlines()) == sorted(
        [f"{when}_coll_modify {path}" for path in (target, f"{target}/old") for when in ("pre", "post")]
        + [f"{when}_coll_create {target}/new" for when in ("pre", "post")]
    )
    assert {avu.name for avu in session.collections.get(f"{target}/new").metadata.items()} == {"post_coll_create"}

    calls.write_text("")
    settle()
    make_tree({"new/another": b""})
    settle()
    mpingest.start(root, target, *handler("collection_hooks.py"), ranks=ranks)
    assert calls.read_text().splitlines() == [f"pre_coll_modify {target}/new", f"post_coll_modify {target}/new"]


def test_retry_with_delay(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, calls: Path, ranks: int
) -> None:
    root = make_tree(TREE)
    summary = mpingest.start(root, target, *handler("retry_with_delay.py"), ranks=ranks)
    assert summary["total"]["retried"] == 2 * len(TREE)
    assert mpingest.failures() == []
    assert set(objects_below(session, target)) == set(TREE)
    lines = calls.read_text().splitlines()
    assert {path: lines.count(path) for path in lines} == {f"{root}/{name}": 3 for name in TREE}


def test_no_retry(mpingest: CommandLine, make_tree: MakeTree, target: str, ranks: int) -> None:
    root = make_tree(TREE)
    mpingest.start(root, target, *handler("no_retry.py"), ranks=ranks)
    assert {failure["path"] for failure in mpingest.failures()} == set(TREE)
    assert {"mpingest has no Redis" in failure["reason"] for failure in mpingest.failures()} == {True}


def test_timeout(mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int) -> None:
    root = make_tree(TREE | {f"slow{number}": b"" for number in range(4)})
    began = time.monotonic()
    mpingest.start(root, target, *handler("timeout.py"), ranks=ranks)
    assert time.monotonic() - began < 60
    assert {failure["path"]: failure["reason"] for failure in mpingest.failures()} == {
        f"slow{number}": "took longer than its timeout of 1 s" for number in range(4)
    }
    assert set(objects_below(session, target)) == set(TREE)


def test_job_hooks(mpingest: CommandLine, make_tree: MakeTree, target: str, calls: Path, ranks: int) -> None:
    root = make_tree(TREE)
    for _ in range(2):
        mpingest.start(root, target, *handler("job_hooks.py"), ranks=ranks)
    assert calls.read_text().splitlines() == [f"{name} {root} {target}" for name in ("pre_job", "post_job")] * 2


def test_put_using_char_map(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int
) -> None:
    root = make_tree({"a#b/c d": b"1", "a#b/é": b"2", "plain": b"3"})
    mpingest.start(root, target, *handler("put_using_char_map.py"), ranks=ranks)
    found = objects_below(session, target)
    # The framework's names: see its char_map_util.translate_path_element.
    assert set(found) == {"a_b-H4/c_d-E4", "a_b-H4/--T1d", "plain"}
    (avu,) = session.data_objects.get(f"{target}/a_b-H4/c_d-E4").metadata.items()
    assert avu.name == "irods::automated_ingest::character_map"
    assert base64.b64decode(avu.value).decode() == f"{root}/a#b/c d"


def test_as_user(
    mpingest: CommandLine,
    make_tree: MakeTree,
    zone: EmbeddedZone,
    session: iRODSSession,
    target: str,
    ranks: int,
) -> None:
    try:
        session.users.get("carol")
    except UserDoesNotExist:
        session.users.create("carol", "rodsuser")
    session.collections.create(target)
    session.acls.set(iRODSAccess("write", target, "carol", zone.zone))
    root = make_tree({"dir/a.reg": b"a", "b": b"b"})
    mpingest.start(root, target, *handler("as_user.py"), ranks=ranks)
    assert mpingest.failures() == []
    for name in ("dir/a.reg", "b"):
        stored = session.data_objects.get(f"{target}/{name}")
        assert stored.owner_name == "carol"
        assert stored.metadata.get_one("made_by").value == "carol"
    assert session.collections.get(f"{target}/dir").owner_name == "carol"


def test_metadata_and_modes(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int
) -> None:
    root = make_tree(TREE)
    mpingest.start(root, target, *handler("metadata_and_modes.py"), ranks=ranks)
    assert_put(session, root, target)
    metadata = session.data_objects.get(f"{target}/dir/b").metadata
    assert {avu.name: avu.value for avu in metadata.items()} == {"filesystem::size": "2", "filesystem::links": "1"}
    settle()
    (root / "dir/b").write_bytes(b"bb and more")
    mpingest.start(root, target, *handler("metadata_and_modes.py"), ranks=ranks)
    assert_put(session, root, target)
