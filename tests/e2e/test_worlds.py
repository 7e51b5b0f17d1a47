"""What only shows with several ranks: real trees, shares, ranks that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.bench._latency import build_shim, delayed
from tests.conftest import FULL, CommandLine, mpiexec
from tests.e2e.checking import assert_put, assert_registered, objects_below
from tests.e2e.worlds import kill_below

MakeTree = Callable[[dict[str, bytes]], Path]

DOCUMENTS = Path("/usr/share/doc")
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("python3.*"))), Path(os.__file__).parent)


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("operation", "tree"),
    [
        ("register_sync", DOCUMENTS),
        ("put_sync", LIBRARY),
        pytest.param("register_sync", LIBRARY, marks=pytest.mark.skipif(not FULL, reason="set MPINGEST_TEST_FULL=1")),
        pytest.param("put_sync", DOCUMENTS, marks=pytest.mark.skipif(not FULL, reason="set MPINGEST_TEST_FULL=1")),
    ],
)
def test_real_trees(
    mpingest: CommandLine,
    session: iRODSSession,
    zone: EmbeddedZone,
    target: str,
    operation: str,
    tree: Path,
    ranks: int,
) -> None:
    if not tree.is_dir():
        pytest.skip(f"{tree} is not on this machine: install Debian's python3")
    summary = mpingest.start(tree, target, "--operation", operation, ranks=ranks)
    check = assert_registered if operation == "register_sync" else assert_put
    count = check(session, tree, target)
    assert summary["total"]["outcome_done"] == count
    assert summary["total"]["outcome_failed"] == 0

    zone.reset_counts()
    again = mpingest.start(tree, target, "--operation", operation, ranks=ranks)
    assert again["total"]["change_unchanged"] == again["total"]["entries"]
    assert zone.catalog_changes().total() == 0


def shares(summary: dict) -> list[int]:
    """Files done by each worker."""
    return [row["outcome_done"] for row in summary["ranks"][1:]]


def test_one_deep_subtree_is_shared(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    deep = "one/way/down/to/where/all/is"
    root = make_tree({f"{deep}/dir{number // 20:03d}/file{number}": b"" for number in range(4000)})
    work = shares(mpingest.start(root, target, ranks=5))
    assert sum(work) == 4000
    assert max(work) <= 2 * 4000 / 4, work


def test_one_flat_directory_is_shared(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    count = 50_000 if FULL else 10_000
    root = make_tree({})
    for number in range(count):
        (root / f"file{number:06d}").touch()
    work = shares(mpingest.start(root, target, "--slice-size", str(count // 50), ranks=5))
    assert sum(work) == count
    assert max(work) <= 2 * count / 4, work


def test_one_slice_is_shared(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree({f"file{number}": b"x" for number in range(600)})
    zone.inject("delay", Api.DATA_OBJ_PUT_AN, seconds=0.02, times=None)
    try:
        summary = mpingest.start(root, target, "--operation", "put_sync", "--bundle", "never", ranks=5)
    finally:
        zone.clear_faults()
    work = shares(summary)
    assert sum(work) == 600
    assert max(work) <= 2 * 600 / 4, work
    assert sum(row["weight_finished"] for row in summary["ranks"]) == 600 + 1
    assert_put(session, root, target)


def test_a_run_that_is_killed_is_finished_by_the_next(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree({f"dir{number // 50}/file{number}": b"x" for number in range(3000)})
    command = [mpiexec(), "-n", "4", sys.executable, "-m", "mpingest", "start", "--slice-size", "50", str(root), target]
    for _ in range(3):
        before = len(objects_below(session, target))
        world = subprocess.Popen(
            command,
            env=mpingest.environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while len(objects_below(session, target)) < before + 300 and world.poll() is None:
            time.sleep(0.05)
        kill_below(world.pid)
        world.wait()
    mpingest.start(root, target, ranks=4)
    assert assert_registered(session, root, target) == 3000
    again = mpingest.start(root, target, ranks=4)
    assert again["total"]["change_unchanged"] == 3000
    assert again["total"]["requests"] == 0


def test_an_internal_error_ends_the_world_and_names_the_rank(
    mpingest: CommandLine, make_tree: MakeTree, tmp_path: Path, target: str
) -> None:
    root = make_tree({f"dir{number}/file": b"x" for number in range(50)})
    script = tmp_path / "handler.py"
    # Only what is no Exception gets past the handler's fence.
    script.write_text(
        "class Bug(BaseException): pass\n"
        "class event_handler:\n"
        "    @staticmethod\n"
        "    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):\n"
        "        raise Bug('out of hand')\n"
    )
    done = mpingest("start", "--event-handler", script, root, target, ranks=4, timeout=60)
    assert done.returncode == 70
    assert "rank 1 on " in done.stderr or "rank 2 on " in done.stderr or "rank 3 on " in done.stderr
    assert "out of hand" in done.stderr
    assert f": while ingesting {root}/dir" in done.stderr
    logs = [path.read_text() for path in (mpingest.last_run() / "log").iterdir()]
    assert any(f'"path": "{root}/dir' in log and "out of hand" in log for log in logs)


def test_a_zone_that_goes_away_ends_the_run_with_75(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    root = make_tree({f"file{number}": b"x" for number in range(2000)})
    with EmbeddedZone() as zone, iRODSSession(irods_env_file=str(zone.environment_file)) as session:
        mpingest.environment["IRODS_ENVIRONMENT_FILE"] = str(zone.environment_file)
        options = ["--zone-timeout", "2", "--slice-size", "100"]
        command = [mpiexec(), "-n", "3", sys.executable, "-m", "mpingest", "start", *options, str(root), target]
        world = subprocess.Popen(command, env=mpingest.environment, stderr=subprocess.PIPE, text=True)
        while len(objects_below(session, target)) < 200:
            time.sleep(0.05)
        zone.kill()
        _, said = world.communicate(timeout=60)
        assert world.returncode == 75
        assert "run the same line again" in said
        zone.start()
        mpingest.start(root, target, ranks=3)
        with iRODSSession(irods_env_file=str(zone.environment_file)) as again:
            assert_registered(again, root, target)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_stops_with_75_and_nothing_is_done_again(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str, number: int
) -> None:
    root = make_tree({f"file{index}": b"x" for index in range(400)})
    zone.inject("delay", Api.DATA_OBJ_PUT_AN, seconds=0.02, times=None)
    options = ["--operation", "put_sync", "--bundle", "never", "--sessions-per-rank", "1"]
    command = [sys.executable, "-m", "mpingest", "start", *options, str(root), target]
    run = subprocess.Popen(command, env=mpingest.environment, stderr=subprocess.PIPE, text=True)
    while len(objects_below(session, target)) < 50:
        time.sleep(0.05)
    run.send_signal(number)
    _, said = run.communicate(timeout=30)
    zone.clear_faults()
    assert run.returncode == 75
    assert said == f"mpingest: stopped by {signal.Signals(number).name}: run the same line again\n"
    assert not (mpingest.job() / "lock").exists()
    done = len(objects_below(session, target))
    assert done < 400
    summary = mpingest.start(root, target, *options)
    assert summary["total"]["change_unchanged"] == done
    assert_put(session, root, target)


@pytest.mark.parametrize("ranks", [1, 4])
def test_a_large_directory_is_compared_slice_by_slice(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str, ranks: int
) -> None:
    names = [f"file{number:04d}" for number in range(600)]
    root = make_tree(dict.fromkeys(names, b"x"))
    for number in range(40):
        (root / f"dir{number:02d}").mkdir()
    options = ("--slice-size", "20", "--operation", "put_sync")
    mpingest.start(root, target, *options, ranks=ranks)
    assert_put(session, root, target)
    time.sleep(0.2)
    zone.reset_counts()
    total = mpingest.start(root, target, *options, ranks=ranks)["total"]
    assert (total["change_unchanged"], total["requests"], total["directories"]) == (600, 0, 41)

    for name in names[::100]:
        (root / name).write_bytes(b"longer")
    for name in names[1::100]:
        (root / name).unlink()
    for name in names[2::100]:
        (root / f"new-{name}").write_bytes(b"new")
    time.sleep(0.2)
    total = mpingest.start(root, target, *options, "--delete-mode", "no_trash", ranks=ranks)["total"]
    assert (total["change_modified"], total["change_new"], total["outcome_removed"]) == (6, 6, 6)
    assert_put(session, root, target)


HANGING = """
import os, time
class event_handler:
    @staticmethod
    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        while meta["path"].endswith("hung") and os.environ.get("HANGS"):
            time.sleep(1)
