"""Runs that are told to stop, in every way there is, and what the next one makes of it."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import FULL, CommandLine, only_full
from tests.e2e.checking import assert_put, collections_below, objects_below
from tests.e2e.stopping import END_SECONDS, Running

MakeTree = Callable[[dict[str, bytes]], Path]

FILES = 150
PUT = ("--operation", "put_sync", "--bundle", "never", "--sessions", "4", "--slice-size", "50")


@contextmanager
def slow_zone(zone: EmbeddedZone, seconds: float, api: Api = Api.DATA_OBJ_PUT_AN) -> Iterator[None]:
    zone.inject("delay", api, seconds=seconds, times=None)
    try:
        yield
    finally:
        zone.clear_faults()


def begin(mpingest: CommandLine, root: Path, target: str, ranks: int, *options: str, **variables: str) -> Running:
    return Running(mpingest, *PUT, *options, root, target, ranks=ranks, environment=variables)


def assert_stopped(mpingest: CommandLine, run: Running, why: str) -> None:
    """It ends early, in time, says why everywhere, and leaves the job to others."""
    code, out, err = run.end()
    assert code == 75, err
    assert "Traceback" not in err
    assert err.count("stopped by") == 1, err
    assert f"mpingest: stopped by {why}" in err
    assert ": run the same line again" in err
    assert f"stopped      by {why}" in out
    summary = mpingest.summary()
    assert summary["exit_code"] == 75
    assert summary["stopped"].startswith(why)
    log = (mpingest.last_run() / "log" / "rank00000.jsonl").read_text()
    assert f'"reason": "stopped by {why}' in log
    assert sorted(os.listdir(mpingest.job())) == ["checkpoint.h5", "job.json", "runs"]
    assert f": stopped early by {why}" in mpingest("status", mpingest.job().name).stdout


@pytest.mark.parametrize("ranks", [pytest.param(1, marks=only_full), 3])
def test_every_way_to_stop_and_little_is_done_again(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str, ranks: int
) -> None:
    root = make_tree({f"dir{number % 3}/file{number}": b"x" for number in range(FILES)})

    def under_way(*options: str, **variables: str) -> Running:
        """A run that has put some files."""
        before = zone.counts()["DATA_OBJ_PUT_AN"]
        run = begin(mpingest, root, target, ranks, *options, **variables)
        run.wait_for(lambda: zone.counts()["DATA_OBJ_PUT_AN"] >= before + 15)
        return run

    def stop_by_command(*options: str) -> None:
        done = mpingest("stop", *options, mpingest.job().name)
        assert done.returncode == 0, done.stderr
        assert "asked to stop: process " in done.stdout
        if options:
            assert not (mpingest.job() / "lock").exists()

    with slow_zone(zone, 0.25):
        if ranks > 1:
            run = under_way()
            os.kill(run.pids()[-1], signal.SIGUSR1)  # the others go on
            assert_stopped(mpingest, run, "SIGUSR1 at rank ")
        if ranks > 1 and FULL:  # for one rank, see test_worlds
            run = under_way()
            run.process.send_signal(signal.SIGTERM)  # goes to all of them
            assert_stopped(mpingest, run, "SIGTERM at rank ")
        run = under_way()
        stop_by_command("--wait")
        assert_stopped(mpingest, run, "mpingest stop on ")
        (mpingest.job() / "stop").touch()  # an old one
        if FULL:
            run = begin(mpingest, root, target, ranks, "--time-limit", "2s")
            assert_stopped(mpingest, run, "its time limit of 2 s")
            at_end = str(int(time.time()) + 24)
            run = begin(mpingest, root, target, ranks, "--stop-before", "20", SLURM_JOB_END_TIME=at_end)
            assert_stopped(mpingest, run, "the end of the batch job")
    assert {found.status for found in objects_below(session, target).values()} == {"1"}
    summary = mpingest.start(root, target, *PUT, ranks=ranks)
    assert summary["exit_code"] == 0
    assert assert_put(session, root, target) == FILES
    assert zone.counts()["DATA_OBJ_PUT_AN"] < 1.05 * FILES
    # What was put before a stop is known to the run after it.
    assert summary["total"]["change_unchanged"] + zone.counts()["DATA_OBJ_PUT_AN"] >= FILES


def test_time_limits_again_and_again_come_to_the_same(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str
) -> None:
    """A run is cut off until one is not: hardly anything is done twice, and all is as after a run without a limit."""
    files, seconds, ranks = (12_000, 20, 4) if FULL else (200, 2, 2)  # five minutes of work, or five seconds
    root = make_tree({f"dir{number % 30}/file{number}": b"x" * (number % 5) for number in range(files)})
    whole, parts = (f"{target}/{name}" for name in ("whole", "parts"))
    assert mpingest("start", *PUT, "--job-name", "whole", root, whole, ranks=ranks).returncode == 0
    changes = zone.catalog_changes().total()
    zone.reset_counts()
    codes = []
    with slow_zone(zone, 0.1):
        while not codes or codes[-1] == 75:
            options = ("--job-name", "parts", "--time-limit", f"{seconds}s")
            run = begin(mpingest, root, parts, ranks, *options)
            code, _, err = run.end(seconds + END_SECONDS)
            assert code in (0, 75), err
            codes.append(code)
            assert len(codes) < 60, "it gets on too slowly"
    assert len(codes) > 2
    assert files <= zone.counts()["DATA_OBJ_PUT_AN"] < 1.05 * files
    assert zone.catalog_changes().total() < 1.05 * changes
    assert assert_put(session, root, whole) == assert_put(session, root, parts) == files
    assert objects_below(session, whole).keys() == objects_below(session, parts).keys()
    differences = mpingest("manifest", "diff", "--list", "--json", "whole", "parts")
    assert differences.stdout.count("\n") == 1, "there is more than the counts"


@only_full
def test_what_is_being_bundled_is_recorded(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str
) -> None:
    files = 3500
    root = make_tree({f"dir{number // 500}/file{number}": b"x" for number in range(files)})
    options = ("--operation", "put_sync", "--sessions", "1")
    with slow_zone(zone, 2.0, Api.STRUCT_FILE_EXT_AND_REG_AN):
        run = Running(mpingest, *options, root, target)
        run.wait_for(lambda: zone.counts()["STRUCT_FILE_EXT_AND_REG_AN"] > 0)
        run.process.send_signal(signal.SIGTERM)
        assert_stopped(mpingest, run, "SIGTERM")
    done = mpingest.summary()["total"]["outcome_done"]
    assert 0 < done < files
    assert len(objects_below(session, target)) == done
    again = mpingest.start(root, target, *options)
    assert (again["total"]["change_unchanged"], again["notes"]) == (done, [])
    assert assert_put(session, root, target) == files


@only_full
def test_eight_ranks_stop_in_time(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str
) -> None:
    root = make_tree({f"dir{number % 9}/file{number}": b"x" for number in range(FILES)})
    with slow_zone(zone, 1.0):
        run = begin(mpingest, root, target, 8)
        run.wait_for(lambda: zone.counts()["DATA_OBJ_PUT_AN"] >= 15)
        run.process.send_signal(signal.SIGTERM)
        assert_stopped(mpingest, run, "SIGTERM at rank ")
    summary = mpingest.start(root, target, *PUT, ranks=8)
    assert summary["exit_code"] == 0
    assert assert_put(session, root, target) == FILES
    assert zone.counts()["DATA_OBJ_PUT_AN"] < 1.05 * FILES


@pytest.mark.parametrize("ranks", [1, pytest.param(4, marks=only_full)])
def test_what_takes_too_long_is_taken_back(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str, ranks: int
) -> None:
    """A large file is under way that would take a minute."""
    root = make_tree({"one/small": b"x", "other/large": b""})
    os.truncate(root / "other/large", 40 * 2**20)
    with slow_zone(zone, 6.0, Api.DATA_OBJ_WRITE_AN):
        run = begin(mpingest, root, target, ranks)
        run.wait_for(lambda: zone.counts()["DATA_OBJ_OPEN_AN"] > 0 and zone.counts()["DATA_OBJ_PUT_AN"] > 0)
        run.process.send_signal(signal.SIGTERM)
        assert_stopped(mpingest, run, "SIGTERM")
    assert set(objects_below(session, target)) == {"one/small"}
    assert zone.stats()["connections"] <= 1, "our own"
    assert mpingest.start(root, target, *PUT, ranks=ranks)["total"]["change_unchanged"] == 1
    assert assert_put(session, root, target) == 2


@pytest.mark.parametrize("ranks", [1, pytest.param(4, marks=only_full)])
def test_a_second_interrupt_ends_it_at_once(
    mpingest: CommandLine, make_tree: MakeTree, own_zone: EmbeddedZone, target: str, ranks: int
) -> None:
    root = make_tree({f"file{number}": b"x" for number in range(50)})
    own_zone.inject("delay", Api.DATA_OBJ_PUT_AN, seconds=9, times=None)
    run = begin(mpingest, root, target, ranks)
    run.wait_for(lambda: own_zone.stats()["connections"] >= 4)  # each with a put under way
    first = run.pids()[0]
    os.kill(first, signal.SIGINT)
    time.sleep(0.5)
    assert run.process.poll() is None, "it waits for what is under way"
    os.kill(first, signal.SIGINT)
    code, _, err = run.end()
    assert own_zone.counts()["DATA_OBJ_PUT_AN"] == 0, "it has waited"
    assert code == 75, err
    assert "stopped by a second SIGINT: run the same line again" in err
    assert not (mpingest.job() / "lock").exists()
    own_zone.kill()
    own_zone.start()
    assert mpingest.start(root, target, *PUT, ranks=ranks)["total"]["outcome_done"] == 50


@pytest.mark.parametrize("ranks", [1, pytest.param(4, marks=only_full)])
@pytest.mark.parametrize("moment", ["what a bundle has left", "collections"])
def test_rank_0_does_not_wait_for_a_zone_that_is_gone_once_it_is_to_stop(
    mpingest: CommandLine, make_tree: MakeTree, own_zone: EmbeddedZone, target: str, moment: str, ranks: int
) -> None:
    """Neither when it looks what a bundle has left, before the run, nor when it removes collections, after it."""
    root = make_tree({f"dir{number % 2}/file{number}": b"x" for number in range(60)})
    options = ("--operation", "put_sync", "--delete-mode", "no_trash")
    if moment == "collections":
        api, reached = Api.RM_COLL_AN, lambda: own_zone.counts()["DATA_OBJ_UNLINK_AN"] >= unlinked + 30
    else:
        api, reached = Api.GEN_QUERY_AN, lambda: mpingest.last_run().name == "0002"
        own_zone.inject("fail", Api.DATA_OBJ_UNLINK_AN, status=-818000, times=None)
    mpingest.start(root, target, *options)
    own_zone.clear_faults()
    shutil.rmtree(root / "dir0")
    unlinked = own_zone.counts()["DATA_OBJ_UNLINK_AN"]
    own_zone.inject("delay", api, seconds=2, times=None)
    run = Running(mpingest, *options, root, target, ranks=ranks)
    run.wait_for(reached)
    time.sleep(1)
    own_zone.kill()
    time.sleep(1)
    run.process.send_signal(signal.SIGTERM)
    code, _, err = run.end(20)
    own_zone.start()
    own_zone.clear_faults()
    assert code == 75, err
    assert "stopped by SIGTERM" in err
    assert "not in time" not in err
    assert not (mpingest.job() / "lock").exists()
    assert mpingest.start(root, target, *options)["total"]["outcome_failed"] == 0
    assert mpingest.start(root, target, *options)["total"]["requests"] == 0
    with iRODSSession(irods_env_file=str(own_zone.environment_file)) as session:
        assert assert_put(session, root, target) == 30
        assert collections_below(session, target) == {"dir1"}


@pytest.mark.parametrize("ranks", [1, pytest.param(4, marks=only_full)])
def test_stop_ends_the_waiting_between_passes(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int
) -> None:
    root = make_tree({"file": b"x"})
    run = begin(mpingest, root, target, ranks, "--interval", "3600")
    run.wait_for(lambda: any(mpingest.jobs.glob("*/runs/*/summary.json")))
    refused = mpingest("start", *PUT, root, target)
    assert (refused.returncode, "is being run by process" in refused.stderr) == (1, True)
    assert mpingest("stop", "--wait", mpingest.job().name).returncode == 0
    code, out, err = run.end(5)
    assert (code, out.count("run 1")) == (75, 1), err
    assert err.startswith("mpingest: stopped by mpingest stop on "), err
    assert sorted(os.listdir(mpingest.job())) == ["checkpoint.h5", "job.json", "runs"]


def test_there_is_nothing_to_stop(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    root = make_tree({"file": b"x"})
    mpingest.start(root, target, *PUT)
    name = mpingest.job().name
    done = mpingest("stop", name)
    assert (done.returncode, done.stderr) == (1, f"mpingest: nobody runs job {name}: there is nothing to stop\n")
    unknown = mpingest("stop", "another")
    assert unknown.returncode == 1
    assert f"no job 'another' in {mpingest.jobs}; there are {name}" in unknown.stderr
