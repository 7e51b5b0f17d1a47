"""Where a tree may go: any depth below the zone, whatever the name; and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.session import iRODSSession

from tests.conftest import CommandLine
from tests.e2e.checking import assert_registered

MakeTree = Callable[[dict[str, bytes]], Path]
TEN = {str(number): b"i" * number for number in range(10)}


def test_deep_directories_into_a_deep_collection_without_a_handler(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int
) -> None:
    deep = "/".join(f"a{level}" for level in range(10))
    root = make_tree(TEN | {f"{deep}/{name}": content for name, content in TEN.items()})
    summary = mpingest.start(root, f"{target}/a/b/c/d/e", ranks=ranks)
    assert assert_registered(session, root, f"{target}/a/b/c/d/e") == 20
    assert (summary["exit_code"], summary["total"]["outcome_done"]) == (0, 20)


MODES = """\
import os

from irods.meta import iRODSMeta
from irods_capability_automated_ingest.core import Core


class event_handler(Core):
    @staticmethod
    def post_data_obj_create(hdlr_mod, logger, session, meta, **options):
        mode = str(os.stat(meta["path"]).st_mode)
        session.data_objects.get(meta["target"]).metadata.add(iRODSMeta("filesystem::mode", mode))
"""


def test_metadata_below_a_collection_with_a_grave_accent(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str, ranks: int
) -> None:
    script = tmp_path / "handler.py"
    script.write_text(MODES)
    root, collection = make_tree(TEN), f"{target}/grave`collection"
    mpingest.start(root, collection, "--event-handler", script, ranks=ranks)
    assert assert_registered(session, root, collection) == 10
    for name in TEN:
        (avu,) = session.data_objects.get(f"{collection}/{name}").metadata.items()
        mode = str(os.stat(root / name).st_mode)
        assert (avu.name, avu.value, avu.units) == ("filesystem::mode", mode, None)


@pytest.mark.parametrize(
    ("nowhere", "says"),
    [
        ("/invalidZone/home/rods", "is in zone invalidZone, but the session is one of zone tempZone"),
        ("/tempZ/home/rods", "is in zone tempZ,"),
        ("/tempZoneMore/home/rods", "is in zone tempZoneMore,"),
        ("/", "must be a collection below /tempZone"),
    ],
)
def test_another_zone_and_the_root_collection_are_refused(
    mpingest: CommandLine, make_tree: MakeTree, nowhere: str, says: str, ranks: int
) -> None:
    done = mpingest("start", make_tree(TEN), nowhere, ranks=ranks)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"target {nowhere}: {says}" in line
    assert not mpingest.jobs.exists()
