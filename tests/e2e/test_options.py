"""Options of ``mpingest start`` that no other module is about, those of the automated ingest framework among them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.exception import UserDoesNotExist
from irods.models import Collection, DataObject
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import CommandLine, mpiexec
from tests.e2e.checking import assert_put, assert_registered, objects_below
from tests.e2e.test_start import settle

MakeTree = Callable[[dict[str, bytes]], Path]
RANKS = pytest.mark.parametrize("ranks", [1, 4])

TREE = {
    "keep": b"1",
    "drop.tmp": b"2",
    "sub/keep": b"3",
    "sub/drop.tmp": b"4",
    ".snapshots/file": b"5",
    "sub/.snapshots/deep/file": b"6",
}


@RANKS
def test_excludes_leave_out_and_nothing_of_it_is_taken_as_gone(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int
) -> None:
    root = make_tree(TREE)
    (root / "link").symlink_to("keep")
    put = ("--operation", "put_sync", "--delete-mode", "no_trash")
    mpingest.start(root, target, *put, ranks=ranks)
    everything = set(objects_below(session, target))
    assert everything == {*TREE, "link"}
    settle()

    excludes = (
        "--exclude_file_type=socket,link",
        "--exclude-file-name=.*\\.tmp$",
        "--exclude-directory-name=.*/\\.snapshots",
    )
    (root / "drop.tmp").write_bytes(b"changed and yet not looked at")
    summary = mpingest.start(root, target, *put, *excludes, ranks=ranks)
    assert summary["total"]["excluded"] == 5
    assert summary["total"]["requests"] == 0
    assert set(objects_below(session, target)) == everything

    # A new job never sees them.
    session.collections.remove(target, force=True)
    shutil.rmtree(mpingest.jobs)
    mpingest.start(root, target, *put, *excludes, ranks=ranks)
    assert set(objects_below(session, target)) == {"keep", "sub/keep"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--exclude-file-type", "fifo"), "no file type 'fifo': there are regular, directory"),
        (("--exclude-file-name", "*.tmp"), "bad regular expression '*.tmp'"),
        (("--append-json", "{"), "is not JSON"),
        (("--as-user", "#zone"), "names no user"),
        (("--s3_keypair", "file"), "not S3 buckets"),
        (("--interval", "-1"), "--interval"),
    ],
)
def test_wrong_usage(
    mpingest: CommandLine, make_tree: MakeTree, target: str, options: tuple[str, ...], says: str
) -> None:
    done = mpingest("start", *options, make_tree({"file": b""}), target)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--delete-unknown",), "--delete-unknown: deletes nothing without --delete-mode"),
        (("--as-user", "nobody-knows"), "refuses user nobody-knows"),
        (("--log-filename", "/no/such/directory/log"), "log /no/such/directory/log.rank00000: No such file"),
    ],
)
def test_what_cannot_be_had(
    mpingest: CommandLine, make_tree: MakeTree, target: str, options: tuple[str, ...], says: str
) -> None:
    done = mpingest("start", *options, make_tree({"file": b""}), target)
    assert done.returncode == 1
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_lines_of_the_framework_run(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, tmp_path: Path
) -> None:
    root = make_tree({"dir/file": b"content"})
    handler = tmp_path / "handler.py"
    handler.write_text(
        "from irods_capability_automated_ingest.core import Core\n"
        "class event_handler(Core):\n"
        "    @staticmethod\n"
        "    def metadata(meta):\n"
        "        return [('said', str(meta['append_json']['a']))]\n"
    )
    options = "--redis_host redis --file_queue f --synchronous --progress --files_per_task 7 --job_name old_style"
    log = tmp_path / "log"
    mpingest.start(
        root,
        target,
        *options.split(),
        *("--event_handler", handler, "--append_json", '{"a": [1]}'),
        *("--log_filename", log, "--log_when", "d", "--log_interval", "2", "--log_level", "debug"),
        *("--profile", "--irods_idle_disconnect_seconds", "9", "--initial_ingest"),
        ranks=2,
    )
    notes = [line for line in mpingest.last.stderr.splitlines() if line.startswith("mpingest: note: ")]
    assert [note.split()[2] for note in notes] == ["--redis-host", "--file-queue", "--synchronous"]
    assert mpingest.job().name == "old_style"
    assert session.data_objects.get(f"{target}/dir/file").metadata.get_one("said").value == "[1]"
    events = [json.loads(line)["event"] for line in Path(f"{log}.rank00001").read_text().splitlines()]
    assert events == ["rank started", "rank ended"]

    (profile,) = (mpingest.last_run() / "profile").iterdir()
    steps = [json.loads(line) for line in profile.read_text().splitlines()]
    assert {"event_id", "event_name", "hostname", "index", "path", "target", "@timestamp"} <= set(steps[0])
    files = [step for step in steps if step["event_name"] == "sync_file"]
    assert [step["event"] for step in files] == ["task_prerun", "task_postrun"]
    assert {(step["path"], step["target"]) for step in files} == {(f"{root}/dir/file", f"{target}/dir/file")}


@pytest.fixture
def home_of_dora(session: iRODSSession, zone: EmbeddedZone) -> str:
    """The home collection of a plain user."""
    try:
        session.users.get("dora")
    except UserDoesNotExist:
        session.users.create("dora", "rodsuser")
    return f"/{zone.zone}/home/dora"


@RANKS
@pytest.mark.parametrize("operation", ["register_sync", "put_sync"])
def test_objects_of_another_user(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    home_of_dora: str,
    tmp_path: Path,
    operation: str,
    ranks: int,
) -> None:
    root = make_tree({"dir/file": b"content", "other": b""})
    target = f"{home_of_dora}/{tmp_path.name}/deeper"
    options = ("--operation", operation, "--as-user", "dora")
    mpingest.start(root, target, *options, ranks=ranks)
    assert {session.data_objects.get(f"{target}/{name}").owner_name for name in ("dir/file", "other")} == {"dora"}
    assert session.collections.get(target).owner_name == "dora"
    settle()
    (root / "other").write_bytes(b"changed")
    settle()
    assert mpingest.start(root, target, *options, ranks=ranks)["exit_code"] == 0
    assert session.data_objects.get(f"{target}/other").size == len(b"changed")


def sha2(content: bytes) -> str:
    return "sha2:" + base64.b64encode(hashlib.sha256(content).digest()).decode()


def checksums_below(session: iRODSSession, target: str) -> dict[str, str]:
    rows = session.query(DataObject.name, DataObject.checksum).filter(Collection.name == target)
    return {row[DataObject.name]: row[DataObject.checksum] for row in rows}


@RANKS
@pytest.mark.parametrize("operation", ["register_sync", "put_sync", "put_append"])
def test_every_object_has_its_checksum(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    zone: EmbeddedZone,
    target: str,
    operation: str,
    ranks: int,
) -> None:
    contents = {"small": b"small", "empty": b"", "large": os.urandom(33 * 1024 * 1024)}
    root = make_tree(contents)
    options = ("--operation", operation, "--checksum")
    mpingest.start(root, target, *options, ranks=ranks)
    assert checksums_below(session, target) == {name: sha2(content) for name, content in contents.items()}
    # With what makes the object; only a large one that is sent is read once more by the server.
    assert zone.counts()["DATA_OBJ_CHKSUM_AN"] == (operation != "register_sync")

    settle()
    contents = {name: content + b" and more" for name, content in contents.items()}
    make_tree(contents)
    settle()
    mpingest.start(root, target, *options, ranks=ranks)
    assert checksums_below(session, target) == {name: sha2(content) for name, content in contents.items()}
    check = assert_registered if operation == "register_sync" else assert_put
    check(session, root, target)


def test_content_spoilt_on_its_way_is_sent_again(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, zone: EmbeddedZone, target: str
) -> None:
    root = make_tree({"file": b"content"})
    zone.inject("fail", Api.DATA_OBJ_PUT_AN, status=-314000, times=2)
    mpingest.start(root, target, "--operation", "put", "--checksum")
    assert checksums_below(session, target) == {"file": sha2(b"content")}
    assert_put(session, root, target)


@RANKS
@pytest.mark.parametrize(("operation", "mode"), [("put_sync", "trash"), ("register_sync", "unregister")])
def test_what_never_was_a_file_is_deleted_only_on_request(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    target: str,
    tmp_path: Path,
    operation: str,
    mode: str,
    ranks: int,
) -> None:
    files = {f"dir{number}/file{number}": b"x" for number in range(3)}
    root = make_tree(files)
    options = ("--operation", operation, "--delete-mode", mode, "--max-delete", "4")
    mpingest.start(root, target, *options, ranks=ranks)
    local = tmp_path / "foreign"
    local.write_bytes(b"foreign")
    for name in ("foreign", "dir1/foreign", "nowhere/deep/foreign"):
        session.collections.create(f"{target}/{os.path.dirname(name)}".rstrip("/"))
        session.data_objects.put(str(local), f"{target}/{name}")
    settle()
    foreign = {"foreign", "dir1/foreign", "nowhere/deep/foreign"}
    mpingest.start(root, target, *options, ranks=ranks)
    assert set(objects_below(session, target)) == {*files, *foreign}

    assert mpingest("start", *options[:-1], "2", "--delete-unknown", root, target, ranks=ranks).returncode == 3
    assert "nothing is deleted" in mpingest.last.stdout
    mpingest.start(root, target, *options, ranks=ranks)
    assert set(objects_below(session, target)) == {*files, *foreign}, "what was refused is not deleted later unasked"

    # Three objects, and the collections above one of them.
    mpingest.start(root, target, *options[:-1], "5", "--delete-unknown", ranks=ranks)
    assert set(objects_below(session, target)) == set(files)
    assert not session.collections.exists(f"{target}/nowhere")
    assert mpingest.start(root, target, *options, "--delete-unknown", ranks=ranks)["total"]["outcome_removed"] == 0


@RANKS
def test_an_interval_repeats_the_run_until_stopped(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, target: str, ranks: int
) -> None:
    root = make_tree({"first": b"1"})
    command = [sys.executable, "-m", "mpingest", "start", "-i", "0.5", "--operation", "put", str(root), target]
    if ranks > 1:
        command = [mpiexec(), "-n", str(ranks), *command]
    with subprocess.Popen(command, env=mpingest.environment, stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: session.data_objects.exists(f"{target}/first"))
        (root / "second").write_bytes(b"2")
        wait_until(lambda: session.data_objects.exists(f"{target}/second"))
        # The one that put it has reported once another begins.
        runs = len(list((mpingest.job() / "runs").iterdir()))
        wait_until(lambda: len(list((mpingest.job() / "runs").iterdir())) > runs)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
    assert process.returncode in (75, 143 if ranks > 1 else 75)
    assert output.count("run ") >= 2
    # Whatever the signal hit, the same line goes on.
    assert mpingest.start(root, target, "--operation", "put", ranks=ranks)["total"]["change_unchanged"] == 2


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def test_connections_that_nobody_uses_are_closed(
    mpingest: CommandLine, make_tree: MakeTree, zone: EmbeddedZone, session: iRODSSession, target: str, tmp_path: Path
) -> None:
    """While one entry takes long, the other thread's connection goes."""
    root = make_tree({"one/a": b"", "two/slow": b""})
    handler, go_on = tmp_path / "handler.py", tmp_path / "go on"
    handler.write_text(
        "import os, time\n"
        "from irods_capability_automated_ingest.core import Core\n"
        "class event_handler(Core):\n"
        "    @staticmethod\n"
        "    def pre_data_obj_create(module, logger, session, meta, *args, **options):\n"
        f"        while meta['path'].endswith('slow') and not os.path.exists({str(go_on)!r}):\n"
        "            time.sleep(0.1)\n"
    )
    command = [sys.executable, "-m", "mpingest", "start", "--irods-idle-disconnect-seconds", "1", "--event-handler"]
    with subprocess.Popen([*command, str(handler), str(root), target], env=mpingest.environment) as process:
        wait_until(lambda: session.data_objects.exists(f"{target}/one/a"))
        own = 1
        try:
            wait_until(lambda: zone.stats()["connections"] <= own)
            assert process.poll() is None
        finally:
            go_on.touch()
        assert process.wait(60) == 0
