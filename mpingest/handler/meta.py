"""The ``meta`` dictionary that handler methods see, built here and nowhere else."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

NANOSECONDS = 1_000_000_000

_WITHOUT_MEANING = {
    **dict.fromkeys(("interval", "synchronous", "event_handler_key")),
    **dict.fromkeys(("s3_keypair", "s3_endpoint_domain", "s3_region_name", "s3_proxy_url", "s3_secure_connection")),
    **dict.fromkeys(("s3_prefix", "s3_multipart_chunksize_in_mib", "s3_access_key", "s3_secret_key")),
    **dict.fromkeys(("restart_queue", "path_queue", "file_queue", "queue_name"), ""),
}
"""Keys of the framework that say nothing here, so that a script which reads them goes on."""


@dataclass(frozen=True)
class JobFacts:
    """What is the same for every entry of a run. chosen: keys of ``meta`` with what the command line says of them."""

    root: bytes
    target: str
    job_name: str
    initial_ingest: bool
    ignore_cache: bool
    event_handler: str | None = None
    chosen: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What ``meta`` says of the job; ``pre_job`` and ``post_job`` get just this.

        root, src_path, path: the root directory, as text (surrogateescape).
        target, root_target_collection: the target.
        job_name, initial_ingest, ignore_cache, event_handler: of the run.
        task: "job".
        append_json, files_per_task, idle_disconnect_seconds, profile, progress, exclude_…, config["log"],
        config["profile"]: as chosen on the command line.

        What else the framework has here means nothing to mpingest. It is None: interval, synchronous,
        event_handler_key, s3_…, config["redis"]; or empty: …_queue and queue_name.
        """
        root = os.fsdecode(self.root)
        return (
            _WITHOUT_MEANING
            | self.chosen
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


def rename_meta(meta: dict[str, Any], was: dict[str, Any]) -> dict[str, Any]:
    """``meta`` of a file that was found again under another name, as it is now, and

    renamed_from, target_renamed_from: what ``path`` and ``target`` were. was: its ``meta`` under the old name.
    """
    return meta | {"renamed_from": was["path"], "target_renamed_from": was["target"]}
