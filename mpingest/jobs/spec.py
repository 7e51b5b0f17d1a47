"""What a job is (kept in job.json) and how one run of it is to go (given with each start)."""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mpingest.errors import MpingestError
from mpingest.handler.calls import User
from mpingest.handler.operations import DeleteMode, Operation
from mpingest.ingest.bundle_mode import BundleMode
from mpingest.jobs.disposal import Disposal
from mpingest.jobs.limits import TimeLimits
from mpingest.jobs.log import LogOptions
from mpingest.scan.excludes import Excludes
from mpingest.scan.links import FollowLinks

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A named pair of root directory (absolute, bytes) and target collection."""

    name: str
    root: bytes
    target: str

    @classmethod
    def named(cls, name: str | None, root: bytes, target: str) -> JobSpec:
        """A job of that name; without one, of a name that root and target always give. Raises MpingestError."""
        if name is None:
            digest = hashlib.sha256(root + b"\0" + target.encode()).digest()
            suffix = base64.b32encode(digest).decode().lower()[:8]
            base = re.sub(r"[^A-Za-z0-9]+", "-", os.fsdecode(os.path.basename(root))).strip("-")[:40]
            name = f"{base or 'root'}-{suffix}"
        if not _NAME.fullmatch(name):
            raise MpingestError(f"job name {name!r}: use up to 64 letters, digits, dots, dashes and underscores")
        return cls(name, root, target)

    @classmethod
    def from_json(cls, content: Any) -> JobSpec:
        """The inverse of ``to_json``. Raises KeyError, TypeError."""
        return cls(str(content["name"]), os.fsencode(content["root"]), str(content["target"]))

    def to_json(self) -> dict[str, str]:
        """As kept in job.json; the root's bytes are text with surrogates."""
        return {"name": self.name, "root": os.fsdecode(self.root), "target": self.target}


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run is to go.

    operation, resource, user: for entries whose handler doesn't say.  handler: path of the script.
    append_json: what the handler finds in ``meta["append_json"]``.
    checksum: the catalog is to have a checksum of each object.
    bundle: when small new files are put together.  preserve_mtime: objects that are put get their files' modify time.
    excludes: what is not looked at.
    register_special: register sockets, pipes and devices, too.  follow: which links are followed.
    stat_threads: stats in flight at most, per rank.  max_stat_rate: stats a second of all ranks together.
    sessions: requests in flight of all ranks together; None to find out how many are best.
    sessions_per_rank: the same for each rank that works; None where ``sessions`` says.
    max_connections, max_requests_rate, max_bytes_rate: of all ranks together: connections, requests and bytes a second.
    slice_size: entries in a slice at most.
    zone_timeout: seconds to wait for a zone that doesn't answer.
    idle_seconds: after which a connection that nobody uses is closed.
    stall_timeout: seconds without any progress on a rank after which the run ends; None for never.
    time_limits: when it ends by itself.
    ignore_cache: diff against nothing.  initial_ingest: don't look what is in the collections.
    allow_empty: an empty root is meant.
    detect_renames: look whether what is gone is there under another name, before anything new is ingested.
    settle: seconds for which a file is left alone after it was written; 0 for none.
    ready_file: name of a file without which directories at the top of the root are not taken; None to take all.
    after_ingest: what becomes of files whose ingest is verified.
    delete_mode: what to do about objects whose files are gone, where the handler doesn't say.
    delete_unknown: the same about objects that never had a file.
    max_delete: entries that may be deleted; None for half of the checkpoint.
    log: where each rank's log goes, and what of it.  profile: where that of timings goes; None for nowhere.
    progress: show on stderr how far the run is.
    """

    operation: Operation
    resource: str | None = None
    user: User | None = None
    handler: str | None = None
    append_json: Any = None
    checksum: bool = False
    bundle: BundleMode = BundleMode.AUTO
    preserve_mtime: bool = False
    excludes: Excludes = field(default_factory=Excludes)
    register_special: bool = False
    follow: FollowLinks = FollowLinks.NO
    stat_threads: int = 8
    max_stat_rate: float = math.inf
    sessions: int | None = None
    sessions_per_rank: int | None = None
    max_connections: int = 32
    max_requests_rate: float = math.inf
    max_bytes_rate: float = math.inf
    slice_size: int = 1000
    zone_timeout: float = 900.0
    idle_seconds: float = 60.0
    stall_timeout: float | None = 900.0
    time_limits: TimeLimits = field(default_factory=TimeLimits)
    ignore_cache: bool = False
    initial_ingest: bool = False
    allow_empty: bool = False
    detect_renames: bool = False
    settle: float = 0.0
    ready_file: bytes | None = None
    after_ingest: Disposal = field(default_factory=Disposal)
    delete_mode: DeleteMode = DeleteMode.DO_NOT_DELETE
    delete_unknown: bool = False
    max_delete: int | None = None
    log: LogOptions = field(default_factory=LogOptions)
    profile: LogOptions | None = None
    progress: bool = False

    @property
    def way(self) -> str:
        """What decides about each entry, in a word."""
        return f"handler {os.path.abspath(self.handler)}" if self.handler else self.operation.name.lower()

    def kept(self) -> dict[str, Any]:
        """What decides about entries, by the names of the options, as kept in summary.json.

        Without ``append_json``: whatever a handler is told may be a secret.
        """
        return {
            "operation": self.operation.name,
            "event_handler": os.path.abspath(self.handler) if self.handler else None,
            "as_user": self.user,
            "exclude_file_type": self.excludes.types,
            "exclude_file_name": self.excludes.file_names,
            "exclude_directory_name": self.excludes.directory_names,
            "special": self.register_special,
            "follow_symlinks": self.follow.value,
        }

    def as_before(self, kept: Mapping[str, Any], given: Collection[str]) -> RunOptions:
        """The same, but as ``kept`` where nothing else is ``given``: names of options."""
        before: dict[str, Any] = {}
        if not {"operation", "event_handler"} & set(given):
            before |= {"operation": Operation[kept["operation"]], "handler": kept["event_handler"]}
        if "as_user" not in given:
            before["user"] = kept["as_user"] and tuple(kept["as_user"])
        if not {"exclude_file_type", "exclude_file_name", "exclude_directory_name"} & set(given):
            before["excludes"] = Excludes(
                tuple(kept["exclude_file_type"]),
                tuple(kept["exclude_file_name"]),
                tuple(kept["exclude_directory_name"]),
            )
        if "special" not in given:
            before["register_special"] = kept["special"]
        if "follow_symlinks" not in given:
            before["follow"] = FollowLinks(kept["follow_symlinks"])
        return replace(self, **before)
