"""``mpingest scan``, run as its user runs it, checked with os.walk."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.states import DirectoryState, Outcome
from mpingest.scan.entries import stat_row
from tests.bench._latency import build_shim, delayed
from tests.conftest import mpiexec, powerless
from tests.e2e.worlds import commands_below

MakeTree = Callable[[dict[str, bytes]], Path]
Completed = subprocess.CompletedProcess

RANKS = pytest.mark.parametrize("ranks", [None, 4])
NAMES = [
    b"plain",
    b"new\nline",
    b"-dash",
    b"\xff\xfe",
    b" ",
    b"quote'\"",
    b"comma,",
    b"back\\slash",
    b"\x1b[31m",
    b"x" * 255,
]


class Scan:
    """The command, without an iRODS environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("IRODS", "MPINGEST"))
        }
        self.environment |= {"HOME": str(directory / "nowhere")}
        self.prefix: list[str] = []

    def command(self, *arguments: str | bytes | Path, ranks: int | None = None) -> list[str | bytes]:
        launcher = [] if ranks is None else [mpiexec(), "-n", str(ranks)]
        return [*launcher, *self.prefix, sys.executable, "-m", "mpingest", "scan", *map(os.fspath, arguments)]

    def __call__(
        self, *arguments: str | bytes | Path, ranks: int | None = None, **environment: str
    ) -> Completed[bytes]:
        return subprocess.run(
            self.command(*arguments, ranks=ranks),
            cwd=self.directory,
            env=self.environment | environment,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def begin(self, *arguments: str | Path, ranks: int | None = None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command(*arguments, ranks=ranks),
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def json(self, *arguments: str | Path, ranks: int | None = None) -> dict[str, Any]:
        done = self("--format", "json", *arguments, ranks=ranks)
        assert done.returncode in (0, 3), done.stderr
        statistics: dict[str, Any] = json.loads(done.stdout)
        return statistics


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    directory = tmp_path / "cwd"
    directory.mkdir()
    return Scan(directory)


def walk(root: Path) -> dict[bytes, os.stat_result]:
    """Everything below the root, by relative path."""
    top = os.fsencode(root)
    found = {}
    for directory, below, files in os.walk(top):
        for name in below + files:
            path = os.path.join(directory, name)
            found[os.path.relpath(path, top)] = os.lstat(path)
    return found


def manifest(path: Path) -> tuple[dict[bytes, tuple[int, ...]], dict[bytes, DirectoryState]]:
    """Entries and directories of a manifest, by relative path."""
    entries, states = {}, {}
    with Checkpoint.open(path) as checkpoint:
        for rows in checkpoint:
            assert states.setdefault(rows.path, rows.state) == rows.state
            for name, row in rows.entries:
                entries[os.path.join(rows.path, name)] = tuple(row.tolist())
            assert set(rows.outcome.tolist()) <= {Outcome.SKIPPED}
    return entries, states


@pytest.fixture
def odd_tree(make_tree: MakeTree) -> Path:
    """Names and types that tools stumble over."""
    root = make_tree({f"dir{number % 7}/sub{number % 3}/file{number}": b"x" * number for number in range(100)})
    odd = root / "odd"
    for name in NAMES:
        directory = os.path.join(os.fsencode(odd), name)
        os.makedirs(directory)
        for inner in NAMES:
            with open(os.path.join(directory, inner), "wb") as file:
                file.write(inner)
    (root / "empty").mkdir()
    (root / "loop").symlink_to(".")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo")
    os.link(root / "dir1/sub1/file1", root / "hard link")
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(root)
        listener.bind("socket")
        os.chdir(here)
    return root


def no_litter(directory: Path) -> bool:
    return not any(name.startswith(".") for name in os.listdir(directory))


@RANKS
@pytest.mark.parametrize("threads", ["1", "5"])
def test_everything_is_counted_and_recorded(scan: Scan, odd_tree: Path, ranks: int | None, threads: str) -> None:
    tree = walk(odd_tree)
    options = ("--stat-threads", threads, "--slice-size", "3", "-o", "tree.h5")
    found = scan.json(*options, odd_tree, ranks=ranks)
    files = [status for status in tree.values() if status.st_mode & 0o170000 == 0o100000]
    assert found["entries"] == len(tree)
    assert found["bytes"] == sum(status.st_size for status in files)
    assert {kind: count for kind, count in found["types"].items() if count} == {
        "files": len(files),
        "directories": sum(status.st_mode & 0o170000 == 0o040000 for status in tree.values()),
        "links": 2,
        "pipes": 1,
        "sockets": 1,
    }
    assert found["several_links"]["entries"] == 2
    assert (found["unreadable"], found["excluded"], found["partial"]) == (0, 0, False)
    assert [row["uid"] for row in found["owners"]] == [os.getuid()]
    assert found["largest_files"][0]["bytes"] == max(status.st_size for status in files)
    assert sum(row["entries"] for row in found["ranks"]) == len(tree)
    entries, states = manifest(scan.directory / "tree.h5")
    assert entries == {path: stat_row(status) for path, status in tree.items()}
    assert len(states) == found["directories_read"] == found["types"]["directories"] + 1
    assert set(states.values()) == {DirectoryState.COMPLETE}
    assert no_litter(scan.directory)


@RANKS
def test_paths0_is_what_find_prints(scan: Scan, odd_tree: Path, ranks: int | None) -> None:
    done = scan("--format", "paths0", odd_tree, ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"\0")
    top = os.fsencode(odd_tree)
    assert sorted(done.stdout[:-1].split(b"\0")) == sorted(os.path.join(top, path) for path in walk(odd_tree))
    assert no_litter(scan.directory)


def unescaped(text: str) -> bytes:
    parts = re.split(r"(\\\\|\\x[0-9a-f]{2})", text)
    return b"".join(
        b"\\" if part == "\\\\" else bytes.fromhex(part[2:]) if part.startswith("\\x") else part.encode()
        for part in parts
    )


@RANKS
def test_csv_has_a_line_for_each_entry_and_loses_nothing(scan: Scan, odd_tree: Path, ranks: int | None) -> None:
    done = scan("--format", "csv", odd_tree, ranks=ranks)
    assert done.returncode == 0, done.stderr
    tree = walk(odd_tree)
    assert done.stdout.count(b"\n") == len(tree) + 1
    rows = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
    top = os.fsencode(odd_tree)
    assert {os.path.relpath(unescaped(row["path"]), top): row for row in rows}.keys() == tree.keys()
    words = {0o10: "regular", 0o04: "directory", 0o12: "link", 0o01: "pipe", 0o14: "socket"}
    for row in rows:
        status = tree[os.path.relpath(unescaped(row["path"]), top)]
        seconds, _, fraction = row["mtime"].partition(".")
        assert int(seconds) * 10**9 + int(fraction) == status.st_mtime_ns
        assert row["type"] == words[status.st_mode >> 12]
        assert int(row["mode"], 8) == status.st_mode & 0o7777
        numbers = (status.st_size, status.st_uid, status.st_gid, status.st_nlink, status.st_ino)
        assert tuple(int(row[name]) for name in ("size", "uid", "gid", "nlink", "inode")) == numbers


@RANKS
def test_a_flat_directory_is_shared_in_slices(scan: Scan, make_tree: MakeTree, ranks: int | None) -> None:
    root = make_tree({})
    (root / "flat").mkdir()
    for number in range(5000):
        (root / "flat" / f"file{number}").touch()
    found = scan.json("--slice-size", "50", "-o", "flat.h5", root, ranks=ranks)
    assert found["fullest_directories"][0] == {"path": "flat", "entries": 5000}
    assert found["entries_per_directory"][-1] == {"from": 4096, "below": 8192, "directories": 1}
    entries, states = manifest(scan.directory / "flat.h5")
    assert len(entries) == 5001
    assert states == {b"": DirectoryState.COMPLETE, b"flat": DirectoryState.COMPLETE}
    if ranks:
        work = [row["entries"] for row in found["ranks"][1:]]
        assert max(work) < 5001, work


@RANKS
def test_an_empty_root(scan: Scan, make_tree: MakeTree, ranks: int | None) -> None:
    root = make_tree({})
    done = scan("-o", "empty.h5", root, ranks=ranks)
    assert done.returncode == 0, done.stderr
    assert b"0 entries" in done.stdout
    assert manifest(scan.directory / "empty.h5") == ({}, {b"": DirectoryState.COMPLETE})
    assert scan("--format", "paths0", root, ranks=ranks).stdout == b""
    assert scan("--format", "csv", root, ranks=ranks).stdout.count(b"\n") == 1


@RANKS
def test_the_output_may_lie_in_the_root(scan: Scan, make_tree: MakeTree, ranks: int | None) -> None:
    root = make_tree({"file": b"", "dir/other": b""})
    assert scan("-o", root / "dir/out.h5", root, ranks=ranks).returncode == 0
    assert set(manifest(root / "dir/out.h5")[0]) == {b"file", b"dir", b"dir/other"}
    assert sorted(os.listdir(root / "dir")) == ["other", "out.h5"]


@RANKS
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "root nowhere: no such directory"),
        (("",), "root: the argument is empty"),
        (("file",), "root file: is not a directory"),
        (("-o", "no/where.h5", "."), "no: cannot be written to"),
        (("-o", "..", "."), "is not the name of a file"),
        (("-o", "", "."), "is not the name of a file"),
    ],
)
def test_what_cannot_run_says_so_in_one_line(
    scan: Scan, arguments: tuple[str, ...], message: str, ranks: int | None
) -> None:
    (scan.directory / "file").touch()
    done = scan(*arguments, ranks=ranks)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("mpingest: ")
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--exclude-file-type", "sockets", "."), "no file type 'sockets'"),
        (("--exclude-file-name", "(", "."), "bad regular expression '('"),
        (("--format", "xml", "."), "'xml' is not one of"),
        (("--max-stat-rate", "0", "."), "0"),
        ((), "Missing argument 'ROOT'"),
    ],
)
def test_wrong_usage(scan: Scan, arguments: tuple[str, ...], message: str) -> None:
    done = scan(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.decode()


@RANKS
def test_what_cannot_be_read_is_named_and_counted(scan: Scan, make_tree: MakeTree, ranks: int | None) -> None:
    scan.prefix = powerless()
    root = make_tree({"good/file": b"", "bad/file": b""})
    (root / "bad").chmod(0)
    try:
        done = scan("--format", "json", "-o", "tree.h5", root, ranks=ranks)
    finally:
        (root / "bad").chmod(0o700)
    assert done.returncode == 3
    assert b"mpingest: bad: cannot be read: Permission denied\n" in done.stderr
    found = json.loads(done.stdout)
    assert found["unreadable"] == 1
    assert found["failures"] == [{"path": "bad", "reason": "Permission denied"}]
    assert set(manifest(scan.directory / "tree.h5")[1]) == {b"", b"good"}


def test_a_path_too_long_is_a_failure_of_its_own(scan: Scan, make_tree: MakeTree) -> None:
    """As root may read everything, this is how it meets a directory that it cannot open."""
    root = make_tree({"file": b""})
    at = os.open(root, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=at)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    done = scan("--format", "json", root)
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert found["unreadable"] == 1
    assert found["failures"][0]["reason"] == "File name too long"
    assert done.stderr.count(b"\n") == 1


@RANKS
def test_excludes(scan: Scan, odd_tree: Path, ranks: int | None) -> None:
    found = scan.json(
        "--exclude-file-type", "link,pipe",
        "--exclude-file-type", "socket",
        "--exclude-file-name", ".*/file[0-9]$",
        "--exclude-directory-name", ".*/odd$",
        "-o", "tree.h5",
        odd_tree,
        ranks=ranks,
    )  # fmt: skip
    assert found["excluded"] == 2 + 1 + 1 + 10 + 1
    entries, states = manifest(scan.directory / "tree.h5")
    assert not any(re.search(rb"(^|/)(odd|file\d|loop|dangling|fifo|socket)(/|$)", path) for path in entries)
    assert b"hard link" in entries
    assert len(entries) == found["entries"]
    assert states[b""] == DirectoryState.PARTIAL
    assert states[b"empty"] == DirectoryState.COMPLETE


def test_options_from_the_environment_and_a_file(scan: Scan, make_tree: MakeTree) -> None:
    root = make_tree({"a": b"12", "b": b"1"})
    assert json.loads(scan(root, MPINGEST_SCAN_FORMAT="json", MPINGEST_SCAN_TOP="1").stdout)["largest_files"] == [
        {"path": "a", "bytes": 2}
    ]
    config = scan.directory / "config.toml"
    config.write_text("[scan]\nformat = 'paths0'\n")
    command = [sys.executable, "-m", "mpingest", "--config", str(config), "scan", str(root)]
    done = subprocess.run(command, capture_output=True, env=scan.environment, check=False)
    assert sorted(done.stdout.split(b"\0")) == sorted([b"", *(os.fsencode(root / name) for name in "ab")])


def test_one_file_system(scan: Scan) -> None:
    if os.stat("/proc").st_dev == os.stat("/").st_dev:
        pytest.skip("/proc is not a file system of its own")
    options = ("--exclude-directory-name", "/(?!proc$|dev$)", "--format", "paths0", "-x", "/")
    found = scan(*options).stdout.split(b"\0")
    assert b"/proc" in found
    assert not any(path.startswith(b"/proc/") for path in found)


def test_a_stat_rate_is_kept(scan: Scan, make_tree: MakeTree) -> None:
    root = make_tree({f"file{number}": b"" for number in range(300)})
    assert scan.json("--max-stat-rate", "300", root)["seconds"] > 0.8


@RANKS
@pytest.mark.parametrize("format_", ["table", "csv", "paths0"])
def test_a_reader_that_has_seen_enough_ends_it_silently(
    scan: Scan, make_tree: MakeTree, format_: str, ranks: int | None
) -> None:
    root = make_tree({f"file{number:0200d}": b"" for number in range(1000)})
    running = scan.begin("--format", format_, root, ranks=ranks)
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == b""
    running.wait(30)
    if ranks is None:
        assert running.returncode == 0
    assert no_litter(scan.directory)


@pytest.mark.parametrize(
    ("number", "ranks"), [(signal.SIGTERM, None), (signal.SIGINT, None), (signal.SIGUSR1, None), (signal.SIGTERM, 3)]
)
def test_a_signal_ends_it_with_what_was_seen(
    scan: Scan, make_tree: MakeTree, number: signal.Signals, ranks: int | None
) -> None:
    root = make_tree({f"dir{number % 10}/file{number}": b"" for number in range(2000)})
    running = scan.begin("--format", "json", "--max-stat-rate", "200", "-o", "tree.h5", root, ranks=ranks)
    time.sleep(2)
    running.send_signal(number)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 75
    assert f"mpingest: stopped by {number.name}".encode() in err
    assert err.count(b"\n") == 1
    found = json.loads(out)
    assert found["partial"]
    assert 0 < found["entries"] < 2000
    assert os.listdir(scan.directory) == []


def test_killed_it_leaves_no_manifest(scan: Scan, make_tree: MakeTree) -> None:
    root = make_tree({f"file{number}": b"" for number in range(1000)})
    (scan.directory / "tree.h5").write_text("the last one")
    running = scan.begin("--max-stat-rate", "200", "-o", "tree.h5", root)
    time.sleep(1)
    running.kill()
    running.communicate(timeout=30)
    assert (scan.directory / "tree.h5").read_text() == "the last one"


def test_what_vanishes_is_no_failure(scan: Scan, make_tree: MakeTree) -> None:
    root = make_tree({f"dir{number}/file": b"" for number in range(400)})
    running = scan.begin("--format", "json", "--max-stat-rate", "400", "--stat-threads", "1", root)
    time.sleep(1)
    for number in range(400):
        (root / f"dir{number}/file").unlink()
        (root / f"dir{number}").rmdir()
    out, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (0, b"")
    assert json.loads(out)["unreadable"] == 0


def test_a_signal_to_any_rank_ends_them_all(scan: Scan, make_tree: MakeTree) -> None:
    root = make_tree({f"dir{number % 200}/file{number}": b"" for number in range(4000)})
    running = scan.begin("--format", "json", "--max-stat-rate", "400", root, ranks=3)
    time.sleep(2)
    os.kill(commands_below(running.pid, b"mpingest\0scan")[-1], signal.SIGTERM)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 75
    assert b"mpingest: stopped by SIGTERM" in err
    assert 0 < json.loads(out)["entries"] < 4000


@RANKS
def test_a_stat_that_hangs_ends_the_scan_in_time(
    scan: Scan, make_tree: MakeTree, tmp_path: Path, ranks: int | None
) -> None:
    shim = build_shim(tmp_path)
    if shim is None:
        pytest.skip("no C compiler: install gcc")
    root = make_tree({f"dir{number}/file": b"" for number in range(100)} | {"stuck/hang-here": b""})
    scan.environment |= delayed(shim, hang="hang-here")
    done = scan("--format", "json", "--stall-timeout", "2", "-o", "tree.h5", root, ranks=ranks)
    assert done.returncode == 75, done.stderr
    assert b"makes no progress: scanning " in done.stderr
    assert b"/stuck/hang-here for " in done.stderr
    assert json.loads(done.stdout)["partial"]
    assert os.listdir(scan.directory) == []


def test_a_limit_on_stats_is_that_of_all_ranks(scan: Scan, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for number in range(1200):
        path = root / f"dir{number % 12}" / f"file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    began = time.monotonic()
    assert scan("--max-stat-rate", "400", root, ranks=4).returncode == 0
    # Whoever has work gets the part of those that have none, and no one more than there is.
    assert 2.5 < time.monotonic() - began < 9
