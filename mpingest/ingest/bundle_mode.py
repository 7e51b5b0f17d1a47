"""When bundles are made; known to the command line without the client."""

from __future__ import annotations

from enum import Enum


class BundleMode(Enum):
    """Whether small new files are put together."""

    AUTO = "auto"
    """Where it pays."""
    NEVER = "never"
    ALWAYS = "always"
    """Any number of files."""
