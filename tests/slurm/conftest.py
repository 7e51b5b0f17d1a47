"""The cluster for all tests of this folder, and the command line on it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CommandLine
from tests.slurm.cluster import HINT, Cluster, Ended, batch_environment, is_installed

JOBSCRIPTS = Path(__file__).parents[2] / "jobscripts"

"""Marks what would make the quick profile slow."""


RANKS = ("--nodes", "1", "--ntasks-per-node", "3")
"""Options of ``mpingest submit``."""
PUT = ("--operation", "put_sync", "--job-name", "lab")
"""Options of ``mpingest start``."""


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One Slurm for all tests."""
    if not is_installed():
        pytest.skip(HINT)
    with Cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """The Slurm, without any job before and after."""
    yield shared_cluster
    shared_cluster.cancel_all()


@pytest.fixture
def on_cluster(mpingest: CommandLine, cluster: Cluster) -> CommandLine:
    """The command line on a login node."""
    mpingest.environment = batch_environment(mpingest.environment) | cluster.environment
    return mpingest


def submitted(on_cluster: CommandLine, *arguments: str | Path) -> str:
    """``mpingest submit`` of the job lab; the batch job's id."""
    done = on_cluster("submit", *arguments)
    assert done.returncode == 0, done.stderr
    job, _, batch_job = done.stdout.partition(",")[0].rpartition(" batch job ")
    assert job == "job lab:"
    return batch_job


def status(on_cluster: CommandLine) -> dict[str, Any]:
    """What ``mpingest status`` says of the job lab."""
    found: dict[str, Any] = json.loads(on_cluster("status", "--json", "lab").stdout)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with a name that no script may trip over."""
    return filled(tmp_path / "it's a $(root)\r\n\udcff", 40)


@pytest.fixture
def plain_tree(tmp_path: Path) -> Path:
    """As a name that stands in a script."""
    return filled(tmp_path / "a tree", 20)


def filled(root: Path, files: int) -> Path:
    """A directory, made with so many files in four others."""
    for number in range(files):
        path = root / f"dir{number % 4}/file{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * number)
    return root


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

    def sbatch(self, script: Path, *options: str, **environment: str) -> str:
        options = (f"--chdir={self.directory}", *options)
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
