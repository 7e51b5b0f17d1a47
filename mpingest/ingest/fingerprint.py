"""The checksum of a file, as iRODS would write it."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable

from mpingest.ingest.content import Digest, SourceError, open_source

_READ_SIZE = 4 * 1024 * 1024


class _Adler32:
    def __init__(self) -> None:
        self._value = zlib.adler32(b"")

    def update(self, data: bytes, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


_SCHEMES: dict[str, tuple[Callable[[], Digest], Callable[[bytes], str]]] = {
    "": (hashlib.md5, bytes.hex),
    "sha2:": (hashlib.sha256, _base64),
    "sha512:": (hashlib.sha512, _base64),
    "sha1:": (hashlib.sha1, _base64),
    "adler32:": (_Adler32, bytes.hex),
}
"""By what a checksum begins with, as plugins of the iRODS server write it."""


def checksum_like(checksum: str, path: bytes, note: Callable[[int], None]) -> str:
    """The checksum of the file's content in the scheme of another.

    note: called with the bytes of each piece that was read

    Raises SourceError, also where the scheme is none that iRODS has.
    """
    name, colon, _ = checksum.rpartition(":")
    scheme = name + colon
    if scheme not in _SCHEMES:
        raise SourceError(f"the catalog has a checksum of an unknown kind: {checksum}")
    make, write = _SCHEMES[scheme]
    digest = make()
    with open_source(path) as source:
        while data := source.read(_READ_SIZE):
            digest.update(data)
            note(len(data))
    return scheme + write(digest.digest())
