"""What a server is started with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_ZONE, DEFAULT_USER, DEFAULT_HOST = "tempZone", "rods", "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where and as what a zone runs. port: 0 for any; password_file: None for a password of its own making."""

    directory: Path
    host: str = DEFAULT_HOST
    port: int = 0
    zone: str = DEFAULT_ZONE
    user: str = DEFAULT_USER
    password_file: Path | None = None
