"""Files that are taken away: just those that were recorded, to no other's place, through no link."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpingest.jobs import disposal
from mpingest.jobs.disposal import After, Changed, Disposal, Stays, opened_below
from mpingest.scan.entries import entry_row

DELETE = Disposal(After.DELETE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "root" / "dir" / "sub"
    directory.mkdir(parents=True)
    directory.chmod(0o750)
    (directory / "file").write_bytes(b"content")
    (directory / "file").chmod(0o640)
    os.utime(directory / "file", ns=(1, 1_234_567_890_123_456_789))
    return tmp_path / "root"


@pytest.fixture(params=["same", "other"])
def done(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Where files are moved to: on the file system of the root, or on another."""
    if request.param == "same":
        (tmp_path / "done").mkdir()
        yield tmp_path / "done"
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        if os.stat(directory).st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is no file system of its own")
        yield Path(directory)


def take_away(how: Disposal, root: Path, row: object = None) -> None:
    file = root / "dir/sub/file"
    row = entry_row(file.lstat()) if row is None else row
    with opened_below(os.fsencode(root), b"dir/sub") as directory:
        how.take_away(os.fsencode(root), b"dir/sub", directory, b"file", row)  # type: ignore[arg-type]


def move(done: Path) -> Disposal:
    return Disposal(After.MOVE, os.fsencode(done))


def test_what_is_deleted_is_gone_and_nothing_else(root: Path) -> None:
    (root / "dir/sub/other").write_bytes(b"other")
    take_away(DELETE, root)
    assert os.listdir(root / "dir/sub") == ["other"]


def test_what_is_moved_keeps_path_content_mode_and_mtime(root: Path, done: Path) -> None:
    take_away(move(done), root)
    moved = done / "dir/sub/file"
    assert moved.read_bytes() == b"content"
    assert (moved.stat().st_mode & 0o777, moved.stat().st_mtime_ns) == (0o640, 1_234_567_890_123_456_789)
    assert moved.stat().st_nlink == 1
    assert (done / "dir/sub").stat().st_mode & 0o777 == 0o750
    assert os.listdir(done / "dir/sub") == ["file"]
    assert os.listdir(root / "dir/sub") == []


def test_no_other_file_is_overwritten(root: Path, done: Path) -> None:
    (done / "dir/sub").mkdir(parents=True)
    (done / "dir/sub/file").write_bytes(b"another")
    with pytest.raises(Stays, match="another file of that name is there already"):
        take_away(move(done), root)
    assert (done / "dir/sub/file").read_bytes() == b"another"
    assert (root / "dir/sub/file").read_bytes() == b"content"
    assert os.listdir(done / "dir/sub") == ["file"]


def test_a_move_that_was_cut_off_before_the_file_went_is_finished(root: Path, done: Path) -> None:
    (done / "dir/sub").mkdir(parents=True)
    try:
        os.link(root / "dir/sub/file", done / "dir/sub/file")
    except OSError:
        shutil.copy2(root / "dir/sub/file", done / "dir/sub/file")
    take_away(move(done), root)
    assert (done / "dir/sub/file").read_bytes() == b"content"
    assert not (root / "dir/sub/file").exists()


def test_half_a_copy_is_never_taken_for_a_whole_one(root: Path, done: Path) -> None:
    part = done / "dir/sub" / f".mpingest-part-{(root / 'dir/sub/file').stat().st_ino}"
    part.parent.mkdir(parents=True)
    if part.parent.stat().st_dev == root.stat().st_dev:
        pytest.skip("nothing is copied")
    part.write_bytes(b"cont")
    take_away(move(done), root)
    assert {path.name: path.read_bytes() for path in part.parent.iterdir()} == {"file": b"content"}


@pytest.mark.parametrize("link", ["sub", "sub/file"])
def test_no_link_is_followed(root: Path, tmp_path: Path, done: Path, link: str) -> None:
    """What is a link now was a directory or a file when it was recorded."""
    row = entry_row((root / "dir/sub/file").lstat())
    elsewhere = tmp_path / "elsewhere"
    os.rename(root / "dir" / link, elsewhere)
    (root / "dir" / link).symlink_to(elsewhere)
    for how in (DELETE, move(done)):
        with pytest.raises((Changed, NotADirectoryError, Stays)):
            take_away(how, root, row)
    assert elsewhere.exists()
    assert (elsewhere / "file" if elsewhere.is_dir() else elsewhere).read_bytes() == b"content"
    assert not (done / "dir/sub/file").exists()


def test_no_link_leads_out_of_where_files_are_moved_to(root: Path, tmp_path: Path, done: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (done / "dir").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Stays):
        take_away(move(done), root)
    assert os.listdir(tmp_path / "elsewhere") == []
    assert (root / "dir/sub/file").exists()


@pytest.mark.parametrize("how", ["delete", "move"])
def test_what_has_changed_stays(root: Path, done: Path, how: str) -> None:
    file = root / "dir/sub/file"
    row = entry_row(file.lstat())
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(1, int(row["mtime_ns"])))
    with pytest.raises(Changed):
        take_away(DELETE if how == "delete" else move(done), root, row)
    assert file.read_bytes() == b"CONTENT"
    assert not (done / "dir/sub/file").exists()


def test_without_hard_links_nothing_is_overwritten_either(
    root: Path, done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(disposal.os, "link", link)
    (done / "dir/sub").mkdir(parents=True)
    (done / "dir/sub/file").write_bytes(b"another")
    with pytest.raises(Stays, match="another file"):
        take_away(move(done), root)
    (done / "dir/sub/file").unlink()
    take_away(move(done), root)
    assert {path.name: path.read_bytes() for path in (done / "dir/sub").iterdir()} == {"file": b"content"}
