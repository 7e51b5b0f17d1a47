"""One directory read into entry batches while its reading goes on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

from mpingest.scan.entries import EntryBatch, stat_row


@dataclass(frozen=True, slots=True)
class ScanError:
    """A name that could not be stat'ed. ``name`` is empty where the reading of the directory itself broke off."""

    name: bytes
    error: OSError


@dataclass(slots=True)
class DirectoryScan:
    """The open directory ``path``.

    ``follow_links`` describes a symbolic link to a regular file by its target (size, mtime, ctime, inode), under
    the mode of the link: that is what a put sends, so that is what must be seen to change.

    Raises OSError where the directory can't be opened. ``errors`` grows while slices are read; a name that
    vanished between reading and stat is simply not there.
    """

    path: bytes
    follow_links: bool = False
    errors: list[ScanError] = field(default_factory=list)
    _fd: int = -1

    def __enter__(self) -> DirectoryScan:
        self._fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        self._fd = -1

    def slices(self, size: int) -> Iterator[EntryBatch]:
        """Batches of at most ``size`` entries, in the order of the directory."""
        names: list[bytes] = []
        rows: list[tuple[int, ...]] = []
        try:
            with os.scandir(self._fd) as entries:
                for entry in entries:
                    row = self._stat(entry)
                    if row is None:
                        continue
                    names.append(os.fsencode(entry.name))
                    rows.append(row)
                    if len(names) == size:
                        yield EntryBatch.build(names, rows)
                        names, rows = [], []
        except OSError as error:
            self.errors.append(ScanError(b"", error))
        if names:
            yield EntryBatch.build(names, rows)

    def _stat(self, entry: os.DirEntry[str]) -> tuple[int, ...] | None:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            self.errors.append(ScanError(os.fsencode(entry.name), error))
            return None
        if self.follow_links and stat.S_ISLNK(status.st_mode):
            return self._link_row(entry.name, status)
        return stat_row(status)

    def _link_row(self, name: str, link: os.stat_result) -> tuple[int, ...]:
        try:
            target = os.stat(name, dir_fd=self._fd)
        except OSError:
            return stat_row(link)
        if not stat.S_ISREG(target.st_mode):
            return stat_row(link)
        return (link.st_mode, *stat_row(target)[1:])
