"""The table that a user means: a file, or the checkpoint of a job."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mpingest.errors import MpingestError
from mpingest.jobs.directory import JobDirectory
from mpingest.manifest.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class Source:
    """Where to read.

    table:    the file; None where it is a job that has no checkpoint yet
    unmerged: segments of a job that no merge has taken in yet
    job:      its name, "" where a file was named
    """

    table: Path | None
    unmerged: Sequence[Path] = ()
    job: str = ""

    @classmethod
    def named(cls, name: str, jobs_directory: str) -> Source:
        """A file of that path or, where there is none, a job of that name. Raises MpingestError where it is neither."""
        if os.path.exists(name) and not os.path.isdir(name):
            return cls(Path(name))
        if "/" in name:
            problem = "is a directory, not a manifest" if os.path.isdir(name) else "no such file"
            raise MpingestError(f"{name}: {problem}")
        try:
            job = JobDirectory.existing(jobs_directory, name)
        except MpingestError as error:
            raise MpingestError(f"{name}: no such file, and {error}") from error
        table = Path(job.checkpoint)
        with reading(job.path):
            return cls(table if table.exists() else None, job.segments(), job.name)

    @contextmanager
    def open(self) -> Iterator[Checkpoint]:
        """The table. Raises MpingestError, also where it can't be read on within the block."""
        if self.table is None:
            raise MpingestError(f"job {self.job} has no checkpoint yet{self._merge_advice()}")
        with reading(self.table), Checkpoint.open(self.table) as checkpoint:
            yield checkpoint

    def check_output(self, path: str | None) -> None:
        """Raises MpingestError where what is read would be overwritten."""
        if path is not None and self.table is not None and os.path.exists(path) and self.table.samefile(path):
            raise MpingestError(f"output {path}: is what is to be read; choose another name")

    def note(self) -> str:
        """What is left out of the table; "" if nothing is."""
        return f"job {self.job}: not all is in its checkpoint{self._merge_advice()}" if self.unmerged else ""

    def _merge_advice(self) -> str:
        if not self.unmerged:
            return ""
        count = len(self.unmerged)
        which = "1 segment waits" if count == 1 else f"{count:,} segments wait"
        return f"; {which} to be merged: the next run does it, or mpingest manifest merge {self.job}"


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """What the system refuses within the block is MpingestError."""
    try:
        yield
    except OSError as error:
        raise MpingestError(f"{path}: cannot be read: {error.strerror or error}") from error


def relative_path(root: bytes, path: str) -> bytes:
    """A path that is absolute or relative to the root, as a table has it. Raises MpingestError where it leads out."""
    wanted = os.path.normpath(os.path.join(root, os.fsencode(path)))
    for candidate in (wanted, os.path.join(os.path.realpath(os.path.dirname(wanted)), os.path.basename(wanted))):
        relative = os.path.relpath(candidate, root)
        if relative == b".":
            return b""
        if relative != b".." and not relative.startswith(b"../"):
            return relative
    raise MpingestError(f"{path}: is not below the root {os.fsdecode(root)}")


def recorded_below(table: Checkpoint, path: str) -> bytes:
    """A directory, as ``relative_path``. Raises MpingestError where nothing is recorded at or below it."""
    relative = relative_path(table.attributes.root, path)
    if relative and next(table.subtree(relative), None) is None:
        raise MpingestError(f"{path}: no directory of that path is recorded")
    return relative
