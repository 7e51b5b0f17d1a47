"""Bad input: one clear line, exit code 1, nothing written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.jobs.directory import JobDirectory
from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.conftest import CommandLine, powerless


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_bytes(b"content")
    return root


def assert_refused(mpingest: CommandLine, *arguments: str | Path, says: str, ranks: int | None = None) -> None:
    done = mpingest("start", *arguments, ranks=ranks)
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1, done.stderr
    assert says in lines[0]
    assert done.stdout == ""
    assert not mpingest.jobs.exists()


@pytest.mark.parametrize("ranks", [None, 3])
def test_root_missing(mpingest: CommandLine, tmp_path: Path, target: str, ranks: int | None) -> None:
    assert_refused(mpingest, tmp_path / "nothing", target, says="nothing: no such directory", ranks=ranks)


def test_root_is_a_file(mpingest: CommandLine, root: Path, target: str) -> None:
    assert_refused(mpingest, root / "file", target, says="is not a directory")


def test_root_empty(mpingest: CommandLine, tmp_path: Path, target: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert_refused(mpingest, empty, target, says="--allow-empty")
    assert mpingest("start", "--allow-empty", empty, target).returncode == 0


def test_root_unreadable(mpingest: CommandLine, root: Path, target: str) -> None:
    root.chmod(0)
    mpingest.prefix = powerless()
    assert_refused(mpingest, root, target, says="cannot be read: Permission denied")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("/tempZone", "must be a collection below /tempZone"),
        ("relative/path", "must be an absolute path"),
        ("/tempZone/home/rods/../../x", "must not contain . or .."),
    ],
)
def test_target_nowhere(mpingest: CommandLine, root: Path, session: iRODSSession, bad: str, says: str) -> None:
    assert_refused(mpingest, root, bad, says=says)


def test_target_is_an_object(mpingest: CommandLine, root: Path, session: iRODSSession, target: str) -> None:
    session.data_objects.create(target)
    assert_refused(mpingest, root, target, says="is a data object")


def test_target_of_someone_else(
    mpingest: CommandLine, root: Path, zone: EmbeddedZone, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    session.users.create("alice", "rodsuser")
    session.users.modify("alice", "password", "secret")
    mpingest.environment |= login_files(zone, tmp_path, user="alice", password="secret")
    session.collections.create(target)
    assert_refused(mpingest, root, f"{target}/deeper/still", says="alice")
    session.collections.remove(target)
    session.users.remove("alice")


def login_files(zone: EmbeddedZone, directory: Path, password: str, **changes: object) -> dict[str, str]:
    """An environment and password file like the zone's, with changes."""
    from irods.password_obfuscation import encode

    environment = json.loads(Path(zone.environment_file).read_text())
    password_file = directory / "irodsA"
    password_file.write_text(encode(password, os.getuid()))
    environment |= {f"irods_{key}": value for key, value in changes.items() if key != "user"}
    environment |= {"irods_authentication_file": str(password_file), "irods_authentication_uid": os.getuid()}
    if "user" in changes:
        environment["irods_user_name"] = changes["user"]
    path = directory / "environment.json"
    path.write_text(json.dumps(environment))
    return {"IRODS_ENVIRONMENT_FILE": str(path)}


def test_wrong_password(mpingest: CommandLine, root: Path, zone: EmbeddedZone, tmp_path: Path, target: str) -> None:
    mpingest.environment |= login_files(zone, tmp_path, password="wrong")
    assert_refused(mpingest, root, target, says="wrong password", ranks=2)


def test_unknown_user(mpingest: CommandLine, root: Path, zone: EmbeddedZone, tmp_path: Path, target: str) -> None:
    mpingest.environment |= login_files(zone, tmp_path, password="x", user="nobody")
    assert_refused(mpingest, root, target, says="refuses user nobody")


def test_zone_down(mpingest: CommandLine, root: Path, zone: EmbeddedZone, tmp_path: Path, target: str) -> None:
    mpingest.environment |= login_files(zone, tmp_path, password="x", port=1)
    assert_refused(mpingest, root, target, says="does not answer", ranks=2)


@pytest.mark.parametrize("skip", range(4))
def test_a_zone_that_breaks_off_while_it_is_asked(
    mpingest: CommandLine, root: Path, zone: EmbeddedZone, target: str, skip: int
) -> None:
    zone.inject("drop-before", Api.GEN_QUERY_AN, skip=skip, times=None)
    try:
        assert_refused(mpingest, root, target, says="gave no answer: NETWORK_FAILURE (-1)")
    finally:
        zone.clear_faults()


def test_no_environment(mpingest: CommandLine, root: Path, tmp_path: Path, target: str) -> None:
    mpingest.environment["IRODS_ENVIRONMENT_FILE"] = str(tmp_path / "none.json")
    assert_refused(mpingest, root, target, says="no iRODS environment")


