"""Every script of jobscripts/ for Slurm does what it says, edited as its user does; all are clean and documented."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.session import iRODSSession

from tests.conftest import only_full
from tests.e2e.checking import assert_put, assert_registered
from tests.slurm.conftest import JOBSCRIPTS, Desk


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
    (queued,) = desk.cluster.run("squeue", "--noheader", "--format=%j %T %S").splitlines()
    assert re.fullmatch(r"mpingest-nightly PENDING .*T22:00:00", queued)
