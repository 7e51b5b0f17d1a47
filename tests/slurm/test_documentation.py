"""The commands of README.md and jobscripts/README.md do what is said there: they are run as printed, on a cluster.

In blocks marked ``bash`` each line is a command. What else stands on a page as code names what there is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from irods.session import iRODSSession

from mpingest.cli import root
from mpingest.zone.embedded import EmbeddedZone
from tests.e2e.checking import assert_put, assert_registered
from tests.slurm.cluster import Cluster, batch_environment, until

REPOSITORY = Path(__file__).parents[2]
README, JOBSCRIPTS_README = REPOSITORY / "README.md", REPOSITORY / "jobscripts/README.md"

EXCUSED = {
    "make test": "is what runs this",
    "pip install 'mpingest[mpich]'": "takes a package index that has it; make installs it from the repository likewise",
    "iinit": "asks for a password; what it leaves, the login of a zone, is here",
}
"""Documented commands that are not run, and why."""

SMALLER = {
    "--ntasks=32": "--ntasks=3",
    "--nodes 2": "--nodes 1",
    "--nodes=2": "--nodes=1",
    "--ntasks-per-node 16": "--ntasks-per-node 2",
    "--ntasks-per-node=8": "--ntasks-per-node=2",
}
"""What asks for more than the cluster of the tests has, and what is asked for instead."""

PLACES = ("/lustre/", "/data/")
"""Where documented directories lie: here, in a directory of the test."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """Fenced blocks: their language and what stands in them."""
    return re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", page.read_text())


def documented_commands(page: Path) -> list[str]:
    """Every line of its blocks of bash, without remarks; one that goes on after a backslash is one."""
    text = "".join(block for language, block in blocks(page) if language == "bash")
    lines = text.replace("\\\n", " ").splitlines()
    return [re.sub(r"\s+", " ", re.sub(r"\s+# .*", "", line)).strip() for line in lines]


@dataclass
class Site:
    """A user's place on a cluster as the pages have it, with what they take for granted.

    said: what each command that was run has said.
    """

    directory: Path
    environment: Mapping[str, str]
    cluster: Cluster
    zone: EmbeddedZone
    said: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return Path(self.environment["HOME"])

    def fitted(self, text: str) -> str:
        """The same, where directories lie here and the cluster is small."""
        for printed, here in SMALLER.items():
            text = text.replace(printed, here)
        for place in PLACES:
            text = re.sub(rf"(?<![\w./]){place}", f"{self.directory}{place}", text)
        return text

    def tree(self, path: str) -> Path:
        """A documented directory, made with a few files in it."""
        root = self.directory / path.lstrip("/")
        for number in range(12):
            file = root / f"raw/2026-{number % 4 + 9:02d}/file{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"x" * number)
        return root

    def complete(self, run: Path) -> None:
        """Have a run of a sequencer be over, for an hour."""
        (run / "RTAComplete.txt").touch()
        then = time.time() - 3600
        for path in (run, *run.rglob("*")):
            os.utime(path, (then, then))

    def run_commands(self, page: Path) -> None:
        """All that are not excused, in a shell, to their good end."""
        for command in documented_commands(page):
            if command not in EXCUSED:
                self.said[command] = self._run(command)

    def told(self, beginning: str) -> str:
        """What the only command that begins in this way has said."""
        (text,) = (text for command, text in self.said.items() if command.startswith(beginning))
        return text

    def wait(self) -> None:
        """For the end of all batch jobs."""
        until(lambda: not self.cluster.run("squeue", "--noheader", "--states=PD,R,CG"), "the end of all batch jobs")

    def _run(self, command: str) -> str:
        directory = REPOSITORY if command.startswith("make ") else self.home
        shell = ["bash", "-euo", "pipefail", "-c", self.fitted(command)]
        done = subprocess.run(
            shell, cwd=directory, env=self.environment, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture
def site(tmp_path: Path, cluster: Cluster) -> Iterator[Site]:
    home = tmp_path / "home"
    (home / ".irods").mkdir(parents=True)
    own = {name: value for name, value in os.environ.items() if not name.startswith(("IRODS_", "MPINGEST_"))}
    environment = batch_environment(own | {"HOME": str(home)}) | cluster.environment
    with EmbeddedZone() as zone, iRODSSession(irods_env_file=str(zone.environment_file)) as session:
        (home / ".irods/irods_environment.json").symlink_to(zone.environment_file)
        for name in ("project", "lab"):
            session.collections.create(f"/tempZone/home/{name}")
        yield Site(tmp_path, environment, cluster, zone)
        cluster.cancel_all()


@pytest.fixture
def session(site: Site) -> Iterator[iRODSSession]:
    with iRODSSession(irods_env_file=str(site.zone.environment_file)) as session:
        yield session


def test_the_readme(site: Site, session: iRODSSession) -> None:
    roots = ("/lustre/project", "/data/incoming", "/data/run42", "/data/landing")
    project, incoming, run42, landing = map(site.tree, roots)
    site.complete(landing / "raw")
    (ingested := landing.with_name("ingested")).mkdir()
    shutil.copy(REPOSITORY / "handlers/put_with_mode.py", site.home / "handler.py")
    site.run_commands(README)
    site.wait()

    assert assert_registered(session, project, "/tempZone/home/project") == 12
    assert assert_put(session, incoming, "/tempZone/home/lab/incoming") == 12
    assert assert_put(session, run42, "/tempZone/home/lab/run42") == 12
    assert assert_put(session, ingested, "/tempZone/home/lab/landing") == 13
    assert list(landing.iterdir()) == []
    for printed, expected in (
        ("make demo", "2,003 files, 6.5 MB, every byte the same"),
        ("srun --mpi=pmi2 --ntasks=32 mpingest start", "12 done"),
        ("mpiexec -n 8 mpingest start", "12 done"),
        ("srun --mpi=pmi2 mpingest start", "12 done"),
        ("mpiexec -n 4 mpingest start", "13 done, 13 taken away"),
        ("mpiexec -n 4 mpingest scan", "directories with the most entries"),
        ("mpiexec -n 8 mpingest plan", "unchanged  "),
        ("mpingest manifest show", "done      new       replica 0  file2"),
        ("mpingest manifest diff", "same                      17"),
        ("mpingest verify project", "agreed       file system, record and catalog"),
        ("mpingest verify --repair", "agreed       file system, record and catalog"),
        ("mpingest failures", "project, run 1: 0 failures"),
        ("mpingest report", "12 done"),
        ("mpingest submit", "job project: batch job "),
        ("mpingest list", "/tempZone/home/project"),
        ("mpingest watch", "job project: done"),
    ):
        assert expected in site.told(printed)
    for manifest in ("monday.h5", "tuesday.h5", "project.parquet"):
        assert (site.home / manifest).stat().st_size
    assert len(site.said) >= 17


def test_the_readme_of_jobscripts(site: Site, session: iRODSSession) -> None:
    """Also runs register.sbatch and array-of-roots.sbatch."""
    project = site.tree("/lustre/project")
    for script in REPOSITORY.glob("jobscripts/*.sbatch"):
        (site.home / script.name).write_text(site.fitted(script.read_text()))
    roots = [site.tree(f"/lustre/{name}") for name in ("one", "other")]
    (site.home / "roots.txt").write_text("".join(f"{root}\n" for root in roots))
    mine = site.tree("/lustre/mine")
    site.environment = {**site.environment, "ROOT": str(mine), "TARGET": "/tempZone/home/lab/mine"}
    site.run_commands(JOBSCRIPTS_README)
    site.wait()

    assert assert_registered(session, project, "/tempZone/home/project") == 12
    for each in roots:
        assert assert_registered(session, each, f"/tempZone/home/lab/{each.name}") == 12
    assert assert_registered(session, mine, "/tempZone/home/lab/mine") == 12
    assert "a world of 2" in site.told("srun --mpi=pmi2 --ntasks=2 mpingest doctor")
    assert re.search(rf"(?m)^project-\w+ +done +1 +12 +12 +0  {project}  ", site.told("mpingest list"))
    assert "scontrol requeue" in (site.home / "mine.sbatch").read_text()
    assert site.told("mpingest status").startswith("job mine: ")


@pytest.mark.parametrize("page", [README, JOBSCRIPTS_README], ids=["README.md", "jobscripts/README.md"])
def test_what_a_page_names_there_is(page: Path) -> None:
    """Commands and options of ours in the text, relative links, and that blocks say what they are."""
    text = page.read_text()
    assert {language for language, _ in blocks(page)} <= {"bash", "text"}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (page.parent / target).exists(), target
    prose = re.sub(r"(?ms)^```.*?^```$", "", text)
    assert set(re.findall(r"`mpingest ([a-z]+)", prose)) <= set(root.COMMANDS)
    options = set(re.findall(r"`(?:mpingest [^`]*)?(--[a-z-]+)", prose)) - {"--signal"}  # sbatch's
    assert options <= options_of(root.cli).union(*(options_of(root.command(name)) for name in root.COMMANDS))


def test_no_excuse_is_left_over() -> None:
    documented = documented_commands(README) + documented_commands(JOBSCRIPTS_README)
    assert EXCUSED.keys() <= set(documented)


def options_of(command: click.Command) -> set[str]:
    """Of a command, and of those below it that are loaded with it."""
    own = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union(*map(options_of, below))
