"""What is left out: the rules, and that they come before the stat where name and type decide."""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mpingest.scan.directory import DirectoryScan, open_directory, stat_names
from mpingest.scan.excludes import FILE_TYPES, Excludes
from mpingest.scan.names import DT_UNKNOWN, NameSlice
from mpingest.scan.pool import StatPool

REGULAR, DIRECTORY, LINK, PIPE = (FILE_TYPES[word] for word in ("regular", "directory", "link", "pipe"))


@pytest.mark.parametrize(
    ("excludes", "name", "kind", "expected"),
    [
        (Excludes(), b"a", REGULAR, False),
        (Excludes(["regular"]), b"a", REGULAR, True),
        (Excludes(["regular"]), b"a", LINK, False),
        (Excludes(["link", "pipe"]), b"a", PIPE, True),
        (Excludes(["directory"]), b"a", DIRECTORY, True),
        (Excludes(["regular"]), b"a", DT_UNKNOWN, False),
        (Excludes(file_names=["/data/x/a"]), b"a", REGULAR, True),
        (Excludes(file_names=["/data/x/a"]), b"abc", REGULAR, True),  # anchored at the start only
        (Excludes(file_names=["/data/x/a$"]), b"abc", REGULAR, False),
        (Excludes(file_names=["a"]), b"a", REGULAR, False),
        (Excludes(file_names=[r".*\.tmp$"]), b"a.tmp", REGULAR, True),
        (Excludes(file_names=[r".*\.tmp$"]), b"a.tmp", PIPE, True),
        (Excludes(file_names=[r".*\.tmp$"]), b"a.tmp", DIRECTORY, False),
        (Excludes(file_names=[r".*\.tmp$"]), b"a.tmp", DT_UNKNOWN, False),
        (Excludes(directory_names=[r".*\.git$"]), b".git", DIRECTORY, True),
        (Excludes(directory_names=[r".*\.git$"]), b".git", REGULAR, False),
        (Excludes(directory_names=[r".*\.git$"]), b".git", LINK, False),
        (Excludes(file_names=["none", r".*\.o$"]), b"a.o", REGULAR, True),
        (Excludes(["pipe"], [".*b"], [".*c"]), b"c", DIRECTORY, True),
        (Excludes(["pipe"], [".*b"], [".*c"]), b"c", REGULAR, False),
        (Excludes(file_names=[".*\udcff"]), b"\xff", REGULAR, True),
        (Excludes(file_names=[".*ü"]), "ü".encode(), REGULAR, True),
    ],
)
def test_rules(excludes: Excludes, name: bytes, kind: int, expected: bool) -> None:
    types = np.array([kind], np.uint8)
    assert excludes.among(b"/data/x", [name], types).tolist() == [expected]


def test_paths_below_the_root_directory_have_one_slash() -> None:
    excludes = Excludes(file_names=["/core$"])
    assert excludes.among(b"/", [b"core"], np.array([REGULAR], np.uint8)).tolist() == [True]


def test_only_what_excludes_something_is_true() -> None:
    assert not Excludes()
    assert all([Excludes(["pipe"]), Excludes(file_names=["a"]), Excludes(directory_names=["a"])])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"types": ["file"]}, "no file type 'file'"),
        ({"file_names": ["a", "(b"]}, r"bad regular expression '\(b'"),
        ({"directory_names": ["*"]}, r"bad regular expression '\*'"),
    ],
)
def test_what_there_isnt_is_refused_by_name(bad: dict[str, list[str]], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        Excludes(**bad)
    assert "\n" not in str(caught.value)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a.dat", "a.tmp", "b.tmp"):
        (tmp_path / name).touch()
    (tmp_path / "dir").mkdir()
    (tmp_path / "cache").mkdir()
    os.symlink("a.dat", tmp_path / "link")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


EXCLUDES = Excludes(["pipe", "link"], [r".*\.tmp$"], [".*/cache$"])
KEPT, LEFT_OUT = [b"a.dat", b"dir"], [b"a.tmp", b"b.tmp", b"cache", b"fifo", b"link"]
COUNTS = Counter(regular=2, directory=1, pipe=1, link=1)


@pytest.mark.parametrize("follow_links", [False, True])
def test_a_scan_leaves_out_and_says_what(tree: Path, follow_links: bool) -> None:
    with DirectoryScan(os.fsencode(tree), follow_links, EXCLUDES) as scan:
        portions = list(scan.portions(3))
    assert sorted(name for portion in portions for name in portion.entries.names()) == KEPT
    assert sorted(name for portion in portions for name in portion.left_out) == LEFT_OUT
    assert scan.excluded == COUNTS
    assert scan.errors == []


def test_where_the_file_system_tells_no_types_the_stat_does(tree: Path) -> None:
    path = os.fsencode(tree)
    fd = open_directory(path)
    portion = stat_names(fd, path, NameSlice.build(os.listdir(path)), StatPool(), excludes=EXCLUDES)
    os.close(fd)
    assert sorted(portion.entries.names()) == KEPT
    assert sorted(portion.left_out) == LEFT_OUT
    assert portion.excluded == COUNTS


def test_what_name_and_type_exclude_is_not_statted(tree: Path) -> None:
    """The type that reading gave decides, whatever a stat would say."""
    path = os.fsencode(tree)
    fd = open_directory(path)
    names = NameSlice.build([b"a.dat", b"dir", b"missing.tmp"], [PIPE, DIRECTORY, REGULAR])
    portion = stat_names(fd, path, names, StatPool(), excludes=EXCLUDES)
    os.close(fd)
    assert portion.entries.names() == [b"dir"]
    assert stat.S_ISDIR(int(portion.entries.rows["mode"][0]))
    assert portion.left_out == [b"a.dat", b"missing.tmp"]
