"""Reading directories: names, kinds, slices, errors."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from mpingest.scan.directory import DirectoryScan, open_directory, stat_names
from mpingest.scan.entries import EntryBatch, stat_row
from mpingest.scan.names import NameSlice
from mpingest.scan.pool import StatPool


def scan(path: Path, size: int = 100, follow_links: bool = False) -> list[EntryBatch]:
    with DirectoryScan(os.fsencode(path), follow_links=follow_links) as directory:
        portions = list(directory.portions(size))
    assert directory.errors == []
    assert not any(portion.left_out for portion in portions)
    return [portion.entries for portion in portions]


def by_name(batches: list[EntryBatch]) -> dict[bytes, tuple[int, ...]]:
    return {name: tuple(row.tolist()) for batch in batches for name, row in batch}


NAMES = [b"plain", b"new\nline", b"-dash", b"\xff\xfe", b" ", b"quote'\"", b"x" * 255, "Ünïcødé".encode()]


def test_every_entry_once_with_its_lstat(tmp_path: Path) -> None:
    for name in NAMES:
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_bytes(name)
    (tmp_path / "dir").mkdir()
    os.symlink("plain", tmp_path / "link")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        found = by_name(scan(tmp_path))
    base = os.fsencode(tmp_path)
    assert found == {name: stat_row(os.lstat(os.path.join(base, name))) for name in os.listdir(base)}
    assert len(found) == len(NAMES) + 4


@pytest.mark.parametrize(("files", "sizes"), [(0, []), (1, [1]), (10, [10]), (11, [10, 1]), (25, [10, 10, 5])])
def test_slices_hold_at_most_their_size(tmp_path: Path, files: int, sizes: list[int]) -> None:
    for number in range(files):
        (tmp_path / str(number)).touch()
    assert [len(batch) for batch in scan(tmp_path, size=10)] == sizes


def test_links_are_described_by_themselves_or_by_the_file_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    os.symlink("file", tmp_path / "link")
    os.symlink("nowhere", tmp_path / "dangling")
    os.symlink(".", tmp_path / "to-directory")
    own, followed = by_name(scan(tmp_path)), by_name(scan(tmp_path, follow_links=True))
    assert own[b"link"] == stat_row(os.lstat(tmp_path / "link"))
    assert stat.S_ISLNK(followed[b"link"][0])
    assert followed[b"link"][1:] == stat_row(os.stat(tmp_path / "file"))[1:]
    assert followed[b"dangling"] == own[b"dangling"]
    assert followed[b"to-directory"] == own[b"to-directory"]


def test_a_name_that_vanishes_is_not_there_and_not_an_error(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).touch()
    with DirectoryScan(os.fsencode(tmp_path)) as directory:
        portions = directory.portions(10)
        seen = next(portions).entries.names()
        for number in range(20):
            (tmp_path / str(number)).unlink()
        rest = [portion for portion in portions if len(portion.entries) or portion.left_out]
    assert len(seen) == 10
    assert rest == []
    assert directory.errors == []


def test_names_read_here_are_statted_there(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / str(number)).write_bytes(b"x" * number)
    path = os.fsencode(tmp_path)
    with DirectoryScan(path) as directory:
        messages = [names.pack() for names in directory.names(10)]
    fd = open_directory(path)
    portions = [stat_names(fd, path, NameSlice.unpack(message), StatPool(2)) for message in messages]
    os.close(fd)
    assert [len(portion.entries) for portion in portions] == [10, 10, 5]
    assert by_name([portion.entries for portion in portions]) == by_name(scan(tmp_path))


def test_what_cannot_be_statted_is_left_out_and_told(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    path = os.fsencode(tmp_path)
    fd = open_directory(path)
    names = NameSlice.build([b"x" * 300, b"vanished", b"here", b"here/below"])
    portion = stat_names(fd, path, names, StatPool())
    os.close(fd)
    assert portion.entries.names() == [b"here"]
    assert portion.left_out == [b"x" * 300, b"here/below"]
    assert [(problem.name, problem.error.errno) for problem in portion.errors] == [
        (b"x" * 300, errno.ENAMETOOLONG),
        (b"here/below", errno.ENOTDIR),
    ]
    assert portion.errors[1].error.filename == path + b"/here/below"


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda path: None, FileNotFoundError),
        (lambda path: path.write_bytes(b""), NotADirectoryError),
        (lambda path: path.symlink_to("."), OSError),
    ],
)
def test_only_a_directory_itself_is_opened(tmp_path: Path, make, error: type[OSError]) -> None:
    path = tmp_path / "it"
    make(path)
    with pytest.raises(error), DirectoryScan(os.fsencode(path)):
        pass


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        scan(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
