"""The two implementations of reading and stat'ing: one contract."""

from __future__ import annotations

import errno
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mpingest.scan.entries import ENTRY_DTYPE, entry_row
from mpingest.scan.excludes import FILE_TYPES
from mpingest.scan.names import NameSlice

FOREVER = 1 << 60
NO_NATIVE = "the compiled helper is not there: install a C compiler and the headers of Python, then mpingest again"
EVERYTHING = 1 << 30


@pytest.fixture(params=["_native", "_portable"])
def backend(request: pytest.FixtureRequest) -> ModuleType:
    name = f"mpingest.scan.{request.param}"
    module: ModuleType = pytest.importorskip(name, reason=NO_NATIVE, exc_type=ImportError)
    return module


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def read_all(backend: ModuleType, fd: int, size: int) -> list[NameSlice]:
    reader = backend.NameReader(fd, True)
    slices = []
    while True:
        blob, offsets, types = reader.read(size)
        slices.append(NameSlice(blob, np.frombuffer(offsets, np.uint32), np.frombuffer(types, np.uint8)))
        if not types:
            break
    assert reader.read(size)[2] == b""
    reader.close()
    return slices[:-1]


class Stats:
    """Names to be stat'ed, and what comes of it."""

    def __init__(self, backend: ModuleType, fd: int, names: list[bytes], follow: bool = False) -> None:
        content = NameSlice.build(names)
        self.rows = np.zeros(len(names), ENTRY_DTYPE)
        self.errnos = np.full(len(names), -1, np.int32)
        self.batch = backend.StatBatch(fd, content.blob, content.offsets, self.rows, self.errnos, follow=follow)

    def run(self, most: int = EVERYTHING, grain: int = 16, nanoseconds: int = FOREVER) -> int:
        done, spent = self.batch.run(most, grain, nanoseconds)
        assert spent >= 0
        return int(done)


def test_every_name_once_with_its_type(backend: ModuleType, tmp_path: Path, fd: int) -> None:
    kinds = {b"file": "regular", b"dir": "directory", b"link": "link", b"..hidden": "regular", b".x": "regular"}
    for name in [name for name, kind in kinds.items() if kind == "regular"]:
        (tmp_path / os.fsdecode(name)).touch()
    (tmp_path / "dir").mkdir()
    os.symlink("dir", tmp_path / "link")
    (names,) = read_all(backend, fd, 100)
    assert dict(zip(names.names(), names.types.tolist(), strict=True)) == {
        name: FILE_TYPES[kind] for name, kind in kinds.items()
    }


def test_types_of_what_is_no_file(tmp_path: Path, fd: int) -> None:
    native = pytest.importorskip("mpingest.scan._native", reason=NO_NATIVE, exc_type=ImportError)
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        (names,) = read_all(native, fd, 100)
    assert dict(zip(names.names(), names.types.tolist(), strict=True)) == {
        name: FILE_TYPES[name.decode()] for name in (b"pipe", b"socket")
    }


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.binary(min_size=1, max_size=255).filter(lambda name: not {b"/"[0], 0} & set(name)), max_size=20))
def test_names_are_bytes(backend: ModuleType, tmp_path_factory: pytest.TempPathFactory, names: set[bytes]) -> None:
    names -= {b".", b".."}
    folder = os.fsencode(tmp_path_factory.mktemp("names"))
    for name in names:
        os.close(os.open(os.path.join(folder, name), os.O_CREAT))
    fd = os.open(folder, os.O_RDONLY)
    found = [name for part in read_all(backend, fd, 7) for name in part.names()]
    assert sorted(found) == sorted(names)
    stats = Stats(backend, fd, found)
    assert stats.run() == len(names)
    assert not stats.errnos.any()
    os.close(fd)


@pytest.mark.parametrize("size", [1, 333, 10_000])
def test_reading_goes_on_where_it_stopped(backend: ModuleType, tmp_path: Path, fd: int, size: int) -> None:
    expected = {b"%060d" % number for number in range(3000)}
    for name in expected:
        (tmp_path / name.decode()).touch()
    slices = read_all(backend, fd, size)
    assert [len(part) for part in slices[:-1]] == [size] * (len(slices) - 1)
    names = [name for part in slices for name in part.names()]
    assert len(names) == len(expected)
    assert set(names) == expected


