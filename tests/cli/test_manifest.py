"""``mpingest manifest``: every subcommand on a job and on files, and what it says of bad input."""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet
import pytest

from mpingest import cli
from mpingest.jobs.directory import JobDirectory
from mpingest.jobs.spec import JobSpec
from mpingest.manifest.merge import merge
from mpingest.manifest.segment import SegmentWriter
from mpingest.manifest.states import Change, DirectoryState, Outcome
from tests.manifest.trees import ATTRIBUTES, DIRECTORY, batch, row, segment

ROOT = ATTRIBUTES.root
NANOSECONDS = 1_700_000_000_123_456_789
ENTRIES: dict[bytes, dict[bytes, tuple[tuple[int, ...], Outcome, Change, int]]] = {
    b"": {
        b"raw": (row(4096, DIRECTORY), Outcome.DONE, Change.NEW, 0),
        b"note.txt": (row(12_345, mtime_ns=NANOSECONDS, uid=0, gid=0), Outcome.DONE, Change.MODIFIED, 1),
        b"fifo": (row(0, 0o010600), Outcome.SKIPPED, Change.NEW, 0),
    },
    b"raw": {
        b"\xff\n": (row(4096, DIRECTORY), Outcome.DONE, Change.NEW, 0),
        b'comma, "quote" \\': (row(5, mtime_ns=-1), Outcome.FAILED, Change.RETRY, -818000),
        b"gone": (row(7), Outcome.GONE, Change.DELETED, 0),
    },
    b"raw/\xff\n": {b"\xc3\xa9%04d" % i: (row(i, inode=2**63 + i), Outcome.DONE, Change.NEW, 0) for i in range(30)},
}


@dataclass(frozen=True)
class Done:
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()


Run = Callable[..., Done]


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


