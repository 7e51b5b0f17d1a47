"""The ``meta`` dictionary that handler methods see, built here and nowhere else."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

NANOSECONDS = 1_000_000_000

_WITHOUT_MEANING = {
    **dict.fromkeys(("interval", "synchronous", "progress", "profile", "files_per_task"), None),
    **dict.fromkeys(("restart_queue", "path_queue", "file_queue", "queue_name"), ""),
}
"""Keys of the framework that say nothing here, so that a script which reads them goes on."""
_LOGGING = {"filename": None, "when": None, "interval": None, "level": None}


@dataclass(frozen=True)
class JobFacts:
    """What is the same for every entry of a run."""

    root: bytes
    target: str
    job_name: str
    initial_ingest: bool
    ignore_cache: bool
    event_handler: str | None = None
    append_json: Any = None

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What ``meta`` says of the job; ``pre_job`` and ``post_job`` get just this.

        root, src_path, path: the root directory, as text (surrogateescape).
        target, root_target_collection: the target.
        job_name, initial_ingest, ignore_cache, event_handler: of the run.
        append_json: what was given with --append-json, if anything was.
        config: {"log": {…}, "profile": {…}}, whose values are all None: mpingest logs by itself.
        """
        root = os.fsdecode(self.root)
        extra = {} if self.append_json is None else {"append_json": self.append_json}
        return (
            _WITHOUT_MEANING
            | extra
            | {
                "root": root,
                "src_path": root,
                "path": root,
                "target": self.target,
                "root_target_collection": self.target,
                "job_name": self.job_name,
                "initial_ingest": self.initial_ingest,
                "ignore_cache": self.ignore_cache,
                "event_handler": self.event_handler,
                "config": {"log": dict(_LOGGING), "profile": dict(_LOGGING)},
                "task": "job",
            }
        )


def entry_meta(job: JobFacts, path: bytes, logical_path: str, row: np.void) -> dict[str, Any]:
    """``meta`` of one entry: that of the job, and

    path: absolute, as text (surrogateescape); target: its logical path.
    entry_type: "dir" or "file"; task: "sync_dir" or "sync_file".
    mtime, ctime: seconds (float); size: bytes; is_link, is_socket: bool; is_empty_dir: None.
    b64_…: of a name that had to be changed, see ``mpingest.ingest.names``.
    """
    mode = int(row["mode"])
    kind = "dir" if stat.S_ISDIR(mode) else "file"
    return job.meta | {
        "path": os.fsdecode(path),
        "target": logical_path,
        "entry_type": kind,
        "task": f"sync_{kind}",
        "mtime": int(row["mtime_ns"]) / NANOSECONDS,
        "ctime": int(row["ctime_ns"]) / NANOSECONDS,
        "size": int(row["size"]),
        "is_link": stat.S_ISLNK(mode),
        "is_socket": stat.S_ISSOCK(mode),
        "is_empty_dir": None,
    }
