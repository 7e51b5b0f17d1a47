"""A zone with a tree of resources, and the scenarios of a module run in it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import CommandLine
from tests.e2e.scenarios.bench import DEFAULT_RESOURCE, Bench, Resources, run_scenarios


@pytest.fixture(scope="module", params=[1, 4], ids=["1 rank", "4 ranks"])
def ranks(request: pytest.FixtureRequest) -> int:
    """In how large a world the scenarios run."""
    return int(request.param)


@pytest.fixture(scope="module")
def module_session(shared_zone: EmbeddedZone) -> Iterator[iRODSSession]:
    """The plain client, logged in as the zone's rodsadmin."""
    with iRODSSession(irods_env_file=str(shared_zone.environment_file)) as session:
        yield session


@pytest.fixture(scope="module")
def module_directory(tmp_path_factory: pytest.TempPathFactory, ranks: int) -> Path:
    """An empty directory for a module's scenarios in one world."""
    return tmp_path_factory.mktemp("scenarios")


@pytest.fixture(scope="module")
def command_line(shared_zone: EmbeddedZone, module_directory: Path) -> CommandLine:
    """The command line, with a jobs directory of its own."""
    jobs = module_directory / "jobs"
    environment = os.environ | {
        "IRODS_ENVIRONMENT_FILE": str(shared_zone.environment_file),
        "MPINGEST_JOBS_DIR": str(jobs),
    }
    return CommandLine(environment, jobs)


@pytest.fixture(scope="module")
def module_target(
    shared_zone: EmbeddedZone, module_session: iRODSSession, module_directory: Path, ranks: int
) -> Iterator[str]:
    """A collection path, where nothing is; what comes to be there is removed."""
    path = f"/{shared_zone.zone}/home/{shared_zone.user}/{module_directory.name}"
    yield path
    if module_session.collections.exists(path):
        module_session.collections.remove(path, recurse=True, force=True)


@pytest.fixture(scope="module")
def resources(module_session: iRODSSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resources]:
    """A tree of resources, for as long as the module runs."""
    manager, unique = module_session.resources, uuid.uuid4().hex[:6]
    tree = Resources(f"root{unique}", f"middle{unique}", (f"leafA{unique}", f"leafB{unique}"))
    host = manager.get(DEFAULT_RESOURCE).location
    for name in (tree.root, tree.middle):
        manager.create(name, "random")
    for name in tree.leaves:
        manager.create(name, "unixfilesystem", host, str(tmp_path_factory.mktemp(name)))
    manager.add_child(tree.root, tree.middle)
    for name in tree.leaves:
        manager.add_child(tree.middle, name)
    yield tree
    for name in tree.leaves:
        manager.remove_child(tree.middle, name)
    manager.remove_child(tree.root, tree.middle)
    for name in (tree.root, tree.middle, *tree.leaves):
        manager.remove(name)


@pytest.fixture(scope="module")
def bench(
    request: pytest.FixtureRequest,
    command_line: CommandLine,
    module_session: iRODSSession,
    resources: Resources,
    module_directory: Path,
    module_target: str,
    ranks: int,
) -> Bench:
    """``SCENARIOS`` of the module, run twice."""
    return run_scenarios(
        request.module.SCENARIOS, command_line, module_session, resources, module_directory, module_target, ranks
    )
