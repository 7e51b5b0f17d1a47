"""A tar file of many small files, made while it is sent.

Its form is that of GNU tar: servers in a locale without UTF-8 give up at the first name that only a PAX header can
tell, and USTAR has no room for long ones.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mpingest.ingest.checksums import sha2
from mpingest.ingest.content import read_as_scanned
from mpingest.ingest.register import NANOSECONDS
from mpingest.ingest.wire import Streamed

_BLOCK = 512
_END = 2 * _BLOCK
_SEND_SIZE = 1024 * 1024
"""Bytes of small files that are sent together."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file. path: absolute; row: its stat; name: in the archive."""

    path: bytes
    row: np.void
    name: str

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self.row["size"])


@dataclass(slots=True)
class Archive:
    """size: bytes, known before any file is read.

    checksums: whether they are wanted of the members; keep_on: raises where the sending is to end early
    taken: after the sending, the members by their place; one that was not what was scanned is left out
    sums: their SHA-256, where they are wanted; last: the last one with any content, and that
    """

    members: Sequence[Member]
    checksums: bool
    keep_on: Callable[[], None]
    size: int = field(init=False)
    taken: set[int] = field(default_factory=set)
    sums: dict[int, str] = field(default_factory=dict)
    last: tuple[int, bytes] | None = None
    _headers: list[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._headers = [_header(member) for member in self.members]
        files = sum(len(header) + _padded(member.size) for header, member in self._pairs())
        self.size = len(_START) + files + _END

    def stream(self) -> Streamed:
        """The whole archive, read anew each time."""
        return Streamed(self.size, self._chunks())

    def _pairs(self) -> Iterator[tuple[bytes, Member]]:
        return zip(self._headers, self.members, strict=True)

    def _chunks(self) -> Iterator[bytes]:
        self.taken.clear()
        self.sums.clear()
        self.last = None
        waiting, size, left = [_START], len(_START), self.size
        for place, (header, member) in enumerate(self._pairs()):
            content = read_as_scanned(member.path, member.row)
            if content is None:
                continue
            self._note(place, content)
            padding = _padded(len(content)) - len(content)
            waiting += header, content, _ZEROS[:padding]
            size += len(header) + len(content) + padding
            if size >= _SEND_SIZE:
                self.keep_on()
                yield b"".join(waiting)
                left -= size
                waiting, size = [], 0
        yield b"".join(waiting)
        left -= size
        # The end of an archive is made of zeros; so is what stands for files that were left out.
        while left:
            piece = min(left, _SEND_SIZE)
            yield bytes(piece)
            left -= piece

    def _note(self, place: int, content: bytes) -> None:
        self.taken.add(place)
        if content:
            self.last = place, content
        if self.checksums:
            self.sums[place] = sha2(hashlib.sha256(content))


_ZEROS = bytes(_BLOCK)


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _header(member: Member) -> bytes:
    info = tarfile.TarInfo(member.name)
    info.size, info.mode = member.size, 0o600
    info.mtime = max(0, int(member.row["mtime_ns"]) // NANOSECONDS)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8")


def _start() -> bytes:
    """A directory that is there anyway: servers look for other formats in the first bytes, such as "BZh9" of bzip2."""
    info = tarfile.TarInfo(".")
    info.type, info.mode = tarfile.DIRTYPE, 0o700
    return info.tobuf(tarfile.GNU_FORMAT)


_START = _start()
