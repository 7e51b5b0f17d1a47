"""A zone of the tests' own, and a session in it."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.zone.wire import make_session

settings.register_profile("default", max_examples=200, deadline=None)
settings.register_profile("nightly", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="module")
def zone() -> Iterator[EmbeddedZone]:
    with EmbeddedZone() as zone:
        yield zone


@pytest.fixture
def zone_session(zone: EmbeddedZone) -> Iterator[iRODSSession]:
    with make_session(zone.environment_file) as session:
        yield session


@pytest.fixture
def collection(zone_session: iRODSSession) -> str:
    """An empty collection."""
    path = f"/{zone_session.zone}/home/{zone_session.username}/{uuid.uuid4().hex[:8]}"
    zone_session.collections.create(path)
    return path
