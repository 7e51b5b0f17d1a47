"""The tar file of a bundle, read by another implementation."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpingest.ingest.archive import Archive, Member
from mpingest.ingest.checksums import sha2
from mpingest.scan.entries import entry_row

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1).filter(
    lambda name: name not in {".", ".."} and len(name.encode()) <= 255
)


def members_of(root: Path, files: dict[str, bytes]) -> list[Member]:
    members = []
    for number, (name, content) in enumerate(files.items()):
        path = root / str(number)
        path.write_bytes(content)
        members.append(Member(os.fsencode(path), entry_row(path.lstat()), name))
    return members


def sent(archive: Archive) -> bytes:
    stream = archive.stream()
    data = b"".join(stream.chunks)
    assert len(data) == stream.size == archive.size
    return data


def unpacked(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        directory, *files = tar.getmembers()
        assert (directory.name, directory.isdir()) == (".", True)
        assert all(member.isfile() and member.mode == 0o600 and not member.pax_headers for member in files)
        assert {(member.uid, member.gid, member.uname, member.gname) for member in files} <= {(0, 0, "", "")}
        return {member.name: tar.extractfile(member).read() for member in files}


def archive_of(members: list[Member], *, checksums: bool = False) -> Archive:
    return Archive(members, checksums, lambda: None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.dictionaries(st.lists(names, min_size=1, max_size=9).map("/".join), st.binary(max_size=2000)))
def test_any_names_and_contents(tmp_path: Path, files: dict[str, bytes]) -> None:
    archive = archive_of(members_of(tmp_path, files), checksums=True)
    data = sent(archive)
    assert unpacked(data) == files
    assert archive.taken == set(range(len(files)))
    assert list(archive.sums.values()) == [sha2(hashlib.sha256(content)) for content in files.values()]
    assert sent(archive) == data


@pytest.mark.parametrize("size", [1, 511, 512, 513, 1024 * 1024 - 1, 3 * 1024 * 1024])
def test_sizes(tmp_path: Path, size: int) -> None:
    files = {name: os.urandom(size) for name in ("one", "two", "three")}
    assert unpacked(sent(archive_of(members_of(tmp_path, files)))) == files


def change(path: Path) -> None:
    path.write_bytes(b"longer than it was")


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_link(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_suffix(".other"))
    path.with_suffix(".other").write_bytes(b"12345")


@pytest.mark.parametrize("meanwhile", [change, Path.unlink, replace_by_pipe, replace_by_link])
def test_what_is_no_longer_what_was_scanned_is_left_out(tmp_path: Path, meanwhile: Callable[[Path], None]) -> None:
    members = members_of(tmp_path, {"first": b"1", "changed": b"12345", "last": b"3"})
    meanwhile(tmp_path / "1")
    archive = archive_of(members)
    assert unpacked(sent(archive)) == {"first": b"1", "last": b"3"}
    assert (archive.taken, archive.last) == ({0, 2}, (2, b"3"))


def test_the_last_with_content_is_kept_in_mind(tmp_path: Path) -> None:
    archive = archive_of(members_of(tmp_path, {"first": b"1", "second": b"2", "empty": b""}))
    sent(archive)
    assert archive.last == (1, b"2")
    empty = archive_of(members_of(tmp_path, {"empty": b""}))
    sent(empty)
    assert empty.last is None


class Enough(Exception):
    pass


def test_sending_can_be_ended(tmp_path: Path) -> None:
    def keep_on() -> None:
        raise Enough

    members = members_of(tmp_path, {"one": bytes(2 * 1024 * 1024), "two": b"2"})
    with pytest.raises(Enough):
        sent(Archive(members, False, keep_on))


def test_hard_links_and_holes_are_files_with_content(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.write_bytes(b"content")
    os.link(first, tmp_path / "second")
    sparse = tmp_path / "sparse"
    sparse.touch()
    os.truncate(sparse, 100_000)
    paths = [first, tmp_path / "second", sparse]
    members = [Member(os.fsencode(path), entry_row(path.lstat()), path.name) for path in paths]
    assert unpacked(sent(archive_of(members))) == {"first": b"content", "second": b"content", "sparse": bytes(100_000)}
