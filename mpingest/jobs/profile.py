"""When each step of a rank began and ended, in the fields of the framework's profile log."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mpingest.ingest.subject import Subjects

DIRECTORY_STEP, ENTRY_STEP = "sync_dir", "sync_file"
"""The framework's names of its tasks."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Writes a pair of lines a step. logger: None to write nothing."""

    subjects: Subjects
    logger: Any = None
    _hostname: str = field(default_factory=socket.gethostname)

    @contextmanager
    def step(self, name: str, relative: bytes) -> Iterator[None]:
        """What the block does about the entry at ``relative``."""
        if self.logger is None:
            yield
            return
        fields = {
            "event_id": str(uuid.uuid4()),
            "event_name": name,
            "hostname": self._hostname,
            "index": threading.current_thread().name,
            "path": os.fsdecode(self.subjects.path(relative)),
            "target": self.subjects.logical_path(relative),
        }
        self.logger.info("task_prerun", **fields)
        try:
            yield
        finally:
            self.logger.info("task_postrun", **fields)
