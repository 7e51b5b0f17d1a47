"""The job directory and its lock."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mpingest.errors import MpingestError
from mpingest.jobs.directory import STALE_SECONDS, JobDirectory
from mpingest.jobs.spec import JobSpec

SPEC = JobSpec("job", b"/data/\xff", "/zone/home/me")


def test_everything_is_private(tmp_path: Path) -> None:
    job = JobDirectory.of(str(tmp_path / "jobs"), SPEC)
    job.new_run()
    modes = {
        path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "jobs" / "job").rglob("*") if path.is_dir()
    }
    assert set(modes.values()) == {0o700}
    assert stat.S_IMODE(os.stat(job.path).st_mode) == 0o700


def test_the_same_job_is_found_again_and_runs_are_numbered(tmp_path: Path) -> None:
    first = JobDirectory.of(str(tmp_path), SPEC)
    assert [first.new_run().number for _ in range(3)] == [1, 2, 3]
    again = JobDirectory.of(str(tmp_path), SPEC)
    assert [run.number for run in again.runs()] == [1, 2, 3]
    assert again.new_run().path.endswith("0004")


def test_another_job_of_that_name_is_refused(tmp_path: Path) -> None:
    JobDirectory.of(str(tmp_path), SPEC)
    with pytest.raises(MpingestError, match="choose another --job-name"):
        JobDirectory.of(str(tmp_path), JobSpec("job", b"/other", SPEC.target))


def test_a_job_that_exists_is_found_and_others_are_named(tmp_path: Path) -> None:
    with pytest.raises(MpingestError, match=f"no job 'job' in {tmp_path}; there is no job at all"):
        JobDirectory.existing(str(tmp_path), "job")
    for name in ("later", "job"):
        JobDirectory.of(str(tmp_path), JobSpec(name, SPEC.root, SPEC.target))
    (tmp_path / "no job").mkdir()
    assert JobDirectory.existing(str(tmp_path), "job") == JobDirectory.of(str(tmp_path), SPEC)
    assert JobDirectory.existing(str(tmp_path), "job").name == "job"
    for name in ("other", "no job", "", ".", "..", "../job", "job/runs"):
        with pytest.raises(MpingestError, match=r"no job '.*' in .*; there are job, later$"):
            JobDirectory.existing(str(tmp_path), name)
    with pytest.raises(MpingestError, match="no job 'job' in /no/where; there is no job at all"):
        JobDirectory.existing("/no/where", "job")


def test_names_of_jobs_follow_from_root_and_target() -> None:
    name = JobSpec.named(None, b"/data/run 42", "/z/a").name
    assert name == JobSpec.named(None, b"/data/run 42", "/z/a").name
    assert name.startswith("run-42-")
    assert name != JobSpec.named(None, b"/data/run 42", "/z/b").name
    with pytest.raises(MpingestError, match="job name"):
        JobSpec.named("../up", b"/data", "/z/a")


def test_a_second_run_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    job = JobDirectory.of(str(tmp_path), SPEC)
    with job.locked(), pytest.raises(MpingestError, match=f"process {os.getpid()} on .* since"), job.locked():
        pass
    with job.locked() as lock:
        assert lock.note == ""


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("how", ["process", "age", "garbage"])
def test_the_lock_of_a_dead_run_is_taken_over_with_a_note(tmp_path: Path, how: str) -> None:
    job = JobDirectory.of(str(tmp_path), SPEC)
    path = Path(job.path) / "lock"
    host = os.uname().nodename if how == "process" else "elsewhere"
    holder = {"host": host, "pid": dead_process(), "started": 5}
    path.write_text("not json" if how == "garbage" else json.dumps(holder))
    if how != "process":
        old = path.stat().st_mtime - STALE_SECONDS - 5
        os.utime(path, (old, old))
    with job.locked() as lock:
        assert "died" in lock.note
    assert not path.exists()
    assert sorted(os.listdir(job.path)) == ["job.json", "runs"]


def test_a_fresh_lock_of_another_host_is_respected(tmp_path: Path) -> None:
    job = JobDirectory.of(str(tmp_path), SPEC)
    path = Path(job.path) / "lock"
    path.write_text(json.dumps({"host": "elsewhere", "pid": dead_process(), "batch_job": "77"}))
    with pytest.raises(MpingestError, match=r"on elsewhere .*batch job 77"), job.locked():
        pass
    assert path.exists()


@pytest.mark.parametrize("has_links", [True, False])
def test_a_lock_is_whole_from_the_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    job = JobDirectory.of(str(tmp_path), SPEC)
    link = os.link

    def watched(source: str, lock: str) -> None:
        assert json.loads(Path(source).read_text())["pid"] == os.getpid()
        if not has_links:
            raise OSError(errno.EOPNOTSUPP, "no hard links here")
        link(source, lock)

    monkeypatch.setattr(os, "link", watched)
    with job.locked():
        assert sorted(os.listdir(job.path)) == ["job.json", "lock", "runs"]
        assert f"process {os.getpid()}" in str(job.held())
        with pytest.raises(MpingestError, match="is being run by"), job.locked():
            pass
    assert sorted(os.listdir(job.path)) == ["job.json", "runs"]


def test_without_a_trace_whoever_is_on_another_host_lives(tmp_path: Path) -> None:
    job = JobDirectory.of(str(tmp_path), SPEC)
    path = Path(job.path) / "lock"
    for host, lives in (("elsewhere", [False, True]), (os.uname().nodename, [False, False])):
        path.write_text(json.dumps({"host": host, "pid": dead_process(), "started": 5}))
        os.utime(path, (0, 0))
        held = [job.held(), job.held(without_trace=True)]
        assert [holder and holder.lives for holder in held] == lives


def test_a_reused_process_number_is_not_the_run(tmp_path: Path) -> None:
    job = JobDirectory.of(str(tmp_path), SPEC)
    holder = {"host": os.uname().nodename, "pid": os.getpid(), "started": 5}
    (Path(job.path) / "lock").write_text(json.dumps(holder))
    with job.locked() as lock:
        assert "died" in lock.note
