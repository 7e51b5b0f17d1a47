"""Names that no catalog can hold as they are."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import CommandLine
from tests.e2e.checking import objects_below

MakeTree = Callable[[dict[str, bytes]], Path]
ATTRIBUTE = "irods::automated_ingest::UnicodeEncodeError"


def surrogate(path: bytes) -> str:
    return "irods_UnicodeEncodeError_" + base64.b64encode(path).decode().replace("/", "_")


@pytest.fixture
def root(make_tree: MakeTree) -> Path:
    root = make_tree({"dir/good": b"good"})
    for name in (b"dir/\xff", b"dir/\xfe\xfe/below"):
        path = os.path.join(os.fsencode(root), name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(name)
    return root


@pytest.mark.parametrize("ranks", [1, 3])
def test_put_takes_them_under_the_names_of_the_framework(
    mpingest: CommandLine, root: Path, session: iRODSSession, zone: EmbeddedZone, target: str, ranks: int
) -> None:
    base = os.fsencode(root)
    summary = mpingest.start(root, target, "--operation", "put_sync", ranks=ranks)
    assert mpingest.failures() == []
    assert summary["total"]["outcome_done"] == 3
    bad, below = surrogate(base + b"/dir/\xff"), surrogate(base + b"/dir/\xfe\xfe")
    found = objects_below(session, target)
    assert set(found) == {"dir/good", f"dir/{bad}", f"dir/{below}/below"}
    for logical, path in ((bad, b"dir/\xff"), (f"{below}/below", b"dir/\xfe\xfe/below")):
        stored = session.data_objects.get(f"{target}/dir/{logical}")
        assert base64.b64decode(stored.metadata.get_one(ATTRIBUTE).value) == os.path.join(base, path)
        assert stored.size == len(path)
    collection = session.collections.get(f"{target}/dir/{below}")
    assert base64.b64decode(collection.metadata.get_one(ATTRIBUTE).value) == base + b"/dir/\xfe\xfe"
    # Metadata travels with the content: but for the collection's there is no further request.
    assert zone.counts()["ATOMIC_APPLY_METADATA_OPERATIONS_APN"] == 1

    zone.reset_counts()
    mpingest.start(root, target, "--operation", "put_sync", "--ignore-cache", ranks=ranks)
    assert mpingest.failures() == []
    assert set(objects_below(session, target)) == set(found)


def test_register_needs_a_path_that_the_server_can_be_told(
    mpingest: CommandLine, root: Path, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    assert mpingest("start", root, target).returncode == 3
    reasons = {failure["path"]: failure["reason"] for failure in mpingest.failures()}
    assert set(reasons) == {"dir/\udcff", "dir/\udcfe\udcfe/below"}
    assert {"not valid UTF-8" in reason for reason in reasons.values()} == {True}

    script = tmp_path / "handler.py"
    script.write_text(
        "import os\n"
        "class event_handler:\n"
        "    @staticmethod\n"
        "    def target_path(session, meta, **options):\n"
        "        return os.fsencode(meta['path']).decode('latin-1')\n"
    )
    mpingest.start(root, target, "--event-handler", script)
    assert mpingest.failures() == []
    bad = surrogate(os.fsencode(root) + b"/dir/\xff")
    assert objects_below(session, target)[f"dir/{bad}"].path == f"{root}/dir/ÿ"
