"""Every script of jobscripts/ for Slurm does what it says, edited as its user does; all are clean and documented."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from irods.session import iRODSSession

from tests.conftest import CommandLine, Gate
from tests.e2e.checking import assert_put, assert_registered
from tests.slurm.cluster import Cluster, Ended, until
from tests.slurm.conftest import only_full

JOBSCRIPTS = Path(__file__).parents[2] / "jobscripts"


@dataclass
class Desk:
    """Where a user edits scripts and hands them over: a directory of their own."""

    directory: Path
    on_cluster: CommandLine
    cluster: Cluster

    def edited(self, name: str, **values: str | Path) -> Path:
        """A copy for a cluster of one small node, with other values in its lines in capitals."""
        text = (JOBSCRIPTS / name).read_text()
        for variable, value in values.items():
            text, count = re.subn(rf"(?m)^{variable}=.*$", lambda _, v=value: f'{variable}="{v}"', text)  # noqa: B023
            assert count == 1, variable
        text = re.sub(r"--nodes=\d+", "--nodes=1", re.sub(r"--ntasks-per-node=(?!1\))\d+", "--ntasks-per-node=2", text))
        copy = self.directory / name
        copy.write_text(text)
        return copy

    def sbatch(self, script: Path, **environment: str) -> str:
        options = (f"--chdir={self.directory}",)
        return self.cluster.sbatch(script, *options, environment=self.on_cluster.environment | environment)

    def run(self, name: str, **values: str | Path) -> None:
        """An edited copy, to its good end."""
        batch_job = self.sbatch(self.edited(name, **values))
        ended = self.cluster.wait(batch_job)
        assert ended == Ended("COMPLETED", 0), [log.read_text() for log in self.directory.glob("*.log")]


@pytest.fixture
def desk(tmp_path: Path, on_cluster: CommandLine, cluster: Cluster) -> Desk:
    directory = tmp_path / "desk"
    directory.mkdir()
    on_cluster.environment["HOME"] = str(directory)
    return Desk(directory, on_cluster, cluster)


@pytest.fixture
def plain_tree(tmp_path: Path) -> Path:
    """As a name that stands in a script."""
    root = tmp_path / "a tree"
    for number in range(20):
        path = root / f"dir{number % 4}/file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    return root


def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = shutil.which("shellcheck") or pytest.skip("no shellcheck: apt-get install shellcheck")
    scripts = [path for path in JOBSCRIPTS.iterdir() if path.suffix != ".md"]
    assert len(scripts) == 11
    done = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_readme_names_every_script() -> None:
    text = (JOBSCRIPTS / "README.md").read_text()
    named = set(re.findall(r"\]\(([\w.-]+)\)", text))
    assert named == {path.name for path in JOBSCRIPTS.iterdir()} - {"README.md"}


Check = Callable[[iRODSSession, Path, str], int]


@pytest.mark.parametrize(
    ("name", "check"),
    [
        pytest.param("register.sbatch", assert_registered, marks=only_full),
        pytest.param("put.sbatch", assert_put, marks=only_full),
        pytest.param("node-local.sbatch", assert_registered, marks=only_full),
    ],
)
def test_a_tree_is_brought_in(
    desk: Desk, session: iRODSSession, plain_tree: Path, target: str, name: str, check: Check, tmp_path: Path
) -> None:
    values: dict[str, str | Path] = {"ROOT": plain_tree, "TARGET": target}
    if name == "node-local.sbatch":
        values |= {"ENVIRONMENT": Path(__file__).parents[2] / ".venv", "LOCAL": tmp_path / "local"}
    desk.run(name, **values)
    assert check(session, plain_tree, target) == 20
    assert not (tmp_path / "local").exists()
    assert not list(desk.directory.glob("*.tar"))


@only_full
def test_scan(desk: Desk, plain_tree: Path) -> None:
    desk.run("scan.sbatch", ROOT=plain_tree, MANIFEST=desk.directory / "manifest.h5")
    (log,) = desk.directory.glob("*.log")
    assert "20 files, 4 directories" in log.read_text()
    assert desk.on_cluster("manifest", "verify", desk.directory / "manifest.h5").returncode == 0


@only_full
def test_nightly(desk: Desk, session: iRODSSession, plain_tree: Path, target: str) -> None:
    script = desk.directory / "incremental-nightly.sbatch"
    desk.run(script.name, ROOT=plain_tree, TARGET=target, SCRIPT=script)
    assert assert_put(session, plain_tree, target) == 20
    assert "job lab-nightly: " in (desk.directory / "mpingest-nightly.log").read_text()
    (queued,) = desk.cluster.run("squeue", "--noheader", "--format=%j %T %r").splitlines()
    assert queued == "mpingest-nightly PENDING BeginTime"


@only_full
def test_landing_zone(desk: Desk, session: iRODSSession, tmp_path: Path, target: str) -> None:
    root = tmp_path / "landing"
    root.mkdir()
    batch_job = desk.sbatch(desk.edited("landing-zone.sbatch", ROOT=root, TARGET=target, INTERVAL="1"))
    until(lambda: desk.on_cluster.jobs.exists() and list(desk.on_cluster.jobs.glob("*/runs/*/summary.json")), "a pass")
    (root / "file").write_bytes(b"content")
    until(lambda: session.data_objects.exists(f"{target}/file"), "the next pass")
    desk.cluster.run("scancel", batch_job)
    assert desk.cluster.wait(batch_job).state == "CANCELLED"


@only_full
def test_requeue_until_done(desk: Desk, session: iRODSSession, plain_tree: Path, target: str, gate: Gate) -> None:
    script = desk.edited("requeue-until-done.sbatch", ROOT=plain_tree, TARGET=target, MAX_TRIES="2")
    slow = {"MPINGEST_START_EVENT_HANDLER": gate.options[1], "MPINGEST_START_STALL_TIMEOUT": "1"}
    given_up = desk.sbatch(script, **slow)
    assert desk.cluster.wait(given_up) == Ended("FAILED", 75)
    assert desk.on_cluster.summary()["run"] == 2
    batch_job = desk.sbatch(script, **slow)
    until(lambda: desk.cluster.state(batch_job) == "PENDING" and desk.on_cluster.summary()["run"] == 3, "a requeue")
    gate.open()
    assert desk.cluster.wait(batch_job) == Ended("COMPLETED", 0)
    assert assert_registered(session, plain_tree, target) == 20
