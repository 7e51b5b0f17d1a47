"""Failures of a run, grouped."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from mpingest.errors import MpingestError
from mpingest.jobs.directory import JobDirectory
from mpingest.jobs.failures import MOST_GROUPS, Failures, failures_of
from mpingest.jobs.spec import JobSpec


@pytest.fixture
def job(tmp_path: Path) -> JobDirectory:
    return JobDirectory.of(str(tmp_path), JobSpec("job", b"/data", "/zone/home/me"))


def failures(job: JobDirectory, content: bytes, examples: int = 2) -> Failures:
    Path(job.new_run().file("failures.jsonl")).write_bytes(content)
    return failures_of(job, None, examples)


def line(path: str, reason: str, code: int = 0) -> bytes:
    return (
        json.dumps({"path": path, "reason": reason} | ({"code": code, "error": "X"} if code else {})).encode() + b"\n"
    )


def test_errors_are_grouped_by_name_and_others_by_what_they_say(job: JobDirectory) -> None:
    content = b"".join(
        [
            *(line(f"a/{number}", f"CAT_NO_ACCESS_PERMISSION (-818000): no {number}", -818000) for number in range(5)),
            line("b", "UNIX_FILE_OPEN_ERR (-510013)", -510013),
            line("c", "UNIX_FILE_OPEN_ERR (-510002)", -510002),
            *(line(f"d/{number}", f"operation() raised KeyError: 'd/{number}' of /x/{number}") for number in range(3)),
            line("e", "SYS_NO_RCAT_SERVER_ERR (-43000)", -43000),
            line("f", "HTTP (-987654000)", -987654000),
        ]
    )
    found = failures(job, content)
    assert [(group.name, group.count, group.outlook[0]) for group in found.groups] == [
        ("CAT_NO_ACCESS_PERMISSION", 5, False),
        ("operation() raised KeyError: … of …", 3, False),
        ("UNIX_FILE_OPEN_ERR", 2, False),
        ("IRODS_ERROR_987654000", 1, False),
        ("SYS_NO_RCAT_SERVER_ERR", 1, True),
    ]
    assert [example.path for example in found.groups[0].examples] == ["a/0", "a/1"]
    assert (found.total, found.damaged, found.ended) == (12, 0, True)
    text = "\n".join(found.lines())
    assert "         5  CAT_NO_ACCESS_PERMISSION: the user has no permission there: ichmod" in text
    assert "rerun: yes, the next run tries again" in text
    group = found.to_json()["groups"][0]
    assert (group["error"], group["code"], group["count"], group["rerun_helps"]) == (
        "CAT_NO_ACCESS_PERMISSION",
        -818000,
        5,
        False,
    )


@pytest.mark.parametrize("code", [-168000, -405000, -406000])
def test_what_is_locked_waits_for_a_rodsadmin(job: JobDirectory, code: int) -> None:
    found = failures(job, line("a", f"({code}): replica 0 is intermediate", code))
    assert "rerun: no, once nobody writes it any more, a rodsadmin has to say" in "\n".join(found.lines())
    assert not found.to_json()["groups"][0]["rerun_helps"]


HOSTILE = [
    b'{"path": "torn',
    b"\xff\xfe\x00",
    b"[]",
    b"7",
    b"null",
    b'{"path": 1, "reason": "x"}',
    b'{"path": "x"}',
    b'{"path": "x", "reason": "y", "code": "z"}',
    b'{"path": "x", "reason": "y", "code": [1]}',
    b"[" * 100_000,
    b'"' + b"x" * 1_000_000,
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_failure_is_counted_and_nothing_more(job: JobDirectory, content: bytes) -> None:
    good = line("\udcff\x1b[31m", "reason\nof two lines")
    for whole in (content + b"\n" + good, good + content, good + b"\n\n" + content + b"\n"):
        found = failures(job, whole)
        assert (found.total, found.damaged) == (1, 1)
        text = list(found.lines())
        assert all(each.isprintable() for each in text)
        assert "'\\udcff\\x1b[31m': 'reason\\nof two lines'" in "\n".join(text)
        json.dumps(found.to_json())


def test_memory_is_that_of_the_groups(job: JobDirectory) -> None:
    path = Path(job.new_run().file("failures.jsonl"))
    with path.open("wb") as file:
        for number in range(50_000):
            letters = "".join(chr(ord("a") + int(digit)) for digit in str(number))
            file.write(line(f"dir/{number}", f"{letters} {'x' * 100}"))
    tracemalloc.start()
    try:
        found = failures_of(job, None, 3)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.total == 50_000
    assert len(found.groups) == MOST_GROUPS + 1
    assert (found.groups[0].name, found.groups[0].count) == ("other reasons", 50_000 - MOST_GROUPS)
    assert peak < path.stat().st_size / 3


def test_a_run_that_was_cut_off_tells_what_its_ranks_have_noted(job: JobDirectory) -> None:
    run = job.new_run()
    for rank in range(2):
        Path(run.rank_failures, f"rank{rank:05d}.jsonl").write_bytes(line(f"{rank}", "why") + b'{"pa')
    found = failures_of(job, None, 2)
    assert (found.total, found.damaged, found.ended) == (2, 2, False)
    assert "was cut off" in next(iter(found.lines()))
    assert failures(job, b"").total == 0
    assert failures_of(job, 1, 2).total == 2
    with pytest.raises(MpingestError, match="there is no run 7; there are 1 to 2"):
        failures_of(job, 7, 2)


def test_no_run_yet(job: JobDirectory) -> None:
    with pytest.raises(MpingestError, match="no run of it yet"):
        failures_of(job, None, 2)


@pytest.mark.parametrize("command", ["failures", "report"])
def test_no_mpi_is_loaded(job: JobDirectory, command: str) -> None:
    failures(job, line("a", "b"))
    program = (
        "import sys; sys.modules['mpi4py'] = None\n"
        "from mpingest.cli import main\n"
        f"sys.argv = ['mpingest', '{command}', '--jobs-dir', {str(Path(job.path).parent)!r}, 'job']; main()"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.returncode, "Traceback" in ran.stderr) == ({"failures": 0, "report": 1}[command], False), ran.stderr
