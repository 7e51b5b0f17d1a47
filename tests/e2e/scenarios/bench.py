"""Scenarios side by side: a directory of files for each, brought in by one run, changed, and brought in again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any

from irods.column import Like
from irods.models import Collection, DataObject
from irods.session import iRODSSession

from mpingest.handler.operations import Operation
from tests.conftest import CommandLine

FILES = 10
DEFAULT_RESOURCE = "demoResc"
MOUNT = "/mnt/on_server"
"""Where nothing can be read."""
HANDLER = """\
import os

from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation

TABLE = {table!r}


def row(meta):
    scenario = os.path.relpath(meta["path"], meta["root"]).split("/")[0]
    return TABLE.get(scenario, ("REGISTER_SYNC", None, ""))


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation[row(meta)[0]]

    @staticmethod
    def to_resource(session, meta, **options):
        return row(meta)[1]

    @staticmethod
    def target_path(session, meta, **options):
        return row(meta)[2] + meta["path"]
"""


@dataclass(frozen=True)
class Resources:
    """root (random) > middle (random) > two leaves, which are storage."""

    root: str
    middle: str
    leaves: tuple[str, str]

    def named(self, place: str) -> str | None:
        """The name to give: of "root", "middle" or "leaf"; "" is for the default."""
        return {"": None, "root": self.root, "middle": self.middle, "leaf": self.leaves[0]}[place]

    def used(self, place: str) -> set[str]:
        """The storage resources on which something may then lie."""
        return {"": {DEFAULT_RESOURCE}, "root": set(self.leaves), "leaf": {self.leaves[0]}}[place]


@dataclass(frozen=True)
class Setting:
    """What a scenario starts from. directory: its files; collection: where they belong."""

    session: iRODSSession
    resources: Resources
    directory: Path
    collection: str


def as_they_are(_: Setting) -> None:
    """Nothing is in the zone before."""


def rewrite(directory: Path) -> None:
    """Other content of another size, which begins as the old one does."""
    for path in directory.iterdir():
        path.write_bytes(b"i" * (2 * path.stat().st_size + 1))


def touch_mode(directory: Path) -> None:
    """Only ctime changes."""
    for path in directory.iterdir():
        path.chmod(0o600)
        path.chmod(0o644)


@dataclass(frozen=True)
class Scenario:
    """Files ``0``, ``1``, … of 0, 1, … bytes in a directory.

    place: where in the tree of resources; mount: where the server has the root of our file system
    before: what is in the zone already; change: what happens between the runs
    fails: name of the error with which every file fails
    """

    name: str
    operation: Operation
    place: str = ""
    mount: str = ""
    before: Callable[[Setting], None] = as_they_are
    change: Callable[[Path], None] = rewrite
    fails: str = ""
    files: int = FILES


@dataclass(frozen=True, order=True)
class Replica:
    """What the catalog says of one. mtime: seconds since the epoch."""

    number: int
    resource: str
    path: str
    size: int
    status: str
    mtime: int
    hierarchy: str = field(default="", compare=False)


@dataclass(frozen=True)
class File:
    """What the file system says of one."""

    path: str
    content: bytes
    mtime: int


@dataclass
class State:
    """Files and objects by path relative to root and target, and what the run said."""

    files: dict[str, File]
    replicas: dict[str, list[Replica]]
    contents: dict[str, bytes]
    failures: dict[str, dict[str, Any]]
    summary: dict[str, Any] = field(default_factory=dict)

    def of(self, scenario: Scenario) -> list[str]:
        """The files of a scenario."""
        names = [name for name in self.files if name.startswith(f"{scenario.name}/")]
        assert len(names) == scenario.files
        return names


def look(session: iRODSSession, root: Path, target: str, mpingest: CommandLine, *, read: bool = True) -> State:
    """How things stand after a run. read: whether all objects are read."""
    replicas = replicas_below(session, target)
    to_read = {name: found for name, found in replicas.items() if read and not found[-1].path.startswith(MOUNT)}
    return State(
        files={
            str(path.relative_to(root)): File(str(path), path.read_bytes(), int(path.stat().st_mtime))
            for path in root.rglob("*")
            if path.is_file()
        },
        replicas=replicas,
        contents={name: content(session, f"{target}/{name}", found) for name, found in to_read.items()},
        failures={failure["path"]: failure for failure in mpingest.failures()},
        summary=mpingest.summary(),
    )


def replicas_below(session: iRODSSession, target: str) -> dict[str, list[Replica]]:
    """All replicas below a collection by path relative to it."""
    columns = (
        *(Collection.name, DataObject.name, DataObject.replica_number, DataObject.resource_name, DataObject.path),
        *(DataObject.size, DataObject.replica_status, DataObject.modify_time, DataObject.resc_hier),
    )
    found: dict[str, list[Replica]] = {}
    for row in session.query(*columns).filter(Like(Collection.name, f"{target}/%")):
        collection, name, number, resource, path, size, status, mtime, hierarchy = (row[column] for column in columns)
        relative = f"{collection}/{name}".removeprefix(f"{target}/")
        seconds = int(mtime.replace(tzinfo=UTC).timestamp())
        found.setdefault(relative, []).append(Replica(number, resource, path, size, status, seconds, hierarchy))
    return {name: sorted(replicas) for name, replicas in found.items()}


def content(session: iRODSSession, path: str, replicas: list[Replica]) -> bytes:
    """What a reader gets of the good replica."""
    (good,) = (replica for replica in replicas if replica.status == "1")
    with session.data_objects.open(path, "r", resc_hier=good.hierarchy) as stored:
        return bytes(stored.read())


def settle() -> None:
    """Let timestamps grow older than their tick."""
    time.sleep(0.2)


@dataclass(frozen=True)
class Bench:
    """How things stood after the first run and after the second."""

    resources: Resources
    first: State
    second: State


def run_scenarios(
    scenarios: tuple[Scenario, ...],
    mpingest: CommandLine,
    session: iRODSSession,
    resources: Resources,
    directory: Path,
    target: str,
    ranks: int,
) -> Bench:
    """Have all of them in one tree; ``directory`` is empty."""
    root = directory / "root"
    for scenario in scenarios:
        for number in range(scenario.files):
            path = root / scenario.name / str(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"i" * number)
        scenario.before(Setting(session, resources, root / scenario.name, f"{target}/{scenario.name}"))
    table = {one.name: (one.operation.name, resources.named(one.place), one.mount) for one in scenarios}
    script = directory / "handler.py"
    script.write_text(HANDLER.format(table=table))
    states = []
    for run in range(2):
        if run:
            for scenario in scenarios:
                scenario.change(root / scenario.name)
        settle()
        mpingest.start(root, target, "--event-handler", script, ranks=ranks)
        states.append(look(session, root, target, mpingest))
    return Bench(resources, *states)


def assert_failed(state: State, scenario: Scenario) -> None:
    """Every file of the scenario failed as it says."""
    for name in state.of(scenario):
        failure = state.failures[name]
        assert failure.get("error") == scenario.fails, failure


def assert_none_failed(state: State, scenario: Scenario) -> None:
    """No file of the scenario failed."""
    assert [name for name in state.of(scenario) if name in state.failures] == []
