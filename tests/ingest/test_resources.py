"""Which resources leave the server no choice, as a zone tells it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.ingest.resources import Resources
from tests.conftest import CommandLine
from tests.e2e.checking import assert_put
from tests.zone.contract.catalog import listing


@pytest.fixture
def tree(session: iRODSSession, tmp_path: Path) -> Iterator[None]:
    """only -> middle -> leaf; several -> one, other."""
    leaves, above = ("leaf", "one", "other"), ("only", "middle", "several")
    children = (("only", "middle"), ("middle", "leaf"), ("several", "one"), ("several", "other"))
    host = session.resources.get("demoResc").location
    for name in leaves:
        session.resources.create(name, "unixfilesystem", host, str(tmp_path / name))
    for name in above:
        session.resources.create(name, "passthru" if name != "several" else "random")
    for parent, child in children:
        session.resources.add_child(parent, child)
    yield
    session.collections.remove(f"/{session.zone}/home/{session.username}/{tmp_path.name}", recurse=True, force=True)
    for parent, child in reversed(children):
        session.resources.remove_child(parent, child)
    for name in leaves + above:
        session.resources.remove(name)


def test_a_single_leaf_is_named_and_several_are_voted_on(
    session: iRODSSession, mpingest: CommandLine, tmp_path: Path, target: str, tree: None
) -> None:
    resources = Resources.of(session)
    assert resources.hierarchies() == {"only": "only;middle;leaf"}
    assert resources.parents["leaf"] == "middle"
    root = tmp_path / "root"
    root.mkdir()
    for number in range(20):
        (root / f"file{number}").write_bytes(b"%d" % number)
    for resource, hierarchies in (("only", {"only;middle;leaf"}), ("several", {"several;one", "several;other"})):
        for mode in ("always", "never"):
            where = f"{target}/{resource}-{mode}"
            done = mpingest("start", "--operation", "put", "--resource", resource, "--bundle", mode, root, where)
            assert done.returncode == 0, done.stderr
            assert assert_put(session, root, where) == 20
            assert {replica.hierarchy for replica in listing(session, where)} <= hierarchies
