"""The ``meta`` dictionary that handler methods see, built here and nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

NANOSECONDS = 1_000_000_000

_NOTHING = (
    *("interval", "synchronous", "progress", "profile", "files_per_task", "event_handler_key"),
    *("s3_keypair", "s3_endpoint_domain", "s3_region_name", "s3_proxy_url", "s3_secure_connection", "s3_prefix"),
    *("s3_multipart_chunksize_in_mib", "s3_access_key", "s3_secret_key"),
)
_QUEUES = ("restart_queue", "path_queue", "file_queue", "queue_name")
_LOGGING = ("filename", "when", "interval", "level")
_CONFIG = {"log": _LOGGING, "profile": _LOGGING, "redis": ("host", "port", "db")}


def _without_meaning() -> dict[str, Any]:
    """Keys of the framework that say nothing here, so that a script which reads them goes on."""
    return {
        **dict.fromkeys(_NOTHING),
        **dict.fromkeys(_QUEUES, ""),
        "config": {name: dict.fromkeys(settings) for name, settings in _CONFIG.items()},
    }


@dataclass(frozen=True)
class JobFacts:
    """What is the same for every entry of a run."""

    root: bytes
    target: str
    job_name: str
    initial_ingest: bool
    ignore_cache: bool
    event_handler: str | None = None
    given: Mapping[str, Any] = field(default_factory=dict)
    """More keys of ``meta`` that options of the run set."""

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What ``meta`` says of the job; ``pre_job`` and ``post_job`` get just this.

        root, src_path, path: the root directory, as text (surrogateescape).
        target, root_target_collection: the target.
        job_name, initial_ingest, ignore_cache, event_handler: of the run.
        append_json, exclude_file_type, exclude_file_name, exclude_directory_name, idle_disconnect_seconds: as given
        with the options of these names; None, empty lists and 60 where they weren't.
        task: "job".

        What else the framework has here means nothing to mpingest. It is None: interval, synchronous, progress,
        profile, files_per_task, event_handler_key, s3_…; or empty: …_queue and queue_name. config is {"log": {…},
        "profile": {…}, "redis": {…}}, whose values are all None: mpingest logs by itself, and has no Redis.
        """
        root = os.fsdecode(self.root)
        return (
            _without_meaning()
            | dict(self.given)
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
                "task": "job",
            }
        )


def entry_meta(job: JobFacts, path: bytes, logical_path: str, row: np.void) -> dict[str, Any]:
    """``meta`` of one entry: that of the job, and

    path: absolute, as text (surrogateescape); target: its logical path.
    entry_type: "dir" or "file"; task: "filesystem_sync_dir" or "sync_file".
    mtime, ctime: seconds (float); size: bytes; is_link, is_socket: bool; is_empty_dir: None.
    chunk: of a file, {path: these facts}; mpingest has no chunks, so there is never a second file in it.
    b64_…: of a name that had to be changed, see ``mpingest.ingest.names``.
    """
    mode = int(row["mode"])
    text = os.fsdecode(path)
    facts = {
        "is_link": stat.S_ISLNK(mode),
        "is_socket": stat.S_ISSOCK(mode),
        "mtime": int(row["mtime_ns"]) / NANOSECONDS,
        "ctime": int(row["ctime_ns"]) / NANOSECONDS,
        "size": int(row["size"]),
    }
    meta = job.meta | facts | {"path": text, "target": logical_path, "is_empty_dir": None}
    if stat.S_ISDIR(mode):
        return meta | {"entry_type": "dir", "task": "filesystem_sync_dir"}
    return meta | {"entry_type": "file", "task": "sync_file", "chunk": {text: facts}}


def deletion_meta(meta: dict[str, Any]) -> dict[str, Any]:
    """``meta`` of an entry that is gone: what was known of it, and

    task: "delete_data_object" or "delete_collection".
    target_collection: the collection, or that of the object; delete_empty_parent_collection: the same, of an object.
    data_objects_to_delete: the object alone.
    """
    target = meta["target"]
    if meta["entry_type"] == "dir":
        return meta | {"task": "delete_collection", "target_collection": target}
    collection = target.rpartition("/")[0]
    return meta | {
        "task": "delete_data_object",
        "target_collection": collection,
        "delete_empty_parent_collection": collection,
        "data_objects_to_delete": [target],
    }
