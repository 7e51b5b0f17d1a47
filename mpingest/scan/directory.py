"""One directory read into entry batches while its reading goes on.

Reading names and stat'ing them are apart, so that one rank may do the one and another the other:
``DirectoryScan.names`` gives slices of names, ``stat_names`` makes a ``Portion`` of each. ``DirectoryScan.portions``
does both.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
import numpy.typing as npt

from mpingest.scan.backend import NameReader
from mpingest.scan.entries import TYPE_BITS, EntryBatch
from mpingest.scan.excludes import TYPE_SHIFT, Excludes, type_word
from mpingest.scan.names import DT_UNKNOWN, NameSlice
from mpingest.scan.pool import StatPool

NO_EXCLUDES = Excludes()


@dataclass(frozen=True, slots=True)
class ScanError:
    """A name that could not be stat'ed. ``name`` is empty where the reading of the directory itself broke off."""

    name: bytes
    error: OSError


@dataclass(frozen=True, slots=True)
class Portion:
    """Part of a directory. A name that vanished between reading and stat is simply not there.

    entries:  what was stat'ed
    left_out: names that are there but not in ``entries``: they are excluded, or could not be stat'ed
    errors:   why those that could not be stat'ed could not
    excluded: how many were excluded, by the word for their type (see ``type_word``)
    """

    entries: EntryBatch
    left_out: list[bytes] = field(default_factory=list)
    errors: list[ScanError] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)


def open_directory(path: bytes) -> int:
    """A file descriptor of the directory ``path``, which is no symbolic link. Raises OSError."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def stat_names(
    fd: int,
    path: bytes,
    names: NameSlice,
    pool: StatPool,
    *,
    excludes: Excludes = NO_EXCLUDES,
    follow_links: bool = False,
) -> Portion:
    """What the names of the open directory ``fd`` stand for.

    path:         its absolute path, for ``excludes`` and for who asks what the pool is at
    follow_links: as in ``DirectoryScan``

    Raises PoolClosed.
    """
    if not excludes:
        return _portion(fd, path, names, pool, follow_links)
    excluded = excludes.among(path, names.names(), names.types)
    if not excluded.any():
        return _without_unknown(_portion(fd, path, names, pool, follow_links), path, names, excludes)
    out, kept = names.select(excluded), names.select(~excluded)
    portion = _without_unknown(_portion(fd, path, kept, pool, follow_links), path, kept, excludes)
    return _leave_out(portion, out.names(), out.types)


def _portion(fd: int, path: bytes, names: NameSlice, pool: StatPool, follow_links: bool) -> Portion:
    stats = pool.stat(fd, path, names, follow_links)
    entries = EntryBatch(names.blob, names.offsets, stats.rows)
    if not stats.failed:
        return Portion(entries)
    failed = np.flatnonzero(stats.errnos)
    errors = [
        ScanError(names.name(index), OSError(number, os.strerror(number), os.path.join(path, names.name(index))))
        for index, number in zip(failed.tolist(), stats.errnos[failed].tolist(), strict=True)
        if number != errno.ENOENT
    ]
    return Portion(entries.select(stats.errnos == 0), [error.name for error in errors], errors)


def _without_unknown(portion: Portion, path: bytes, names: NameSlice, excludes: Excludes) -> Portion:
    """The portion of ``names`` without what its stat shows to be excluded, where d_type didn't tell."""
    if (names.types != DT_UNKNOWN).all():
        return portion
    entries = portion.entries
    types = ((entries.rows["mode"] & TYPE_BITS) >> TYPE_SHIFT).astype(np.uint8)
    excluded = excludes.among(path, entries.names(), types)
    if not excluded.any():
        return portion
    kept = Portion(entries.select(~excluded), portion.left_out, portion.errors)
    return _leave_out(kept, entries.select(excluded).names(), types[excluded])


def _leave_out(portion: Portion, names: list[bytes], types: npt.NDArray[np.uint8]) -> Portion:
    excluded = portion.excluded + Counter(map(type_word, types.tolist()))
    return Portion(portion.entries, portion.left_out + names, portion.errors, excluded)


@dataclass(slots=True)
class DirectoryScan:
    """The open directory ``path`` (absolute where something is excluded).

    ``follow_links`` describes a symbolic link to a regular file by its target (size, mtime, ctime, inode), under
    the mode of the link: that is what a put sends, so that is what must be seen to change.

    Raises OSError where the directory can't be opened. ``errors`` and ``excluded`` (see ``Portion``) grow while
    portions are read.

    real_path: what ``path`` leads to, where it is a link that is followed
    """

    path: bytes
    follow_links: bool = False
    excludes: Excludes = NO_EXCLUDES
    pool: StatPool = field(default_factory=StatPool)
    errors: list[ScanError] = field(default_factory=list)
    excluded: Counter[str] = field(default_factory=Counter)
    real_path: bytes = b""
    _fd: int = -1

    def __enter__(self) -> DirectoryScan:
        self._fd = open_directory(self.real_path or self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)
        self._fd = -1

    def names(self, size: int) -> Iterator[NameSlice]:
        """All names, excluded ones too, at most ``size`` at a time, in the order of the directory.

        Reads on only when asked to. An error that ends the reading goes to ``errors``.
        """
        reader = NameReader(self._fd, bool(self.excludes))
        try:
            while True:
                blob, offsets, types = reader.read(size)
                if not types:
                    return
                yield NameSlice(blob, np.frombuffer(offsets, np.uint32), np.frombuffer(types, np.uint8))
        except OSError as error:
            self.errors.append(ScanError(b"", error))
        finally:
            reader.close()

    def stat(self, names: NameSlice) -> Portion:
        """What names of this directory stand for. Raises PoolClosed."""
        portion = stat_names(
            self._fd, self.path, names, self.pool, excludes=self.excludes, follow_links=self.follow_links
        )
        self.errors += portion.errors
        if portion.excluded:
            self.excluded += portion.excluded
        return portion

    def portions(self, size: int) -> Iterator[Portion]:
        """Portions of at most ``size`` names each, in the order of the directory. Raises PoolClosed."""
        return map(self.stat, self.names(size))