@pytest.fixture
def run(jobs: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """The command, in this process."""
    monkeypatch.setenv("MPINGEST_JOBS_DIR", str(jobs))

    def run(*arguments: str | bytes | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["mpingest", *map(os.fsdecode, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capfdbinary.readouterr()
        assert b"Traceback" not in captured.err
        return Done(int(ended.value.code or 0), captured.out, captured.err.decode())

    return run


@pytest.fixture
def job(jobs: Path, tmp_path: Path) -> JobDirectory:
    """A job called project, whose checkpoint holds ``ENTRIES``."""
    job = JobDirectory.of(str(jobs), JobSpec("project", ROOT, "/zone/home/ä"))
    writer = SegmentWriter(tmp_path, 0, ATTRIBUTES)
    for path, entries in ENTRIES.items():
        rows, outcomes, changes, codes = zip(*entries.values(), strict=True)
        writer.record(
            path,
            batch(dict(zip(entries, rows, strict=True))),
            np.array(changes, np.uint8),
            np.array(outcomes, np.uint8),
            np.array(codes, np.int32),
        )
        writer.record_directory(path, DirectoryState.PARTIAL if path == b"raw" else DirectoryState.COMPLETE)
    sealed = writer.seal()
    assert sealed is not None
    merge(None, [sealed], Path(job.checkpoint), replace(ATTRIBUTES, job="project", run=3))
    sealed.unlink()
    return job


@pytest.fixture
def paths() -> dict[bytes, tuple[tuple[int, ...], Outcome, Change, int]]:
    """All entries by absolute path."""
    return {
        os.path.join(ROOT, path, name): entry for path, entries in ENTRIES.items() for name, entry in entries.items()
    }


def leave_segment(job: JobDirectory) -> Path:
    """What a run that was cut off leaves."""
    return segment(Path(job.new_run().manifest), {b"new": batch({b"x": row()})})


def flip(path: Path) -> None:
    """Damages the first block of entries."""
    with h5py.File(path) as file:
        at = file["entries"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[at + 5] ^= 1
    path.write_bytes(data)


def test_show(run: Run, job: JobDirectory) -> None:
    done = run("manifest", "show", "project")
    assert (done.code, done.err) == (0, "")
    text = done.out.decode()
    assert r"root         /data/\xff" + "\n" in text
    assert "target       /zone/home/ä\n" in text
    assert "job          project, run 3\n" in text
    assert re.search(r"written      on node1 by mpingest \S+, format version 2, ", text)
    assert "holds        36 entries in 3 directories\n" in text
    size = os.path.getsize(job.checkpoint)
    assert f"{size / 36:.1f} bytes an entry\n" in text
    table = {line.split()[0]: line.split() for line in done.lines if "%" in line}
    assert table["done"][1:3] == ["33", "91.7%"]
    assert table["failed"][1] == table["skipped"][1] == table["gone"][1] == "1"
    assert table["new"][1] == "33"
    assert table["modified"][1:5] == ["1", "2.8%", "12.3", "kB"]
    assert (table["complete"][1], table["partial"][1]) == ("2", "1")
    assert run("manifest", "show", job.checkpoint).lines[1:] == done.lines[1:]


def test_show_says_what_is_not_merged_yet(run: Run, job: JobDirectory) -> None:
    left = leave_segment(job)
    assert "1 segment waits to be merged: the next run does it" in run("manifest", "show", "project").out.decode()
    shown = run("manifest", "show", left).out.decode()
    assert "segment      1 of rank 0\n" in shown
    os.unlink(job.checkpoint)
    done = run("manifest", "show", "project")
    assert done.code == 1
    assert done.err.startswith("mpingest: job project has no checkpoint yet; 1 segment waits to be merged")


@pytest.mark.parametrize("path", ["raw", "./raw/", "raw/../raw", b"/data/\xff/raw"])
def test_show_a_directory(run: Run, job: JobDirectory, path: str | bytes) -> None:
    done = run("manifest", "show", "project", path)
    assert done.code == 0, done.err
    assert done.lines[0] == r"/data/\xff/raw"
    assert "  directory    partial" in done.lines
    listed = [line for line in done.lines if line.startswith(("-", "d"))]
    assert [line.split()[-1] for line in listed] == [r"\\", "gone", r"\xff\x0a"]
    assert re.match(r"-rw-r--r-- +1 \S+ +\S+ +5 B 1969-12-31 23:59:59  failed    retry     CAT_\w+ ", listed[0])
    assert re.search(r" 2001-09-09 01:46:40  gone      deleted   replica 0  gone$", listed[1])


def test_show_the_root_and_names_of_any_bytes(run: Run, job: JobDirectory) -> None:
    assert [line.split()[-1] for line in run("manifest", "show", "project", ".").lines[2:]] == [
        "fifo",
        "note.txt",
        "raw",
    ]
    assert len(run("manifest", "show", "project", b"raw/\xff\n").lines) > 30


def test_show_a_file(run: Run, job: JobDirectory) -> None:
    lines = run("manifest", "show", "project", "note.txt").lines
    assert lines[0] == r"/data/\xff/note.txt"
    shown = {line[2:15].strip(): line[15:] for line in lines[1:]}
    assert shown["type"] == "regular"
    assert shown["mode"] == "0644 -rw-r--r--"
    assert shown["owner"].endswith("(0)")
    assert shown["size"] == "12,345 bytes"
    assert shown["mtime"] == "2023-11-14T22:13:20.123456789Z"
    assert shown["outcome"] == "done, replica 1"
    assert shown["change"] == "modified"
    failed = run("manifest", "show", "project", 'raw/comma, "quote" \\').out.decode()
    assert re.search(r"outcome      failed, CAT_\w+ \(-818000\)\n", failed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("show", "other"), "other: no such file, and no job 'other' in {jobs}; there are project"),
        (("show", "no/where.h5"), "no/where.h5: no such file"),
        (("show", "/"), "/: is a directory, not a manifest"),
        (("show", "project", "raw/nothing"), "raw/nothing: nothing is recorded of it"),
        (("show", "project", "/etc"), "/etc: is not below the root /data/"),
        (("show", "project", ".."), "..: is not below the root /data/"),
        (("show", "/etc/passwd"), "/etc/passwd is damaged or not a manifest"),
        (("show", "other", "--jobs-dir", "/no/where"), "no job 'other' in /no/where; there is no job at all"),
        (("export", "project", "--below", "raw/gone"), "raw/gone: no directory of that path is recorded"),
        (("export", "project", "-o", "/no/where.csv"), "/no/where.csv: cannot be written: No such file or directory"),
        (("export", "project", "-o", "{checkpoint}"), "is what is to be read; choose another name"),
        (("diff", "project", "other"), "no job 'other'"),
    ],
)
def test_bad_input_is_one_clear_line(
    run: Run, job: JobDirectory, jobs: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = run("manifest", *(each.replace("{checkpoint}", job.checkpoint) for each in arguments))
    assert done.code == 1
    assert message.replace("{jobs}", str(jobs)) in done.err
    assert done.err.count("\n") == 1
    assert done.err.startswith("mpingest: ")
    assert done.out == b""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("export", "project", "--outcome", "done,bad"), "'bad' is none of done, skipped, failed"),
        (("export", "project", "--change", "bad"), "'bad' is none of unchanged, new"),
        (("export", "project", "--format", "xml"), "'xml' is not one of"),
        (("verify",), "Missing argument 'FILE|JOB...'"),
    ],
)
def test_wrong_usage(run: Run, job: JobDirectory, arguments: tuple[str, ...], message: str) -> None:
    done = run("manifest", *arguments)
    assert (done.code, done.out) == (2, b"")
    assert message in done.err


def test_verify(run: Run, job: JobDirectory, tmp_path: Path) -> None:
    left = leave_segment(job)
    done = run("manifest", "verify", "project", left)
    assert (done.code, done.err) == (0, "")
    assert done.lines == [
        f"{job.checkpoint}: sound, 36 entries in 3 directories",
        f"{left}: sound, 1 entries in 1 directories",
        f"{left}: sound, 1 entries in 1 directories",
    ]
    flip(Path(job.checkpoint))
    done = run("manifest", "verify", "project")
    assert done.code == 1
    assert done.lines == [f"{left}: sound, 1 entries in 1 directories"]
    assert done.err.startswith(f"mpingest: {job.checkpoint} is damaged or not a manifest: ")
    assert done.err.count("\n") == 1


def test_what_is_damaged_is_told_by_every_command(run: Run, job: JobDirectory, tmp_path: Path) -> None:
    whole = tmp_path / "whole.h5"
    whole.write_bytes(Path(job.checkpoint).read_bytes())
    flip(Path(job.checkpoint))
    output = tmp_path / "out.csv"
    output.write_text("the last one")
    for arguments in (
        ("show", "project"),
        ("show", "project", "raw"),
        ("diff", whole, "project"),
        ("diff", "--list", "project", whole),
        ("export", "project", "-o", output),
        ("export", "project", "--format", "parquet", "-o", output),
    ):
        done = run("manifest", *arguments)
        assert done.code == 1, arguments
        assert done.err.startswith(f"mpingest: {job.checkpoint} is damaged"), done.err
        assert done.err.count("\n") == 1
    assert output.read_text() == "the last one"
    assert sorted(os.listdir(tmp_path)) == ["jobs", "out.csv", "whole.h5"]


def test_a_newer_format_is_refused(run: Run, job: JobDirectory) -> None:
    with h5py.File(job.checkpoint, "r+") as file:
        file.attrs["version"], file.attrs["program"] = 3, np.bytes_("9.1")
    for command in ("show", "verify", "export"):
        done = run("manifest", command, "project")
        assert done.code == 1
        assert "has format version 3, this mpingest knows up to 2: it was written by mpingest 9.1" in done.err


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """What a scan of the root would find later."""
    files = {
        b"": {b"raw": row(0, DIRECTORY), b"note.txt": row(5), b"fifo": row(0, 0o010640)},
        b"raw": {b"\xff\n": row(0, DIRECTORY), b"gone": row(7), b'comma, "quote" \\': row(5, mtime_ns=-1)},
        b"raw/\xff\n": {b"\xc3\xa9%04d" % i: row(i, inode=2**63 + i) for i in range(29)},
    }
    writer = SegmentWriter(tmp_path, 7, replace(ATTRIBUTES, job="scan", target=""))
    for path, entries in files.items():
        nothing = np.zeros(len(entries), np.uint8)
        writer.record(path, batch(entries), nothing, nothing, np.zeros(len(entries), np.int32))
    sealed = writer.seal()
    assert sealed is not None
    return sealed


MARKED = {
    "m fifo": "metadata",
    "M note.txt": "modified",
    "+ raw/gone": "added",
    "- raw/\\xff\\x0a/é0029": "removed",
}


def test_diff(run: Run, job: JobDirectory, later: Path) -> None:
    done = run("manifest", "diff", "project", later)
    assert (done.code, done.err) == (0, "")
    assert done.lines[0].endswith(r"run 3 of job project, root /data/\xff")
    assert done.lines[1] == rf"new          {later}: a scan, root /data/\xff"
    counted = {line.split("%")[0].rsplit(maxsplit=2)[0]: line.split("%")[0].split()[-2] for line in done.lines[4:]}
    assert counted == {
        "  same": "32",
        "+ added": "1",
        "- removed": "1",
        "M modified": "1",
        "m metadata": "1",
        "o outcome": "0",
    }
    listed = run("manifest", "diff", "--list", "project", later)
    assert listed.lines[: len(MARKED)] == list(MARKED)
    assert listed.lines[len(MARKED) + 1 :] == done.lines


def test_diff_as_json(run: Run, job: JobDirectory, later: Path) -> None:
    counted = json.loads(run("manifest", "diff", "--json", "project", later).out)
    assert (counted["old"]["job"], counted["old"]["run"], counted["new"]["target"]) == ("project", 3, "")
    assert {name: each["entries"] for name, each in counted["differences"].items() if name != "same"} == {
        "added": 1,
        "removed": 1,
        "modified": 1,
        "metadata": 1,
        "outcome": 0,
    }
    assert counted["differences"]["modified"]["bytes"] == 5
    *entries, last = map(json.loads, run("manifest", "diff", "--json", "--list", "project", later).lines)
    assert last == counted
    assert [each["difference"] for each in entries] == list(MARKED.values())
    by_path = {os.fsencode(each["path"]): each for each in entries}
    assert by_path[b"note.txt"] == {
        "path": "note.txt",
        "difference": "modified",
        "old": {"size": 12_345, "mtime": "2023-11-14T22:13:20.123456789Z", "outcome": "done"},
        "new": {"size": 5, "mtime": "2001-09-09T01:46:40.000000000Z", "outcome": "done"},
    }
    assert by_path[b"raw/gone"]["old"]["outcome"] == "gone"
    assert by_path[b"raw/\xff\n/\xc3\xa90029"]["new"] is None


def test_nothing_differs_from_itself(run: Run, job: JobDirectory) -> None:
    done = run("manifest", "diff", "--list", "project", job.checkpoint)
    assert done.code == 0
    assert done.lines[0] == ""  # nothing is listed before what was counted
    assert {line.split("%")[0].rsplit(maxsplit=2)[1] for line in done.lines if "%" in line} == {"35", "0"}


def unescaped(text: str) -> bytes:
    parts = re.split(r"(\\\\|\\x[0-9a-f]{2})", text)
    return b"".join(
        b"\\" if part == "\\\\" else bytes.fromhex(part[2:]) if part.startswith("\\x") else part.encode()
        for part in parts
    )


TYPES = {0o010: "regular", 0o004: "directory", 0o001: "pipe"}


def check(record: dict[str, str | int | None], entry: tuple[tuple[int, ...], Outcome, Change, int]) -> None:
    """That a record of CSV or JSON says what was recorded."""
    (mode, nlink, uid, gid, inode, size, mtime_ns, ctime_ns), outcome, change, code = entry
    numbers = (int(record[name] or 0) for name in ("nlink", "uid", "gid", "inode", "size", "code"))
    assert tuple(numbers) == (nlink, uid, gid, inode, size, code)
    assert record["type"] == TYPES[mode >> 12]
    assert record["mode"] == f"{mode & 0o7777:04o}"
    for name, time_ns in (("mtime", mtime_ns), ("ctime", ctime_ns)):
        seconds, _, fraction = str(record[name]).partition(".")
        parsed = datetime.datetime.fromisoformat(seconds + "+00:00")
        assert int(parsed.timestamp()) * 10**9 + int(fraction.removesuffix("Z")) == time_ns
    assert (record["outcome"], record["change"]) == (outcome.name.lower(), change.name.lower())
    assert (record["error"] or "").startswith("CAT_") if code < 0 else not record["error"]


Paths = dict[bytes, tuple[tuple[int, ...], Outcome, Change, int]]


def test_export_csv(run: Run, job: JobDirectory, paths: Paths, tmp_path: Path) -> None:
    done = run("manifest", "export", "project")
    assert (done.code, done.err) == (0, "")
    assert done.out.count(b"\n") == len(paths) + 1
    rows = {unescaped(each["path"]): each for each in csv.DictReader(io.StringIO(done.out.decode(), newline=""))}
    assert rows.keys() == paths.keys()
    for path, entry in paths.items():
        check(rows[path], entry)
    assert run("manifest", "export", "project", "-o", tmp_path / "out.csv").out == b""
    assert (tmp_path / "out.csv").read_bytes() == done.out


def test_export_json_lines(run: Run, job: JobDirectory, paths: Paths) -> None:
    done = run("manifest", "export", "project", "--format", "jsonl")
    rows = [json.loads(line) for line in done.lines]
    assert [os.fsencode(each["path"]) for each in rows] == [
        os.path.join(ROOT, path, name) for path, entries in ENTRIES.items() for name in sorted(entries)
    ]
    for each in rows:
        check(each, paths[os.fsencode(each["path"])])
        assert list(each) == done_columns(run)
    failed = next(each for each in rows if each["outcome"] == "failed")
    assert failed["code"] == -818000
    assert rows[0]["error"] is None


def done_columns(run: Run) -> list[str]:
    return run("manifest", "export", "project", "--outcome", "removed").out.decode().strip().split(",")


def test_export_paths0(run: Run, job: JobDirectory, paths: Paths) -> None:
    done = run("manifest", "export", "project", "--format", "paths0")
    assert done.out.endswith(b"\0")
    assert set(done.out[:-1].split(b"\0")) == paths.keys()


def test_export_parquet(run: Run, job: JobDirectory, paths: Paths, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    assert run("manifest", "export", "project", "--format", "parquet", "-o", output).code == 0
    table = pyarrow.parquet.read_table(output)
    assert table.column_names == done_columns(run)
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert types["path"] == types["error"] == "string"
    assert types["mtime"] == types["ctime"] == "timestamp[ns, tz=UTC]"
    assert (types["size"], types["inode"], types["mode"], types["code"]) == ("int64", "uint64", "uint16", "int32")
    columns = {name: table[name].to_pylist() for name in table.column_names if types[name][:9] != "timestamp"}
    columns |= {name: table[name].cast("int64").to_pylist() for name in ("mtime", "ctime")}
    for number, path in enumerate(map(unescaped, columns["path"])):
        (mode, *_, inode, size, mtime_ns, ctime_ns), outcome, change, code = paths[path]
        record = {name: values[number] for name, values in columns.items()}
        assert (record["mode"], record["type"]) == (mode & 0o7777, TYPES[mode >> 12])
        assert (record["inode"], record["size"]) == (inode, size)
        assert (record["mtime"], record["ctime"]) == (mtime_ns, ctime_ns)
        assert (record["outcome"], record["change"]) == (outcome.name.lower(), change.name.lower())
        assert (record["code"], record["error"] is None) == (code, code >= 0)
    assert table.num_rows == len(paths)


def test_parquet_on_stdout_is_the_same(run: Run, job: JobDirectory, paths: Paths) -> None:
    done = run("manifest", "export", "project", "--format", "parquet")
    assert pyarrow.parquet.read_table(io.BytesIO(done.out)).num_rows == len(paths)


def test_parquet_without_pyarrow(run: Run, job: JobDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run("manifest", "export", "project", "--format", "parquet", "-o", tmp_path / "out.parquet")
    assert done.code == 1
    assert done.err.startswith("mpingest: Parquet needs pyarrow: pip install 'mpingest[parquet]'")
    assert done.err.count("\n") == 1
    assert os.listdir(tmp_path) == ["jobs"]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--outcome", "failed,gone"), 2),
        (("--outcome", "failed", "--outcome", "gone"), 2),
        (("--change", "new"), 33),
        (("--outcome", "done", "--change", "modified"), 1),
        (("--outcome", "removed"), 0),
        (("--below", "raw"), 33),
        (("--below", b"/data/\xff/raw/\xff\n"), 30),
        (("--below", "raw", "--outcome", "failed"), 1),
        (("--below", "."), 36),
    ],
)
def test_export_of_some(run: Run, job: JobDirectory, options: tuple[str | bytes, ...], count: int) -> None:
    for format in ("csv", "jsonl", "paths0"):
        done = run("manifest", "export", "project", "--format", format, *options)
        end = b"\0" if format == "paths0" else b"\n"
        assert done.out.count(end) == count + (format == "csv")


def test_export_to_what_is_no_file(run: Run, job: JobDirectory) -> None:
    done = run("manifest", "export", "project", "-o", "/dev/null")
    assert (done.code, done.err) == (0, "")
    assert Path("/dev/null").is_char_device()


def test_export_notes_what_is_not_merged_yet(run: Run, job: JobDirectory) -> None:
    leave_segment(job)
    done = run("manifest", "export", "project")
    assert done.code == 0
    assert done.err.startswith("mpingest: job project: not all is in its checkpoint; 1 segment waits")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "mpingest", "manifest", *map(str, arguments)]


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Path]:
    """A manifest whose export no pipe holds."""
    yield segment(tmp_path, {b"d": batch({b"f%06d" % i: row(i) for i in range(20_000)})})