@pytest.mark.parametrize(("text", "says"), [("{", "environment.json"), ("{}", "lacks irods_host"), ("[]", "lacks")])
def test_broken_environment(
    mpingest: CommandLine, root: Path, tmp_path: Path, target: str, text: str, says: str
) -> None:
    path = tmp_path / "environment.json"
    path.write_text(text)
    mpingest.environment["IRODS_ENVIRONMENT_FILE"] = str(path)
    assert_refused(mpingest, root, target, says=says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "no such file"),
        ("def broken(:\n", "syntax error in line 1"),
        ("x = 1\n", "defines no class 'event_handler'"),
    ],
)
def test_handler_unusable(
    mpingest: CommandLine, root: Path, tmp_path: Path, target: str, text: str | None, says: str
) -> None:
    script = tmp_path / "handler.py"
    if text is not None:
        script.write_text(text)
    assert_refused(mpingest, "--event-handler", script, root, target, says=says, ranks=2)


def test_resource_unknown(mpingest: CommandLine, root: Path, target: str) -> None:
    assert_refused(mpingest, "--resource", "nowhere", root, target, says="no such resource")


def test_wrong_usage_is_said_once_by_all_ranks(mpingest: CommandLine, root: Path, target: str) -> None:
    done = mpingest("start", "--operation", "sideways", root, target, ranks=3)
    assert done.returncode == 2
    assert done.stderr.count("'sideways' is not one of") == 1


def test_a_run_at_the_same_time_is_refused(mpingest: CommandLine, root: Path, target: str) -> None:
    assert mpingest("start", root, target).returncode == 0
    lock = mpingest.job() / "lock"
    with JobDirectory(str(mpingest.job())).locked():
        done = mpingest("start", root, target, ranks=2)
        assert done.returncode == 1
        assert f"process {os.getpid()}" in done.stderr
        assert lock.exists()

        done = mpingest("start", "--job-name", "twin", root, target)
        assert done.returncode == 1
        assert f"job {lock.parent.name} has the same root and target, and is being run by process" in done.stderr
        assert os.listdir(mpingest.jobs) == [lock.parent.name]
        assert mpingest("start", "--job-name", "other", root, f"{target}/other").returncode == 0
    assert mpingest("start", "--job-name", "twin", root, target).returncode == 0


def test_help_needs_no_mpi(mpingest: CommandLine) -> None:
    mpingest.environment |= {"PYTHONPATH": str(Path(__file__).with_name("no_mpi"))}
    for command in (["--help"], ["start", "--help"], ["demo", "--help"], ["--version"]):
        assert mpingest(*command).returncode == 0, mpingest.last.stderr


@pytest.mark.parametrize("argument", ["root", "jobs"])
def test_a_variable_that_is_not_set(mpingest: CommandLine, root: Path, target: str, argument: str) -> None:
    if argument == "root":
        assert_refused(mpingest, "", target, says="root: the argument is empty")
    else:
        assert_refused(mpingest, "--jobs-dir", "", root, target, says="jobs directory: the option is empty")


def test_jobs_inside_the_root(mpingest: CommandLine, root: Path, target: str) -> None:
    assert_refused(mpingest, "--jobs-dir", root / "jobs", root, target, says="lies in the root")


@pytest.mark.parametrize(
    ("suffix", "says"), [("x" * 1100, "iRODS holds paths of up to 1087"), ("\udcff", "not valid UTF-8")]
)
def test_target_unusable(mpingest: CommandLine, root: Path, target: str, suffix: str, says: str) -> None:
    assert_refused(mpingest, root, f"{target}/{suffix}", says=says)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_damaged_job_file(mpingest: CommandLine, root: Path, target: str, text: str) -> None:
    assert mpingest("start", root, target).returncode == 0
    (mpingest.job() / "job.json").write_text(text)
    done = mpingest("start", root, target)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "job.json: is " in done.stderr


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ('[start]\noperatoin = "put"', 2, "no option 'operatoin'"),
        ('[strat]\noperation = "put"', 2, "'strat' is no table of a command"),
        ('operation = "put"', 2, "'operation' is no table of a command"),
        ("[start", 1, "--config"),
        (b"\xff", 1, "--config"),
        (None, 1, "no such file"),
    ],
)
def test_config_unusable(
    mpingest: CommandLine, root: Path, tmp_path: Path, target: str, text: str | bytes | None, code: int, says: str
) -> None:
    config = tmp_path / "config.toml"
    if text is not None:
        config.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = mpingest("--config", config, "start", root, target, ranks=2)
    assert done.returncode == code
    assert done.stderr.count(says) == 1
    assert "Traceback" not in done.stderr
    assert not mpingest.jobs.exists()


def test_config_and_environment_set_defaults(
    mpingest: CommandLine, root: Path, tmp_path: Path, zone: EmbeddedZone, target: str
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[start]\noperation = "put"\nsessions-per-rank = 1\n')
    assert mpingest("--config", config, "start", root, target).returncode == 0
    assert zone.counts()["DATA_OBJ_PUT_AN"] == 1
    mpingest.environment["MPINGEST_START_OPERATION"] = "sideways"
    assert mpingest("start", root, target).returncode == 2
