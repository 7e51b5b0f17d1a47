"""A rank's log: its fields, its files, and what people see of it on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from irods.session import iRODSSession

from mpingest.errors import MpingestError
from mpingest.jobs.log import STDERR, LogOptions, open_log
from tests.conftest import CommandLine

MakeTree = Callable[[dict[str, bytes]], Path]
FIELDS = {"event", "logger", "level", "@timestamp", "rank", "host", "job", "run"}


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_line_says_who_and_when(tmp_path: Path) -> None:
    with open_log(str(tmp_path), LogOptions(level="DEBUG"), 7, "lab", 3) as logger:
        logger.debug("one", path="/data/\udcff\n")
        try:
            raise ValueError("why")
        except ValueError:
            logger.error("two", exc_info=True)
    one, two = events(tmp_path / "rank00007.jsonl")
    assert set(one) == FIELDS | {"path"}
    assert (one["event"], one["logger"], one["level"], one["rank"]) == ("one", "mpingest", "debug", 7)
    assert (one["job"], one["run"], one["path"]) == ("lab", 3, "/data/\udcff\n")
    assert one["@timestamp"].endswith("Z")
    assert two["exception"].endswith("ValueError: why")


def test_a_level_leaves_out_what_is_below(tmp_path: Path) -> None:
    with open_log(str(tmp_path), LogOptions(level="WARNING"), 0, "lab", 1) as logger:
        logger.info("not this")
        logger.warning("but this")
    assert [event["event"] for event in events(tmp_path / "rank00000.jsonl")] == ["but this"]


def test_a_log_is_rotated_and_nothing_is_lost(tmp_path: Path) -> None:
    options = LogOptions(str(tmp_path / "mine"), when="S", interval=1)
    written = 0
    while len(files := sorted(tmp_path.iterdir())) < 3:
        with open_log("/nowhere", options, 2, "lab", 1) as logger:  # by one run after the other
            for _ in range(5):
                logger.info("line", number=written)
                written += 1
                time.sleep(0.05)
    assert all(file.name.startswith("mine.rank00002") for file in files)
    found = [event["number"] for file in files for event in events(file)]
    assert sorted(found) == list(range(written))


def test_failures_are_in_the_log_with_their_paths(
    mpingest: CommandLine, make_tree: MakeTree, tmp_path: Path, target: str, session: iRODSSession
) -> None:
    root = make_tree({"dir/good": b"", "dir/bad\n": b"", "denied": b""})
    script = tmp_path / "handler.py"
    script.write_text(
        "class event_handler:\n"
        "    @staticmethod\n"
        "    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):\n"
        "        logger.info('hook', path=meta['path'])\n"
        "        if 'bad' in meta['path']: raise ValueError('no')\n"
        "    @staticmethod\n"
        "    def to_resource(session, meta, **options):\n"
        "        return 'nowhere' if 'denied' in meta['path'] else None\n"
    )
    assert mpingest.start(root, target, "--event-handler", script, ranks=2)["exit_code"] == 3
    logged = events(mpingest.last_run() / "log" / "rank00001.jsonl")
    assert all(set(event) >= FIELDS for event in logged)
    assert {(event["rank"], event["run"], event["job"]) for event in logged} == {(1, 1, mpingest.job().name)}
    assert [event["event"] for event in (logged[0], logged[-1])] == ["rank started", "rank ended"]
    assert sum(event["event"] == "hook" for event in logged) == 3
    failed = {event["path"]: event for event in logged if event["event"] == "failed"}
    assert set(failed) == {f"{root}/dir/bad\n", f"{root}/denied"}
    kept = {f"{root}/{failure['path']}": failure for failure in mpingest.failures()}
    for path, event in failed.items():
        assert event["level"] == "error"
        assert {name: event.get(name) for name in ("reason", "code", "error")} == {
            name: kept[path].get(name) for name in ("reason", "code", "error")
        }


def test_on_stderr_it_is_json_for_programs(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    mpingest.start(make_tree({"file": b""}), target, "--log-filename", STDERR, ranks=2)
    lines = [json.loads(line) for line in mpingest.last.stderr.splitlines()]
    assert [line["event"] for line in lines if line["rank"] == 1] == ["rank started", "rank ended"]
    assert list((mpingest.last_run() / "log").iterdir()) == []
    done = mpingest("start", "--log-filename", STDERR, "--log-when", "H", mpingest.jobs, target)
    assert done.returncode == 2
    assert "--log-when: what goes to stderr has no new files" in done.stderr


def test_on_a_terminal_it_is_for_people(mpingest: CommandLine, make_tree: MakeTree, target: str) -> None:
    """And it does not get into the way of what --progress draws."""
    root = make_tree({"dir/file": b"", "pipe": b""})
    (root / "pipe").unlink()
    os.mkfifo(root / "pipe")
    command = [sys.executable, "-m", "mpingest", "start", "--log-filename", STDERR, "--progress", str(root), target]
    main, other = pty.openpty()
    termios.tcsetwinsize(other, (24, 300))
    with subprocess.Popen(command, env=mpingest.environment, stderr=other, stdout=subprocess.PIPE) as process:
        os.close(other)
        seen = b""
        while chunk := read(main):
            seen += chunk
        assert process.wait(30) == 0
    os.close(main)
    lines = seen.decode().splitlines()
    said = [line for line in lines if f"{root}/pipe" in line]
    assert len(said) == 1
    assert re.search(r"info.*skipped.*path.*reason", said[0])
    assert "{" not in said[0]
    assert any("run 1: ended" in line for line in lines)


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # nobody has the other end any more (EIO)
        return b""


def test_profiles_have_a_pair_of_lines_for_each_step(
    mpingest: CommandLine, make_tree: MakeTree, target: str, tmp_path: Path
) -> None:
    root = make_tree({f"dir{number % 2}/file{number}": b"x" for number in range(6)})
    profile = tmp_path / "profile"
    mpingest.start(root, target, "--operation", "put", "--profile-filename", profile, ranks=3)
    steps = [event for rank in (1, 2) for event in events(tmp_path / f"profile.rank{rank:05d}")]
    begun = {event["event_id"]: event for event in steps if event["event"] == "task_prerun"}
    ended = {event["event_id"]: event for event in steps if event["event"] == "task_postrun"}
    assert len(steps) == 2 * len(begun)
    assert set(begun) == set(ended)
    assert all(begun[step]["@timestamp"] <= ended[step]["@timestamp"] for step in begun)
    files = {event["path"]: event for event in begun.values() if event["event_name"] == "sync_file"}
    assert {path: event["target"] for path, event in files.items()} == {
        f"{root}/dir{number % 2}/file{number}": f"{target}/dir{number % 2}/file{number}" for number in range(6)
    }
    directories = {event["path"] for event in begun.values() if event["event_name"] == "sync_dir"}
    assert directories == {str(root), f"{root}/dir0", f"{root}/dir1"}
    assert all({"hostname", "index"} <= set(event) for event in steps)


def test_a_log_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    log = open_log(str(tmp_path), LogOptions("/no/such/log"), 0, "lab", 1)
    with pytest.raises(MpingestError, match=r"log /no/such/log\.rank00000: No such file"):
        log.__enter__()