@pytest.mark.parametrize("arguments", [("export",), ("show", "d"), ("diff", "--list")])
def test_a_reader_that_has_seen_enough_ends_it_silently(
    large: Path, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    name, *rest = arguments
    other = segment(tmp_path, {b"e": batch({b"f%06d" % i: row(i) for i in range(20_000)})}, 2)
    whole = {"export": [large], "show": [large, *rest], "diff": [*rest, large, other]}[name]
    running = subprocess.Popen(command(name, *whole), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline()
    running.stdout.close()
    _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, b"")


def test_a_full_disk_is_one_clear_line(large: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command("export", large), stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert done.stderr == b"mpingest: stdout: cannot be written: No space left on device\n"


def test_a_closed_stdout_is_one_clear_line(large: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" >&-', "sh", *command("verify", large)], stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 1
    assert done.stderr == b"mpingest: stdout: cannot be written: Bad file descriptor\n"


def test_neither_mpi_nor_a_zone_is_needed(large: Path) -> None:
    hidden = Path(__file__).parent.parent / "e2e" / "no_mpi"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IRODS")}
    environment |= {"PYTHONPATH": str(hidden), "HOME": "/nowhere"}
    done = subprocess.run(command("verify", large), env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{large}: sound, 20,000 entries in 1 directories\n"


def test_help_loads_nothing_that_takes_its_time() -> None:
    code = "import sys; from mpingest.cli.root import command; command('manifest'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"h5py", "mpi4py", "irods", "pyarrow"} & set(loaded)


def test_options_from_a_file_and_the_environment(
    run: Run, job: JobDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[manifest.export]\nformat = 'paths0'\nbelow = 'raw'\n")
    assert run("--config", config, "manifest", "export", "project").out.count(b"\0") == 33
    config.write_text("[manifest.export]\nfromat = 'paths0'\n")
    done = run("--config", config, "manifest", "export", "project")
    assert done.code == 2
    assert "[manifest.export] has no option 'fromat'; see mpingest manifest export --help" in done.err
    config.write_text("[manifest]\nexport = 'paths0'\n")
    assert "[manifest] has no option 'export'" in run("--config", config, "manifest", "export", "project").err
    monkeypatch.setenv("MPINGEST_MANIFEST_EXPORT_FORMAT", "jsonl")
    assert run("manifest", "export", "project").out.startswith(b'{"path":')
