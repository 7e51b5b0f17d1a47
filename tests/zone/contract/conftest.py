"""A zone to test, and things of its own in it: collection, tree of resources, user. All are removed afterwards."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.zone.wire import Wire, make_session

UNIQUE = uuid.uuid4().hex[:8]
PASSWORD = "a-password-of-a-user"


@dataclass(frozen=True)
class Tree:
    """root (passthru) -> middle (passthru) -> leaf (storage); other: a second tree of one storage resource."""

    root: str
    middle: str
    leaf: str
    other: str

    @property
    def hierarchy(self) -> str:
        return f"{self.root};{self.middle};{self.leaf}"


@pytest.fixture(scope="session")
def environment() -> Iterator[Path]:
    real = os.environ.get("MPINGEST_TEST_IRODS_ENV")
    if real:
        yield Path(real)
        return
    with EmbeddedZone() as zone:
        yield zone.environment_file


@pytest.fixture(scope="session")
def session(environment: Path) -> Iterator[iRODSSession]:
    with make_session(environment) as session:
        yield session


@pytest.fixture
def wire(session: iRODSSession) -> Iterator[Wire]:
    wire = Wire(session)
    yield wire
    wire.connection.release(destroy=True)


@pytest.fixture(scope="session")
def base(session: iRODSSession) -> Iterator[str]:
    path = f"/{session.zone}/home/{session.username}/mpingest-contract-{UNIQUE}"
    session.collections.create(path)
    yield path
    session.collections.remove(path, recurse=True, force=True)


@pytest.fixture
def home(session: iRODSSession, base: str, request: pytest.FixtureRequest) -> str:
    """An empty collection for one test."""
    path = f"{base}/{request.node.originalname}-{uuid.uuid4().hex[:6]}"
    session.collections.create(path)
    return path


@pytest.fixture(scope="session")
def files() -> Iterator[Path]:
    """A directory that the server can read, whoever it runs as."""
    with tempfile.TemporaryDirectory(prefix="mpingest-contract-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def file(files: Path) -> Path:
    """A file of five bytes that can be registered."""
    path = files / uuid.uuid4().hex
    path.write_bytes(b"hello")
    path.chmod(0o644)
    return path


@pytest.fixture(scope="session")
def tree(session: iRODSSession, base: str) -> Iterator[Tree]:
    host = session.resources.get(session.default_resource).location
    tree = Tree(*(f"{name}{UNIQUE}" for name in ("root", "middle", "leaf", "other")))
    for name in (tree.leaf, tree.other):
        session.resources.create(name, "unixfilesystem", host, _vault(name))
    for name in (tree.root, tree.middle):
        session.resources.create(name, "passthru")
    session.resources.add_child(tree.root, tree.middle)
    session.resources.add_child(tree.middle, tree.leaf)
    yield tree
    session.collections.remove(base, recurse=True, force=True)
    session.collections.create(base)
    session.resources.remove_child(tree.middle, tree.leaf)
    session.resources.remove_child(tree.root, tree.middle)
    for name in (tree.root, tree.middle, tree.leaf, tree.other):
        session.resources.remove(name)
        shutil.rmtree(_vault(name), ignore_errors=True)


@pytest.fixture(scope="session")
def user(session: iRODSSession) -> Iterator[str]:
    """An ordinary user with PASSWORD."""
    name = f"user{UNIQUE}"
    session.users.create(name, "rodsuser")
    session.users.modify(name, "password", PASSWORD)
    yield name
    for parent in ("home", "trash/home"):
        path = f"/{session.zone}/{parent}/{name}"
        session.acls.set(_own(path, session.username), recursive=True, admin=True)
        for collection in session.collections.get(path).subcollections:
            collection.remove(recurse=True, force=True)
        for item in session.collections.get(path).data_objects:
            item.unlink(force=True)
    session.users.remove(name)


@pytest.fixture
def user_session(session: iRODSSession, user: str) -> Iterator[iRODSSession]:
    """The user, logged in with a password."""
    with iRODSSession(
        host=session.host, port=session.port, user=user, password=PASSWORD, zone=session.zone
    ) as user_session:
        yield user_session


@pytest.fixture
def proxied_session(environment: Path, session: iRODSSession, user: str) -> Iterator[iRODSSession]:
    """The administrator, acting for the user."""
    with iRODSSession(
        host=session.host,
        port=session.port,
        user=session.username,
        password=session.pool.account.password,
        zone=session.zone,
        client_user=user,
        client_zone=session.zone,
    ) as proxied:
        yield proxied


def _vault(resource: str) -> str:
    """On the server's host; of a zone that runs as somebody else, empty directories stay behind."""
    return f"/tmp/mpingest-contract-vault-{resource}"


def _own(path: str, user: str):
    from irods.access import iRODSAccess

    return iRODSAccess("own", path, user)