"""
"""Stands for a file system: a call does not return, as with a dead file server."""


def test_a_rank_that_hangs_on_a_file_ends_the_run_with_75(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    root = make_tree({f"dir{number % 7}/file{number}": b"x" for number in range(300)} | {"dead/hung": b"x"})
    script = tmp_path / "handler.py"
    script.write_text(HANGING)
    mpingest.environment["HANGS"] = "1"
    arguments = ["start", "--event-handler", script, "--stall-timeout", "3", root, target]
    for ranks in (4, 1):
        done = mpingest(*arguments, ranks=ranks, timeout=60)
        assert done.returncode == 75, done.stderr
        summary = mpingest.summary()
        assert summary["exit_code"] == 75
        [stalled] = summary["stalled"]
        assert f"ingesting {root}/dead/hung for " in stalled["at"]
        assert f"rank {stalled['rank']}: ingesting {root}/dead/hung" in done.stdout
        log = (mpingest.last_run() / "log" / f"rank{stalled['rank']:05d}.jsonl").read_text()
        assert "given up" in log
        assert f"{root}/dead/hung" in log
    assert len(objects_below(session, target)) == 300
    del mpingest.environment["HANGS"]
    again = mpingest.start(root, target, "--event-handler", script, ranks=4)
    assert again["total"]["change_unchanged"] == 300
    assert_registered(session, root, target)


def test_a_signal_ends_a_run_that_hangs_and_the_log_names_the_path(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    root = make_tree({f"file{number}": b"x" for number in range(20)} | {"dead/hung": b"x"})
    script = tmp_path / "handler.py"
    script.write_text(HANGING)
    environment = mpingest.environment | {"HANGS": "1"}
    command = [sys.executable, "-m", "mpingest", "start", "--event-handler", script, root, target]
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while len(objects_below(session, target)) < 20:
        time.sleep(0.05)
    time.sleep(1)
    run.terminate()
    _, said = run.communicate(timeout=25)  # Slurm kills after 30 s
    assert run.returncode == 75, said
    log = (mpingest.last_run() / "log" / "rank00000.jsonl").read_text()
    assert "stopped by SIGTERM" in log
    assert f"ingesting {root}/dead/hung" in log
    again = mpingest.start(root, target, "--event-handler", script)
    assert again["total"]["change_unchanged"] == 20


@pytest.mark.parametrize("ranks", [1, 4])
def test_a_stat_that_hangs_ends_the_run_with_75(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str, ranks: int
) -> None:
    shim = build_shim(tmp_path)
    if shim is None:
        pytest.skip("no C compiler: install gcc")
    root = make_tree({f"dir{number % 7}/file{number}": b"x" for number in range(100)} | {"dead/hang-here": b"x"})
    fine = mpingest.environment
    mpingest.environment = fine | delayed(shim, hang="hang-here")
    done = mpingest("start", "--stall-timeout", "3", root, target, ranks=ranks, timeout=60)
    assert done.returncode == 75, done.stderr
    [stalled] = mpingest.summary()["stalled"]
    assert f"scanning {root}/dead/hang-here for " in stalled["at"]
    assert f"rank {stalled['rank']}: scanning {root}/dead/hang-here" in done.stdout
    mpingest.environment = fine
    mpingest.start(root, target, ranks=ranks)
    assert assert_registered(session, root, target) == 101
