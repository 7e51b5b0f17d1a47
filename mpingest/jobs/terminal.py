"""The terminal that stderr leads to, if there is one at its end: mpiexec passes on what rank 0 writes."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import termios
import time
from collections.abc import Iterator

_STDERR = 2
_PATIENCE = 1.0
"""Seconds that a launcher gets to take what is there for it."""
_LAUNCHERS = ("mpiexec", "mpirun", "orterun", "prterun", "prun")
"""How names of programs begin that pass on what ranks of this host write, as it is."""


def terminal_width() -> int | None:
    """Columns of the terminal that stderr leads to, None where it leads to none.

    A launcher gives its ranks pipes, and no terminal of their own: then it is the terminal of the launcher's stderr, as
    long as that runs in the foreground.
    """
    if os.isatty(_STDERR):
        return _width(_STDERR)
    if not _is_pipe(_STDERR):
        return None
    return next((_width_of(pid) for pid in _ancestors() if _name(pid).startswith(_LAUNCHERS)), None)


def wait_until_passed_on(descriptor: int) -> None:
    """Returns once the launcher has taken what was written, at most ``_PATIENCE`` later; what comes next comes after.

    stdout and stderr of a rank are two pipes, which the launcher reads in any order.
    """
    end = time.monotonic() + _PATIENCE
    while _is_pipe(descriptor) and _unread(descriptor) and time.monotonic() < end:
        time.sleep(1e-3)


def _unread(descriptor: int) -> int:
    """Bytes in a pipe; 0 where that is not to be known."""
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _width(descriptor: int) -> int:
    return os.get_terminal_size(descriptor).columns or 80  # pseudo-terminals may have no size


def _width_of(pid: int) -> int | None:
    """Of the terminal of a launcher, which may be started by another one: that decides."""
    try:
        descriptor = os.open(f"/proc/{pid}/fd/{_STDERR}", os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        _parent, group, _session, _terminal, foreground = _stat(pid)[1:6]
        return _width(descriptor) if os.isatty(descriptor) and group == foreground else None
    finally:
        os.close(descriptor)


def _ancestors() -> Iterator[int]:
    """Parent, grandparent and so on, as far as they can be seen."""
    pid = os.getppid()
    while pid > 1:
        yield pid
        pid = int(_stat(pid)[1])


def _name(pid: int) -> str:
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
        return file.read()


def _stat(pid: int) -> list[str]:
    """What the system knows of a process, from its state on (proc_pid_stat(5))."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()
