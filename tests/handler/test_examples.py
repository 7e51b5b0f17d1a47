"""The example handlers, run as their users run them."""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from irods.exception import UserDoesNotExist
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import CommandLine
from tests.e2e.checking import collections_below, objects_below

MakeTree = Callable[[dict[str, bytes]], Path]
EXAMPLES = Path(__file__).parents[2] / "handlers"


def avus(session: iRODSSession, path: str) -> set[tuple[str, str, str]]:
    metadata = session.data_objects.get(path).metadata.items()
    return {(avu.name, avu.value, avu.units or "") for avu in metadata}


def test_every_example_is_tested_here() -> None:
    tested = Path(__file__).read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}"' not in tested] == []


def test_register_mounted(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    root = make_tree({"dir/file": b"content"})
    script = tmp_path / "script.py"
    text = (EXAMPLES / "register_mounted.py").read_text()
    script.write_text(text.replace('"/lustre/project/"', f'"{root}/"').replace("lustreResc", "secondResc"))
    mpingest.start(root, target, "--event-handler", script)
    (replica,) = session.data_objects.get(f"{target}/dir/file").replicas
    assert (replica.path, replica.resource_name) == ("/mnt/lustre/project/dir/file", "secondResc")


def test_put_with_mode(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str
) -> None:
    root = make_tree({"a": b"a"})
    (root / "a").chmod(0o640)
    handler = ("--event-handler", EXAMPLES / "put_with_mode.py")
    mpingest.start(root, target, *handler)
    assert avus(session, f"{target}/a") == {("filesystem::mode", "0640", "")}
    (root / "a").chmod(0o600)
    mpingest.start(root, target, *handler)
    assert avus(session, f"{target}/a") == {("filesystem::mode", "0600", "")}
    assert zone.counts()["DATA_OBJ_PUT_AN"] <= 2


def test_metadata_from_sidecar(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str
) -> None:
    sidecar = {"sample": "S1; left", "angle": 4.5, "note": "", "tags": ["x", "y"]}
    root = make_tree(
        {"a.tif": b"a", "a.tif.json": json.dumps(sidecar).encode(), "b.tif": b"b", "b.tif.json": b'{"sample": "S2"}'}
        | {"bad.tif": b"c", "bad.tif.json": b"{"}
    )
    mpingest.start(root, target, "--event-handler", EXAMPLES / "metadata_from_sidecar.py", ranks=2)
    assert avus(session, f"{target}/a.tif") == {
        ("sample", "S1; left", ""),
        ("angle", "4.5", ""),
        ("tags", '["x", "y"]', ""),
    }
    assert avus(session, f"{target}/b.tif") == {("sample", "S2", "")}
    (failure,) = mpingest.failures()
    assert failure["path"] == "bad.tif"
    assert "JSONDecodeError" in failure["reason"]
    # Only what holds a separator needs a request of its own.
    assert zone.counts()["ATOMIC_APPLY_METADATA_OPERATIONS_APN"] == 1


def test_route_by_instrument(mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str) -> None:
    root = make_tree({"x/mri3_a": b"1", "ct12_b": b"2", "README": b"3", "x/mri3_c": b"4"})
    handler = ("--event-handler", EXAMPLES / "route_by_instrument.py")
    mpingest.start(root, target, *handler, ranks=3)
    found = objects_below(session, target)
    assert set(found) == {
        "instruments/mri3/mri3_a",
        "instruments/ct12/ct12_b",
        "unsorted/README",
        "instruments/mri3/mri3_c",
    }
    assert session.data_objects.get(f"{target}/instruments/mri3/mri3_a").replicas[0].resource_name == "secondResc"

    # A name that another file has there already is no licence to overwrite it; the same content is no conflict.
    make_tree({"y/mri3_a": b"2", "y/README": b"3", "y/ct12_b": b"other size"})
    mpingest.start(root, target, *handler, ranks=3)
    reason = "an object of that name is there already, with other content"
    failed = {(failure["path"], failure["reason"]) for failure in mpingest.failures()}
    assert failed == {("y/mri3_a", reason), ("y/ct12_b", reason)}
    with session.data_objects.open(f"{target}/instruments/mri3/mri3_a", "r") as stored:
        assert stored.read() == b"1"


def test_checksum_and_share(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str
) -> None:
    root = make_tree({"a": b"content"})
    mpingest.start(root, target, "--event-handler", EXAMPLES / "checksum_and_share.py")
    assert zone.catalog_changes() == {"COLL_CREATE_AN": 1, "DATA_OBJ_PUT_AN": 1}
    digest = hashlib.sha256(b"content").hexdigest()
    assert avus(session, f"{target}/a") == {("checksum", digest, "sha256")}
    stored = session.data_objects.get(f"{target}/a")
    assert ("public", "read_object") in {(right.user_name, right.access_name) for right in session.acls.get(stored)}


@pytest.fixture
def carol(session: iRODSSession) -> str:
    """A plain user, who may write below the collections that the test makes."""
    try:
        session.users.get("carol")
    except UserDoesNotExist:
        session.users.create("carol", "rodsuser")
    return "carol"


def test_as_file_owner(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    carol: str,
    tmp_path: Path,
    target: str,
) -> None:
    from irods.access import iRODSAccess

    root = make_tree({"mine": b"1", "dir/mine": b"22"})
    for path in (target, f"{target}/dir"):
        session.collections.create(path)
        session.acls.set(iRODSAccess("write", path, carol, zone.zone))
    script = tmp_path / "script.py"
    text = (EXAMPLES / "as_file_owner.py").read_text()
    script.write_text(text.replace('{"root": "rods"}', repr({getpass.getuser(): carol})))
    mpingest.start(root, target, "--event-handler", script, ranks=2)
    assert mpingest.failures() == []
    assert {session.data_objects.get(f"{target}/{name}").owner_name for name in ("mine", "dir/mine")} == {carol}

    # An update is for administrators, whoever owns the object.
    (root / "mine").write_bytes(b"now longer")
    mpingest.start(root, target, "--event-handler", script)
    assert mpingest.failures() == []
    assert session.data_objects.get(f"{target}/mine").size == len(b"now longer")


def test_retry_policy(mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str) -> None:
    root = make_tree({"late": b"", "good": b"good"})
    threading.Timer(1.0, (root / "late").write_bytes, (b"written",)).start()
    mpingest.start(root, target, "--event-handler", EXAMPLES / "retry_policy.py")
    assert mpingest.failures() == []
    assert session.data_objects.get(f"{target}/late").size == len(b"written")


@contextmanager
def mail_server() -> Iterator[tuple[str, list[str]]]:
    """host:port of a server that takes every mail, and the mails."""
    mails: list[str] = []

    class Conversation(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            for line in self.rfile:
                if line.upper().startswith(b"DATA"):
                    self.wfile.write(b"354 go on\r\n")
                    mails.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
                    self.wfile.write(b"250 taken\r\n")
                    continue
                self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")

    with socketserver.ThreadingTCPServer(("localhost", 0), Conversation) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"localhost:{server.server_address[1]}", mails
        server.shutdown()


def test_mail_report(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    root = make_tree({"a": b"a", "b": b"b"})
    handler = ("--event-handler", EXAMPLES / "mail_report.py")
    with mail_server() as (address, mails):
        mpingest.environment["MAIL_SERVER"] = address
        mpingest.start(root, target, *handler, ranks=3)
        mpingest.start(root, target, *handler, ranks=3)
    subjects = [line for mail in mails for line in mail.splitlines() if line.startswith("Subject")]
    assert [subject.split(": ", 2)[2] for subject in subjects] == [
        "run 1 begins",
        "run 1 is done",
        "run 2 begins",
        "run 2 is done",
    ]
    assert "outcome_done" in mails[1]

    # Nobody there: the run doesn't begin, and says why.
    done = mpingest("start", *handler, root, target)
    assert done.returncode == 1
    assert "pre_job() raised ConnectionRefusedError" in done.stderr


def test_plain_names(mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str) -> None:
    root = make_tree({"a b": b"1", "a?b": b"2", "plain": b"3", "ü dir/plain": b"4"})
    handler = ("--event-handler", EXAMPLES / "plain_names.py")
    mpingest.start(root, target, *handler, ranks=2)
    found = objects_below(session, target)
    assert len(found) == 4
    assert "a_b-E4" in found  # as the framework names it
    assert {stored.path for stored in found.values()} == {
        str(root / name) for name in ("a b", "a?b", "plain", "ü dir/plain")
    }
    for name, stored in found.items():
        changed = name != "plain"
        expected = base64.b64encode(stored.path.encode()).decode()
        units = "python3.base64.b64encode(full_path_of_source_file)"
        wanted = {("irods::automated_ingest::character_map", expected, units)} if changed else set()
        assert avus(session, f"{target}/{name}") == wanted
    assert mpingest.start(root, target, *handler)["total"]["outcome_failed"] == 0
    assert objects_below(session, target) == found


def test_collections_by_date(mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str) -> None:
    root = make_tree({"a/by-mtime": b"1", "b/c/frame-2025-01-31-7": b"2"})
    os.utime(root / "a/by-mtime", (86400, 86400))
    mpingest.start(root, target, "--event-handler", EXAMPLES / "collections_by_date.py", ranks=2)
    assert set(objects_below(session, target)) == {"1970/01/02/by-mtime", "2025/01/31/frame-2025-01-31-7"}
    assert collections_below(session, target) == {"1970", "1970/01", "1970/01/02", "2025", "2025/01", "2025/01/31"}
