"""What is left out with the framework's own options, and what can't be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from irods.session import iRODSSession

from tests.conftest import CommandLine
from tests.e2e.checking import objects_below

MakeTree = Callable[[dict[str, bytes]], Path]


def test_one_file_links_and_one_unreadable_file(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int
) -> None:
    """To register a file nobody has to read it: unlike the framework, mpingest leaves it to the server who may."""
    root = make_tree({str(number): b"i" * number for number in range(10)})
    (root / "link_to_5").symlink_to(root / "5")
    (root / "unreadable").write_bytes(b"not to be read")
    (root / "unreadable").chmod(0)
    excludes = ("--exclude_file_name", str(root / "5"), "--exclude_file_type", "link")
    summary = mpingest.start(root, target, *excludes, "--files_per_task", "1", ranks=ranks)
    assert (summary["exit_code"], summary["total"]["excluded"]) == (0, 2)
    assert set(objects_below(session, target)) == {*map(str, range(10)), "unreadable"} - {"5"}
