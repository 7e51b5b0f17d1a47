"""The ``meta`` dictionary that handler methods see, built here and nowhere else."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any

import numpy as np

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What is the same for every entry of a run."""

    root: bytes
    target: str
    job_name: str
    initial_ingest: bool
    ignore_cache: bool


def entry_meta(job: JobFacts, path: bytes, logical_path: str, row: np.void) -> dict[str, Any]:
    """``meta`` of one entry.

    root, src_path: the root directory; path: of the entry, both as text (surrogateescape).
    root_target_collection: the target; target: logical path of the entry.
    entry_type: "dir" or "file"; task: "sync_dir" or "sync_file".
    mtime, ctime: seconds (float); size: bytes; is_link, is_socket: bool.
    job_name, initial_ingest, ignore_cache: of the run.
    """
    mode = int(row["mode"])
    kind = "dir" if stat.S_ISDIR(mode) else "file"
    root = os.fsdecode(job.root)
    return {
        "root": root,
        "src_path": root,
        "root_target_collection": job.target,
        "path": os.fsdecode(path),
        "target": logical_path,
        "entry_type": kind,
        "task": f"sync_{kind}",
        "mtime": int(row["mtime_ns"]) / NANOSECONDS,
        "ctime": int(row["ctime_ns"]) / NANOSECONDS,
        "size": int(row["size"]),
        "is_link": stat.S_ISLNK(mode),
        "is_socket": stat.S_ISSOCK(mode),
        "job_name": job.job_name,
        "initial_ingest": job.initial_ingest,
        "ignore_cache": job.ignore_cache,
    }
