"""Links, special files and what cannot be read: entries that are no plain file."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import CommandLine, powerless
from tests.e2e.checking import assert_put, collections_below, objects_below
from tests.e2e.test_start import settle

MakeTree = Callable[[dict[str, bytes]], Path]
RANKS = pytest.mark.parametrize("ranks", [1, 4])


def avus(session: iRODSSession, path: str) -> set[tuple[str, str, str | None]]:
    return {(avu.name, avu.value, avu.units) for avu in session.data_objects.get(path).metadata.items()}


@pytest.fixture
def special(make_tree: MakeTree) -> Iterator[Path]:
    """A file, a pipe and a socket."""
    root = make_tree({"file": b"content"})
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)
        listener.bind("socket")
        os.chdir(here)
        yield root


@RANKS
def test_a_registered_link_says_where_it_leads(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str, ranks: int
) -> None:
    root = make_tree({"dir/file": b"content"})
    (root / "dir/link").symlink_to("file")
    (root / "dir/dangling").symlink_to("no\nwhere")
    os.symlink(b"\xff", os.fsencode(root / "dir/odd"))
    mpingest.start(root, target, ranks=ranks)
    # One request registers a link, one more gives it its metadata.
    assert zone.counts()["PHY_PATH_REG_AN"] == 4
    assert zone.counts()["ATOMIC_APPLY_METADATA_OPERATIONS_APN"] == 3
    assert avus(session, f"{target}/dir/link") == {("link_target", f"{root}/dir/file", "automated_ingest")}
    assert avus(session, f"{target}/dir/dangling") == {("link_target", f"{root}/dir/no\nwhere", "automated_ingest")}
    ((_, _, units),) = avus(session, f"{target}/dir/odd")
    assert units == "automated_ingest base64"
    assert avus(session, f"{target}/dir/file") == set()

    settle()
    (root / "dir/link").unlink()
    (root / "dir/link").symlink_to("elsewhere")
    settle()
    mpingest.start(root, target, ranks=ranks)
    assert avus(session, f"{target}/dir/link") == {("link_target", f"{root}/dir/elsewhere", "automated_ingest")}


@RANKS
def test_special_files_are_registered_on_request_and_never_opened(
    mpingest: CommandLine, special: Path, session: iRODSSession, target: str, ranks: int
) -> None:
    assert mpingest.start(special, target, ranks=ranks)["total"]["outcome_skipped"] == 2
    assert set(objects_below(session, target)) == {"file"}
    options = ("--special", "register", "--ignore-cache", "--checksum")
    assert mpingest.start(special, target, *options, ranks=ranks)["total"]["outcome_skipped"] == 0
    assert set(objects_below(session, target)) == {"file", "pipe", "socket"}
    assert avus(session, f"{target}/socket") == {("socket_target", "socket", "automated_ingest")}
    assert avus(session, f"{target}/pipe") == {("pipe_target", "pipe", "automated_ingest")}
    assert session.data_objects.get(f"{target}/pipe").size == 0


def links_tree(make_tree: MakeTree, outside: Path) -> Path:
    root = make_tree({"a/file": b"a", "b/sub/file": b"bb", "b/other": b"other"})
    outside.mkdir()
    (outside / "file").write_bytes(b"outside")
    (root / "a/inside").symlink_to(root / "b/sub")
    (root / "a/outside").symlink_to(outside)
    (root / "a/outside-file").symlink_to(outside / "file")
    (root / "a/up").symlink_to("..")
    (root / "b/sub/to-a").symlink_to(root / "a")
    (root / "b/self").symlink_to("self")
    (root / "to-file").symlink_to("b/other")
    return root


INSIDE = {"a/file", "b/sub/file", "b/other", "to-file", "a/inside/file", "b/sub/to-a/file"}


@RANKS
@pytest.mark.parametrize("operation", ["register_sync", "put_sync"])
@pytest.mark.parametrize("follow", ["no", "inside", "all"])
def test_links_are_followed_as_asked_and_never_in_circles(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    target: str,
    tmp_path: Path,
    operation: str,
    follow: str,
    ranks: int,
) -> None:
    root = links_tree(make_tree, tmp_path / "outside")
    options = ("--operation", operation, "--follow-symlinks", follow)
    summary = mpingest.start(root, target, *options, ranks=ranks)
    assert summary["exit_code"] == 0
    objects = objects_below(session, target)
    directories = {"a", "b", "b/sub"}
    if follow == "no":
        assert collections_below(session, target) == directories
    else:
        directories |= {"a/inside", "b/sub/to-a"}
        if follow == "all":
            directories |= {"a/outside", "b/sub/to-a/outside"}
        assert collections_below(session, target) == directories
        expected = dict.fromkeys(INSIDE) | (
            {"a/outside/file": None, "b/sub/to-a/outside/file": None} if follow == "all" else {}
        )
        assert set(expected) <= set(objects)
        for name in expected:
            assert objects[name].size == (root / name).stat().st_size, name
    if operation == "register_sync" and follow != "no":
        assert objects["a/outside-file"].size == (
            len(b"outside") if follow == "all" else (root / "a/outside-file").lstat().st_size
        )
        assert avus(session, f"{target}/to-file") == set()
    settle()
    assert mpingest.start(root, target, *options, ranks=ranks)["total"]["requests"] == 0


@RANKS
def test_what_may_not_be_read_fails_alone(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int
) -> None:
    root = make_tree({"open": b"open", "locked": b"locked", "closed/file": b"file", "unlisted/file": b"file"})
    mpingest.prefix = powerless()
    modes = {"locked": 0o000, "closed": 0o000, "unlisted": 0o311}
    for name, mode in modes.items():
        (root / name).chmod(mode)
    done = mpingest("start", "--operation", "put_sync", root, target, ranks=ranks)
    assert done.returncode == 3, done.stderr
    assert set(objects_below(session, target)) == {"open"}
    assert {failure["path"] for failure in mpingest.failures()} == set(modes)
    assert "Permission denied" in mpingest.last.stdout

    for name in modes:
        (root / name).chmod(0o755)
    assert mpingest.start(root, target, "--operation", "put_sync", ranks=ranks)["total"]["outcome_done"] == 3
    assert_put(session, root, target)


def test_hard_links_sparse_and_empty_files(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str
) -> None:
    root = make_tree({"one": b"same inode", "empty": b""})
    os.link(root / "one", root / "two")
    with open(root / "sparse", "wb") as file:
        file.truncate(40 * 1024 * 1024)
    mpingest.start(root, target, "--operation", "put_sync", "--checksum", ranks=2)
    assert_put(session, root, target)
    settle()
    with open(root / "one", "ab") as file:
        file.write(b" and more")
    settle()
    # Both names of the one file have changed.
    assert mpingest.start(root, target, "--operation", "put_sync")["total"]["outcome_done"] == 2
    assert_put(session, root, target)