def test_a_directory_that_was_removed_is_at_its_end(backend: ModuleType, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    fd = os.open(gone, os.O_RDONLY)
    gone.rmdir()
    assert read_all(backend, fd, 10) == []
    os.close(fd)


def test_what_is_no_directory_cannot_be_read(backend: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    with pytest.raises(NotADirectoryError):
        backend.NameReader(fd, True).read(10)
    os.close(fd)


def test_a_closed_reader_does_not_read(tmp_path: Path, fd: int) -> None:
    native = pytest.importorskip("mpingest.scan._native", reason=NO_NATIVE, exc_type=ImportError)
    (tmp_path / "a").touch()
    reader = native.NameReader(fd, True)
    reader.close()
    reader.close()
    with pytest.raises(ValueError, match="close"):
        reader.read(1)


def test_rows_are_those_of_lstat(backend: ModuleType, tmp_path: Path, fd: int) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "dir").mkdir()
    os.symlink("file", tmp_path / "link")
    os.link(tmp_path / "file", tmp_path / "twin")
    os.mkfifo(tmp_path / "pipe")
    os.utime(tmp_path / "file", ns=(1, -123_456_789))
    names = os.listdir(os.fsencode(tmp_path))
    stats = Stats(backend, fd, names)
    assert stats.run() == len(names)
    assert stats.rows.tolist() == [
        entry_row(os.lstat(os.path.join(os.fsencode(tmp_path), name))).item() for name in names
    ]
    assert stats.errnos.tolist() == [0] * len(names)


def test_times_that_do_not_fit_end_at_the_last_that_does(backend: ModuleType, tmp_path: Path, fd: int) -> None:
    (tmp_path / "late").touch()
    os.utime(tmp_path / "late", (0, 12_000_000_000))
    if os.lstat(tmp_path / "late").st_mtime_ns < 1 << 63:
        pytest.skip("this file system's clock ends before")
    stats = Stats(backend, fd, [b"late"])
    stats.run()
    assert stats.rows["mtime_ns"].tolist() == [np.iinfo(np.int64).max]


def test_each_name_has_its_error(backend: ModuleType, tmp_path: Path, fd: int) -> None:
    for name in ("a", "c"):
        (tmp_path / name).touch()
    names = [b"a", b"missing", b"x" * 256, b"y" * 5000, b"a/b", b"", b"c"]
    stats = Stats(backend, fd, names)
    assert stats.run() == len(names)
    expected = [0, errno.ENOENT, errno.ENAMETOOLONG, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ENOENT, 0]
    assert stats.errnos.tolist() == expected
    assert [bool(mode) for mode in stats.rows["mode"]] == [number == 0 for number in expected]


def test_followed_links_are_described_by_their_files(backend: ModuleType, tmp_path: Path, fd: int) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    for link, target in {"link": "file", "dangling": "nowhere", "to-directory": ".", "loop": "loop"}.items():
        os.symlink(target, tmp_path / link)
    names = [b"link", b"dangling", b"to-directory", b"loop", b"file"]
    own, followed = Stats(backend, fd, names), Stats(backend, fd, names, follow=True)
    own.run()
    followed.run()
    assert not followed.errnos.any()
    assert (followed.rows[1:] == own.rows[1:]).all()
    assert stat.S_ISLNK(int(followed.rows["mode"][0]))
    assert followed.rows.tolist()[0][1:] == entry_row(os.stat(tmp_path / "file")).item()[1:]


@pytest.mark.parametrize(("most", "grain", "done"), [(0, 1, 0), (1, 16, 1), (5, 2, 5), (100, 64, 50)])
def test_a_turn_does_no_more_than_it_may(
    backend: ModuleType, tmp_path: Path, fd: int, most: int, grain: int, done: int
) -> None:
    (tmp_path / "a").touch()
    stats = Stats(backend, fd, [b"a"] * 50)
    assert stats.run(most, grain) == done
    assert stats.batch.left == 50 - done
    assert stats.errnos.tolist() == [0] * done + [-1] * (50 - done)
    assert stats.run() == 50 - done
    assert stats.batch.left == 0
    assert stats.run() == 0


def test_a_turn_ends_in_time(backend: ModuleType, fd: int) -> None:
    stats = Stats(backend, fd, [b"missing"] * 100_000)
    assert 0 < stats.run(nanoseconds=1_000_000) < 100_000


def test_threads_share_a_batch(backend: ModuleType, tmp_path: Path, fd: int) -> None:
    names = [b"%d" % number for number in range(500)]
    for name in names[::2]:
        (tmp_path / name.decode()).write_bytes(b"x" * int(name))
    stats = Stats(backend, fd, names)
    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(stats.run(grain=3))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 500
    assert stats.errnos.tolist() == [0, errno.ENOENT] * 250
    assert stats.rows["size"].tolist()[::2] == list(range(0, 500, 2))


def array(length: int) -> npt.NDArray[np.int32]:
    return np.zeros(length, np.int32)


@pytest.mark.parametrize(
    ("offsets", "rows", "errnos"),
    [
        ([0, 1], 2, 2),
        ([0, 1, 2], 2, 1),
        ([0, 1, 2], 1, 2),
        ([0, 1, 3], 2, 2),
        ([0, 3, 2], 2, 2),
        ([1, 1, 2], 2, 2),
        ([0, 1, 1], 2, 2),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    backend: ModuleType, offsets: list[int], rows: int, errnos: int
) -> None:
    with pytest.raises(ValueError, match=r"offsets|lengths"):
        backend.StatBatch(
            0, b"ab", np.array(offsets, np.uint32), np.zeros(rows, ENTRY_DTYPE), array(errnos), follow=False
        )


def test_what_is_read_only_or_scattered_is_not_written_to(fd: int) -> None:
    native = pytest.importorskip("mpingest.scan._native", reason=NO_NATIVE, exc_type=ImportError)
    offsets = np.array([0, 1, 2], np.uint32)
    locked = np.zeros(2, ENTRY_DTYPE)
    locked.flags.writeable = False
    for rows, errnos in [(locked, array(2)), (np.zeros(4, ENTRY_DTYPE)[::2], array(2)), (locked.copy(), array(4)[::2])]:
        with pytest.raises((TypeError, ValueError, BufferError)):
            native.StatBatch(fd, b"ab", offsets, rows, errnos, follow=False)


@pytest.mark.parametrize(("value", "expected"), [("0", "MPINGEST_NATIVE=0"), ("1", None)])
def test_the_environment_forces_the_portable_one(value: str, expected: str | None) -> None:
    if expected is None:
        pytest.importorskip("mpingest.scan._native", reason=NO_NATIVE, exc_type=ImportError)
    code = "from mpingest.scan import backend; print(backend.WHY_NOT_NATIVE, backend.NameReader.__module__)"
    environment = os.environ | {"MPINGEST_NATIVE": value}
    output = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert output == [str(expected), f"mpingest.scan.{'_portable' if expected else '_native'}"]
