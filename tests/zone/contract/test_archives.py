from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
from irods.access import iRODSAccess
from irods.message import Message, StringStringMap
from irods.message.property_types import IntegerProperty, StringProperty, SubmessageProperty
from irods.session import iRODSSession

from mpingest.ingest.archive import Archive, Member
from mpingest.scan.entries import entry_row
from tests.zone.contract import statuses
from tests.zone.contract.catalog import GOOD, listing, names
from tests.zone.contract.conftest import Tree
from tests.zone.contract.test_put import put, read
from tests.zone.wire import Wire

ODD_NAMES = [
    *("with space", "it's", 'double "quotes"', "100%", "back\\slash", "-dash", "Ünïcødé-名前", "tab\there", "<&>;"),
    *("*?", "$HOME", "n" * 200),
]


class ExtractRequest(Message):
    _name = "StructFileExtAndRegInp_PI"
    objPath = StringProperty()
    collection = StringProperty()
    oprType = IntegerProperty()
    flags = IntegerProperty()
    KeyValPair_PI = SubmessageProperty(StringStringMap)


def extract(wire: Wire, path: str, collection: str, **keywords: str) -> int:
    message = ExtractRequest(
        objPath=path, collection=collection, oprType=0, flags=0, KeyValPair_PI=StringStringMap(keywords)
    )
    return wire.call(665, message).status


def archive(members: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def put_archive(session: iRODSSession, wire: Wire, home: str, content: bytes) -> tuple[str, dict[str, str]]:
    """Path of an archive that was put, and the keywords to extract it with."""
    location = {"resc_hier": session.default_resource}
    assert put(wire, f"{home}/archive.tar", content, dataType="tar file", forceFlag="", **location) == 0
    return f"{home}/archive.tar", {"dataType": "tar file", "bulkOpr": "", **location}


def test_extract(session: iRODSSession, wire: Wire, home: str) -> None:
    members = {"one": b"1", "deep/er/two": b"22", "empty": b"", "deep/large": b"x" * 100_000}
    path, keywords = put_archive(session, wire, home, archive(members))
    assert extract(wire, path, f"{home}/out", **keywords) == 0
    assert names(session, f"{home}/out") == {"one", "empty"}
    assert names(session, f"{home}/out/deep/er") == {"two"}
    for name, content in members.items():
        assert read(session, f"{home}/out/{name}") == content
    assert {replica.status for replica in listing(session, f"{home}/out")} == {GOOD}


def test_odd_names(session: iRODSSession, wire: Wire, home: str) -> None:
    path, keywords = put_archive(session, wire, home, archive({name: name.encode() for name in ODD_NAMES}))
    assert extract(wire, path, f"{home}/out", **keywords) == 0
    assert names(session, f"{home}/out") == set(ODD_NAMES)


def test_many_members(session: iRODSSession, wire: Wire, home: str) -> None:
    members = {f"file{number:03}": b"x" for number in range(230)}
    path, keywords = put_archive(session, wire, home, archive(members))
    assert extract(wire, path, f"{home}/out", **keywords) == 0
    assert names(session, f"{home}/out") == set(members)


def test_what_exists_needs_force(session: iRODSSession, wire: Wire, home: str) -> None:
    path, keywords = put_archive(session, wire, home, archive({"one": b"1", "two": b"2"}))
    assert extract(wire, path, f"{home}/out", **keywords) == 0
    path, keywords = put_archive(session, wire, home, archive({"one": b"111", "three": b"3"}))
    assert extract(wire, path, f"{home}/out", **keywords) == statuses.SYS_COPY_ALREADY_IN_RESC
    assert read(session, f"{home}/out/one") == b"1"
    assert names(session, f"{home}/out") == {"one", "two", "three"}
    assert extract(wire, path, f"{home}/out", **keywords, forceFlag="") == 0
    assert read(session, f"{home}/out/one") == b"111"
    assert names(session, f"{home}/out") == {"one", "two", "three"}


def test_members_go_where_the_archive_is(session: iRODSSession, wire: Wire, home: str, tree: Tree) -> None:
    location = {"resc_hier": tree.hierarchy}
    assert put(wire, f"{home}/archive.tar", archive({"one": b"1"}), dataType="tar file", **location) == 0
    assert extract(wire, f"{home}/archive.tar", f"{home}/out", dataType="tar file", bulkOpr="") == 0
    assert {replica.hierarchy for replica in listing(session, f"{home}/out")} == {tree.hierarchy}


def test_an_agent_extracts_no_more_than_fifteen(session: iRODSSession, wire: Wire, home: str) -> None:
    path, keywords = put_archive(session, wire, home, archive({"one": b"1"}))
    extracted = [extract(wire, path, f"{home}/out{number}", **keywords) for number in range(16)]
    assert extracted == [0] * 15 + [statuses.SYS_OUT_OF_FILE_DESC]
    another = Wire(session)
    assert extract(another, path, f"{home}/out15", **keywords) == 0
    another.connection.release(destroy=True)


def test_it_takes_the_right_to_delete(session: iRODSSession, user_session: iRODSSession, user: str, home: str) -> None:
    wire = Wire(user_session)
    session.acls.set(iRODSAccess("inherit", home))  # so that the administrator may remove all of it
    session.acls.set(iRODSAccess("write", home, user))
    path, keywords = put_archive(session, wire, home, archive({"one": b"1"}))
    assert extract(wire, path, home, **keywords) == statuses.CAT_NO_ACCESS_PERMISSION
    session.acls.set(iRODSAccess("delete_object", home, user))
    assert extract(wire, path, home, **keywords) == 0
    wire.connection.release(destroy=True)


@pytest.mark.parametrize("first", ["BZh91AY&SY", "LZIP", "#mtree", "begin 644 x"])
def test_our_archives_are_not_taken_for_other_formats(
    session: iRODSSession, wire: Wire, home: str, tmp_path: Path, first: str
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    member = Member(os.fsencode(tmp_path / "file"), entry_row((tmp_path / "file").lstat()), first)
    ours = b"".join(Archive([member], False, lambda: None).stream().chunks)
    path, keywords = put_archive(session, wire, home, ours)
    assert extract(wire, path, f"{home}/out", **keywords) == 0
    assert names(session, f"{home}/out") == {first}


def test_pax_headers_lose_members_without_a_word(session: iRODSSession, wire: Wire, home: str) -> None:
    members = {"first": b"1", "nämé": b"2", "last": b"3"}
    path, keywords = put_archive(session, wire, home, archive(members, tarfile.PAX_FORMAT))
    assert extract(wire, path, f"{home}/out", **keywords) == 0
    assert names(session, f"{home}/out") <= {"first", "nämé", "last"}
    assert "first" in names(session, f"{home}/out")


def test_what_is_no_archive(session: iRODSSession, wire: Wire, home: str) -> None:
    assert put(wire, f"{home}/text", b"not an archive" * 100) == 0
    assert extract(wire, f"{home}/text", f"{home}/out", dataType="tar file") < 0
    assert extract(wire, f"{home}/none", f"{home}/out", dataType="tar file") < 0


@pytest.mark.parametrize("name", ["../escaped", "inner/../../escaped", "/absolute"])
def test_members_stay_in_the_collection(session: iRODSSession, wire: Wire, home: str, name: str, tree: Tree) -> None:
    path, keywords = put_archive(session, wire, home, archive({name: b"x"}))
    extract(wire, path, f"{home}/out", **keywords)
    assert names(session, home) == {"archive.tar"}
