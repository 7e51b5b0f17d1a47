"""Taking a file away from where it was ingested: moving or deleting it, and nothing but it.

Whatever others do to the tree meanwhile, no symbolic link is followed: directories are opened one below the other from
the top, and names looked up in them. What goes is just what a recorded lstat says.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import BinaryIO

import numpy as np

from mpingest.scan.entries import entry_row

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
NO_LINK = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Why there can't be a hard link, though a copy may do."""
_PIECE = 1024 * 1024


class After(Enum):
    """What becomes of a file once its ingest is verified."""

    KEEP = "keep"
    MOVE = "move"
    DELETE = "delete"


class Stays(Exception):
    """The file can't be taken away; the message says why."""


class Changed(Exception):
    """It is no longer the file that was recorded."""


@contextmanager
def opened_below(top: bytes, relative: bytes) -> Iterator[int]:
    """A descriptor of a directory, reached from ``top`` through no symbolic link. Raises OSError."""
    with _opened(os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), relative, None) as directory:
        yield directory


@contextmanager
def _opened(top: int, relative: bytes, model: int | None) -> Iterator[int]:
    """Likewise, with ``top`` open; it is closed. model: a directory; what ``top`` lacks is made as it is there."""
    with ExitStack() as stack:
        stack.callback(os.close, top)
        for name in filter(None, relative.split(b"/")):
            if model is not None:
                above, model = model, os.open(name, _DIRECTORY, dir_fd=model)
                stack.callback(os.close, model)
                _make_alike(name, top, stat.S_IMODE(os.stat(name, dir_fd=above).st_mode))
            top = os.open(name, _DIRECTORY, dir_fd=top)
            stack.callback(os.close, top)
        yield top


def _make_alike(name: bytes, directory: int, mode: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=directory)
    except FileExistsError:
        return
    os.chmod(name, mode | stat.S_IRWXU, dir_fd=directory)


@contextmanager
def opened_as_recorded(directory: int, name: bytes, row: np.void) -> Iterator[BinaryIO]:
    """The regular file of the lstat ``row``. Raises Changed where it isn't that, on entering or leaving; OSError."""
    with os.fdopen(os.open(name, _FILE, dir_fd=directory), "rb") as file:
        check_same(os.fstat(file.fileno()), row)
        yield file
        check_same(os.fstat(file.fileno()), row)


def check_same(status: os.stat_result, row: np.void) -> None:
    """Raises Changed unless ``status`` is that of the regular file in ``row``, not written and not touched since."""
    now = entry_row(status)
    same = all(now[name] == row[name] for name in ("inode", "size", "mtime_ns", "ctime_ns"))
    if not (stat.S_ISREG(status.st_mode) and same):
        raise Changed


@dataclass(frozen=True, slots=True)
class Disposal:
    """How files go. directory: absolute, where to with MOVE; files keep their paths, relative to the root."""

    after: After = After.KEEP
    directory: bytes = b""

    @property
    def takes_away(self) -> bool:
        """Whether any file goes."""
        return self.after is not After.KEEP

    def __str__(self) -> str:
        """As its option is given."""
        where = f":{os.fsdecode(self.directory)}" if self.directory else ""
        return f"{self.after.value}{where}"

    def take_away(self, root: bytes, relative: bytes, source: int, name: bytes, row: np.void) -> None:
        """Have a file gone from the directory ``relative``, which is open as ``source``.

        row: its lstat; a file that is gone already is none of our business. Raises Changed, Stays.
        """
        verb = "deleted" if self.after is After.DELETE else "moved"
        try:
            check_same(os.lstat(name, dir_fd=source), row)
            if self.after is After.MOVE:
                with self._opened_target(root, relative) as target:
                    _copy_or_link(source, target, name, row)
            os.unlink(name, dir_fd=source)
        except FileNotFoundError as error:
            if self.after is After.MOVE and not os.path.isdir(self.directory):
                raise Stays(f"cannot be moved: {os.fsdecode(self.directory)} is not there") from error
        except OSError as error:
            raise Stays(f"cannot be {verb}: {error.strerror}") from error

    @contextmanager
    def _opened_target(self, root: bytes, relative: bytes) -> Iterator[int]:
        model = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            top = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with _opened(top, relative, model) as target:
                yield target
        finally:
            os.close(model)


def _copy_or_link(source: int, target: int, name: bytes, row: np.void) -> None:
    """Have the file in another directory, too, whole and durable, in the place of no other.

    Raises Changed, Stays, OSError.
    """
    try:
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        _check_is_there(source, target, name, row)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        _copy(source, target, name, row)
    else:
        _check_linked(target, name, row)
        os.fsync(target)


def _check_linked(target: int, name: bytes, row: np.void) -> None:
    """What was linked may have taken the file's place since it was looked at; ctime is that of the link."""
    status = os.lstat(name, dir_fd=target)
    now = entry_row(status)
    if not stat.S_ISREG(status.st_mode) or any(now[key] != row[key] for key in ("inode", "size", "mtime_ns")):
        os.unlink(name, dir_fd=target)
        raise Changed


def _check_is_there(source: int, target: int, name: bytes, row: np.void) -> None:
    """Where a move was cut off before the file went, nothing is left to do. Raises Stays where that is another file."""
    with opened_as_recorded(source, name, row) as ours:
        try:
            with os.fdopen(os.open(name, _FILE, dir_fd=target), "rb") as theirs:
                if _is_same(ours, theirs):
                    os.fsync(theirs.fileno())
                    return
        except OSError:
            pass
    raise Stays("cannot be moved: another file of that name is there already")


def _is_same(one: BinaryIO, other: BinaryIO) -> bool:
    statuses = [os.fstat(file.fileno()) for file in (one, other)]
    if not stat.S_ISREG(statuses[1].st_mode) or statuses[0].st_size != statuses[1].st_size:
        return False
    if os.path.samestat(*statuses):
        return True
    while piece := one.read(_PIECE):
        if other.read(len(piece)) != piece:
            return False
    return True


def _copy(source: int, target: int, name: bytes, row: np.void) -> None:
    """A copy with mode, owner (where we may) and mtime, under another name until it is whole."""
    part = b".mpingest-part-%d" % int(row["inode"])  # of a run that was killed, it is made anew
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=target)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
    try:
        with os.fdopen(descriptor, "wb") as copy, opened_as_recorded(source, name, row) as file:
            shutil.copyfileobj(file, copy, _PIECE)
            copy.flush()
            status = os.fstat(file.fileno())
            with suppress(PermissionError):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
            os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(descriptor)
        _publish(target, part, name, source, row)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=target)
    os.fsync(target)


def _publish(target: int, part: bytes, name: bytes, source: int, row: np.void) -> None:
    """Give the copy its name, unless that is taken."""
    try:
        os.link(part, name, src_dir_fd=target, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        _check_is_there(source, target, name, row)
    except OSError as error:
        if error.errno not in NO_LINK:
            raise
        # Without hard links a look has to do: no other rank has the file, and the directory is for what we move.
        with suppress(FileNotFoundError):
            os.lstat(name, dir_fd=target)
            _check_is_there(source, target, name, row)
            return
        os.rename(part, name, src_dir_fd=target, dst_dir_fd=target)
