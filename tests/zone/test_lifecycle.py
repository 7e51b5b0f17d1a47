"""Starting, stopping, running a command; what goes wrong is said in one line."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from irods import exception
from irods.session import iRODSSession

from mpingest.errors import MpingestError
from mpingest.zone.embedded import EmbeddedZone
from tests.zone.wire import make_session

MPINGEST = [sys.executable, "-m", "mpingest"]


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*MPINGEST, "zone", "start", *arguments], stdout=subprocess.PIPE, text=True)


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MPINGEST, "zone", *arguments], capture_output=True, text=True, check=False, timeout=60, **options
    )


def environment_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip().partition("IRODS_ENVIRONMENT_FILE=")[2])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_start_and_stop(tmp_path: Path, number: signal.Signals) -> None:
    process = start("--dir", str(tmp_path / "zone"))
    with make_session(environment_of(process)) as session:
        session.collections.create("/tempZone/home/rods/kept")
        process.send_signal(number)
        assert process.wait(20) == 0
    process = start("--dir", str(tmp_path / "zone"))
    with make_session(environment_of(process)) as session:
        assert session.collections.exists("/tempZone/home/rods/kept")
    process.terminate()
    assert process.wait(20) == 0


def test_what_is_written_is_private(tmp_path: Path) -> None:
    with EmbeddedZone(tmp_path / "zone") as zone, make_session(zone.environment_file) as session:
        session.data_objects.create("/tempZone/home/rods/object")
        for path in (zone.directory, *zone.directory.rglob("*")):
            assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path
        password = session.pool.account.password
        command_line = Path(f"/proc/{zone.pid}/cmdline").read_bytes()
        assert password.encode() not in command_line
        assert password.encode() not in Path(f"/proc/{zone.pid}/environ").read_bytes()


def test_a_password_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a password\n")
    process = start("--dir", str(tmp_path / "zone"), "--password-file", str(tmp_path / "password"), "--user", "admin")
    environment = json.loads(environment_of(process).read_text())
    account = {"host": "127.0.0.1", "port": environment["irods_port"], "user": "admin", "zone": "tempZone"}
    with iRODSSession(**account, password="a password") as session:
        assert session.collections.exists("/tempZone/home/admin")
    with pytest.raises(exception.CAT_INVALID_AUTHENTICATION), iRODSSession(**account, password="no") as session:
        session.collections.exists("/tempZone/home/admin")
    process.terminate()
    process.wait(20)


def test_another_name_and_user(tmp_path: Path) -> None:
    with EmbeddedZone(tmp_path, zone="otherZone", user="boss") as zone, make_session(zone.environment_file) as session:
        assert session.collections.get("/otherZone/home/boss").owner_name == "boss"
        session.users.create("guest", "rodsuser")
        assert session.collections.exists("/otherZone/home/guest")


def test_what_cannot_start_says_why_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").write_text("\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, reason in (
            (["--dir", str(tmp_path / "file")], "can't use"),
            (["--dir", str(tmp_path / "file" / "below")], "can't use"),
            (["--dir", str(tmp_path / "zone"), "--port", port], "can't listen"),
            (["--dir", str(tmp_path / "zone"), "--host", "256.1.1.1"], "can't listen"),
            (["--dir", str(tmp_path / "zone"), "--password-file", str(tmp_path / "none")], "can't read the password"),
            (["--dir", str(tmp_path / "zone"), "--password-file", str(tmp_path / "empty")], "must be 1 to 50"),
        ):
            result = run("start", *arguments)
            assert result.returncode == 1
            assert result.stderr.startswith("mpingest: ")
            assert reason in result.stderr
            assert len(result.stderr.splitlines()) == 1


def test_a_directory_is_for_one_zone(tmp_path: Path) -> None:
    with EmbeddedZone(tmp_path):
        result = run("start", "--dir", str(tmp_path))
        assert (result.returncode, "runs in" in result.stderr) == (1, True)
        with pytest.raises(MpingestError):
            EmbeddedZone(tmp_path).start()


def test_a_damaged_catalog_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "catalog.sqlite").write_bytes(b"not a catalog" * 100)
    result = run("start", "--dir", str(tmp_path))
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)


def test_run_passes_on_the_exit_code_and_leaves_nothing(tmp_path: Path) -> None:
    script = "import os, sys; print(os.environ['IRODS_ENVIRONMENT_FILE']); sys.exit(7)"
    result = run("run", "--", sys.executable, "-c", script, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert result.returncode == 7
    assert not Path(result.stdout.strip()).exists()
    assert list(tmp_path.iterdir()) == []


def test_run_gives_the_command_a_zone(tmp_path: Path) -> None:
    script = (
        "import os; from irods.session import iRODSSession\n"
        "with iRODSSession(irods_env_file=os.environ['IRODS_ENVIRONMENT_FILE']) as session:\n"
        "    print(session.collections.get('/tempZone/home/rods').name)"
    )
    assert run("run", "--", sys.executable, "-c", script).stdout == "rods\n"


def test_run_of_what_is_no_command(tmp_path: Path) -> None:
    result = run("run", "--", str(tmp_path / "none"), env=os.environ | {"TMPDIR": str(tmp_path)})
    assert (result.returncode, len(result.stderr.splitlines())) == (1, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_a_signal_ended(tmp_path: Path) -> None:
    script = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    result = run("run", "--", sys.executable, "-c", script, env=os.environ | {"TMPDIR": str(tmp_path)})
    assert result.returncode == 128 + signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_goes_to_the_command(tmp_path: Path, number: signal.Signals) -> None:
    script = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(9))\n"
        "print('ready', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [*MPINGEST, "zone", "run", "--", sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(20) == 9
    assert list(tmp_path.iterdir()) == []


def test_the_server_stops_with_whoever_started_it(tmp_path: Path) -> None:
    script = f"import time; open({str(tmp_path / 'started')!r}, 'w'); time.sleep(60)"
    process = subprocess.Popen(
        [*MPINGEST, "zone", "run", "--", sys.executable, "-c", script],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        process_group=0,
    )
    wait_for((tmp_path / "started").exists)
    (zone,) = tmp_path.glob("mpingest-zone-*")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(20)
    wait_for(lambda: not (zone / "control.sock").exists())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_stats(tmp_path: Path) -> None:
    with EmbeddedZone(tmp_path) as zone, make_session(zone.environment_file) as session:
        session.collections.create("/tempZone/home/rods/x")
        counts = json.loads(run("stats", "--json", "--dir", str(tmp_path)).stdout)
        assert counts["requests"]["COLL_CREATE_AN"] == counts["catalog_changes"]["COLL_CREATE_AN"] == 1
        environment = os.environ | {"IRODS_ENVIRONMENT_FILE": str(zone.environment_file)}
        assert "COLL_CREATE_AN" in run("stats", env=environment).stdout
    assert run("stats", "--dir", str(tmp_path)).returncode == 1
