"""A zone that may crash."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mpingest.zone.embedded import EmbeddedZone


@pytest.fixture(scope="package")
def zone() -> Iterator[EmbeddedZone]:
    """For runs in chaos alone."""
    with EmbeddedZone() as zone:
        yield zone
