"""What all tests share: an embedded zone, the command line, MPI worlds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from irods.session import iRODSSession

from mpingest.farm.world import find_mpiexec
from mpingest.zone.embedded import EmbeddedZone

Completed = subprocess.CompletedProcess
FULL = "MPINGEST_TEST_FULL" in os.environ
"""Whether what takes minutes is run, too."""
only_full = pytest.mark.skipif(not FULL, reason="long: MPINGEST_TEST_FULL=1 runs it")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast ones first: what runs the whole program comes last. Workers share out files; one has the cluster.

    First of all, for xdist looks at the groups in this hook, too.
    """
    items.sort(key=lambda item: "e2e" in item.path.parts)
    for item in items:
        place = item.path.parent if "slurm" in item.path.parts else item.path
        item.add_marker(pytest.mark.xdist_group(place.relative_to(item.config.rootpath).as_posix()))


@pytest.fixture(scope="session")
def shared_zone() -> Iterator[EmbeddedZone]:
    """One embedded zone for all tests that leave it in order."""
    with EmbeddedZone() as zone:
        yield zone


@pytest.fixture
def zone(shared_zone: EmbeddedZone) -> EmbeddedZone:
    """The shared zone, with its counts at zero."""
    shared_zone.reset_counts()
    return shared_zone


@pytest.fixture
def session(zone: EmbeddedZone) -> Iterator[iRODSSession]:
    """The plain client, logged in as the zone's rodsadmin."""
    with iRODSSession(irods_env_file=str(zone.environment_file)) as session:
        yield session


@pytest.fixture
def target(zone: EmbeddedZone, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A collection path of this test alone; nothing is there yet."""
    return f"/{zone.zone}/home/{zone.user}/{tmp_path.name}"


def mpiexec() -> str:
    """The mpiexec of this environment."""
    found = find_mpiexec()
    if found is None:
        pytest.skip("no mpiexec: pip install 'mpingest[mpich]'")
    return found


def powerless() -> list[str]:
    """What has to run a command so that nobody reads what its mode forbids, root neither."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv") or pytest.skip("no setpriv: install util-linux")
    return [setpriv, "--bounding-set", "-dac_override,-dac_read_search"]


@dataclass
class CommandLine:
    """``mpingest`` as its user runs it."""

    environment: dict[str, str]
    jobs: Path
    prefix: Sequence[str] = ()
    """What runs it."""
    last: Completed[str] = field(init=False)

    def __call__(self, *arguments: str | Path, ranks: int | None = None, timeout: float = 120) -> Completed[str]:
        """Run a command in a world of ``ranks``; without it, without mpiexec."""
        command = [sys.executable, "-m", "mpingest", *map(os.fspath, arguments)]
        command = [*self.prefix, *command]
        if ranks is not None:
            command = [mpiexec(), "-n", str(ranks), *command]
        self.last = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        return self.last

    def start(self, root: Path, target: str, *options: str | Path, ranks: int | None = None) -> dict[str, Any]:
        """``mpingest start``; the summary. Fails the test where there is none."""
        done = self("start", *options, root, target, ranks=ranks, timeout=600)
        assert done.returncode in (0, 3), done.stderr
        return self.summary()

    def job(self) -> Path:
        """The only job's directory."""
        (job,) = self.jobs.iterdir()
        return job

    def summary(self) -> dict[str, Any]:
        """summary.json of the last run."""
        summary: dict[str, Any] = json.loads((self.last_run() / "summary.json").read_text())
        return summary

    def failures(self) -> list[dict[str, Any]]:
        """failures.jsonl of the last run."""
        return [json.loads(line) for line in (self.last_run() / "failures.jsonl").read_text().splitlines()]

    def last_run(self) -> Path:
        """The last run's directory."""
        return max((self.job() / "runs").iterdir())


@pytest.fixture
def mpingest(zone: EmbeddedZone, tmp_path: Path) -> CommandLine:
    """The command line, with the embedded zone's environment and a jobs directory of its own."""
    jobs = tmp_path / "jobs"
    environment = os.environ | {
        "IRODS_ENVIRONMENT_FILE": str(zone.environment_file),
        "MPINGEST_JOBS_DIR": str(jobs),
    }
    return CommandLine(environment, jobs)


@pytest.fixture
def own_zone(mpingest: CommandLine) -> Iterator[EmbeddedZone]:
    """A zone of this test alone, which may be killed."""
    with EmbeddedZone() as zone:
        mpingest.environment["IRODS_ENVIRONMENT_FILE"] = str(zone.environment_file)
        yield zone


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Makes files by relative path below a root; the root."""

    def make(files: dict[str, bytes]) -> Path:
        root = tmp_path / "root"
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    return make


@dataclass
class Gate:
    """An event handler that lets no file be ingested before it is opened: runs last just as long as they are to."""

    directory: Path

    @property
    def options(self) -> tuple[str, ...]:
        """For ``mpingest start``."""
        return ("--event-handler", str(self.directory / "handler.py"))

    def open(self) -> None:
        (self.directory / "open").touch()

    def write(self) -> None:
        (self.directory / "handler.py").write_text(
            "import os, time\n"
            "class event_handler:\n"
            "    @staticmethod\n"
            "    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):\n"
            f"        open({str(self.directory / 'waiting')!r}, 'a').close()\n"
            f"        while not os.path.exists({str(self.directory / 'open')!r}):\n"
            "            time.sleep(0.02)\n"
        )

    @property
    def is_reached(self) -> bool:
        """Whether a file waits for it, or has."""
        return (self.directory / "waiting").exists()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """A closed gate; opened in the end, so that no process waits for ever."""
    directory = tmp_path / "gate"
    directory.mkdir()
    gate = Gate(directory)
    gate.write()
    yield gate
    gate.open()
