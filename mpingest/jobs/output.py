"""Where the output of a command goes: stdout, whose reader may have seen enough, or a file that appears whole."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, TextIO

from mpingest.errors import ExitCode, MpingestError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STDOUT = 1
_BUFFER = 1 << 20


class OutputClosed(MpingestError):
    """Who reads the output has seen enough."""

    exit_code = ExitCode.DONE


class CannotWrite(MpingestError):
    """The output cannot be written."""


def forgiving(stream: TextIO) -> TextIO:
    """Stdout or stderr, where what nobody reads any more, or has no room, is forgotten: a run does not end for that."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream  # none at all, where it was closed before
    raw = _Forgiving(stream.fileno(), "w", closefd=False)
    buffer = raw if stream.write_through else io.BufferedWriter(raw)
    return io.TextIOWrapper(
        buffer, stream.encoding, stream.errors, line_buffering=stream.line_buffering, write_through=stream.write_through
    )


class _Forgiving(io.FileIO):
    trouble: OSError | None = None

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _forget(self.fileno())
            if not isinstance(error, BrokenPipeError):
                self.trouble = error
            return super().write(data)


def check_written() -> None:
    """Raises CannotWrite, once, where stdout had no room for something."""
    stdout: TextIO | None = sys.stdout
    if stdout is None:
        return
    stdout.flush()
    buffer = getattr(stdout, "buffer", None)
    raw = getattr(buffer, "raw", buffer)
    if isinstance(raw, _Forgiving) and raw.trouble:
        error, raw.trouble = raw.trouble, None
        raise CannotWrite(f"stdout: cannot be written: {error.strerror}")


@contextmanager
def until_closed() -> Iterator[None]:
    """Ends the block silently once nobody reads stdout any more."""
    try:
        yield
    except (OutputClosed, BrokenPipeError):
        _forget(_STDOUT)


@contextmanager
def output(path: str | None) -> Iterator[BinaryIO]:
    """A stream to stdout, or to a file that has its name only once the block has ended well.

    What stands there and is no regular file, such as a pipe, is written to as it is. Writing raises OutputClosed, or
    CannotWrite: so does this.
    """
    if path is None:
        with _trouble("stdout"):
            raw = io.FileIO(_STDOUT, "w", closefd=False)
        with _Writer(raw, "stdout") as stream:
            yield stream
        return
    target = os.path.realpath(path)
    in_place = os.path.exists(target) and not os.path.isfile(target)
    temporary = target if in_place else f"{target}.{os.getpid()}.tmp"
    try:
        with _trouble(path):
            raw = io.FileIO(temporary, "w")
        with _Writer(raw, path) as stream:
            yield stream
        if not in_place:
            with _trouble(path):
                os.replace(temporary, target)
    finally:
        if not in_place:
            with suppress(OSError):
                os.unlink(temporary)


def print_lines(lines: Iterable[str]) -> None:
    """Writes lines to stdout, for people as they come. Raises as ``output``."""
    with output(None) as stream:
        for line in lines:
            stream.write(line.encode(errors="backslashreplace") + b"\n")
            if stream.isatty():
                stream.flush()


class _Writer(io.BufferedWriter):
    """Tells what keeps it from writing apart from what else may go wrong meanwhile."""

    def __init__(self, raw: io.FileIO, name: str) -> None:
        super().__init__(raw, _BUFFER)
        self._name = name

    def write(self, data: ReadableBuffer) -> int:
        with _trouble(self._name):
            return super().write(data)

    def flush(self) -> None:
        with _trouble(self._name):
            super().flush()


@contextmanager
def _trouble(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosed(f"nobody reads {name} any more") from error
    except OSError as error:
        raise CannotWrite(f"{name}: cannot be written: {error.strerror}") from error


def _forget(descriptor: int) -> None:
    """What is still to be written there goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
