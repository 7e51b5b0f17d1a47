"""Checksums as iRODS writes them: the name of the scheme and base64, or plain MD5 in hexadecimal."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from mpingest.ingest.content import Digest, Source, SourceError, open_source

_SHA2_PREFIX = "sha2:"
_READ_SIZE = 1024 * 1024


class _Adler32:
    def __init__(self) -> None:
        self._value = zlib.adler32(b"")

    def update(self, data: bytes, /) -> None:
        self._value = zlib.adler32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@dataclass(frozen=True, slots=True)
class _Scheme:
    """prefix: what a checksum begins with; write: the rest of it, from the digest."""

    prefix: str
    make: Callable[[], Digest]
    write: Callable[[bytes], str]

    def text(self, digest: Digest) -> str:
        return self.prefix + self.write(digest.digest())


_SCHEMES = {
    scheme.prefix: scheme
    for scheme in (
        _Scheme("", hashlib.md5, bytes.hex),
        _Scheme(_SHA2_PREFIX, hashlib.sha256, _base64),
        _Scheme("sha512:", hashlib.sha512, _base64),
        _Scheme("sha1:", hashlib.sha1, _base64),
        _Scheme("adler32:", _Adler32, bytes.hex),
    )
}
"""As plugins of the iRODS server write them."""


def _scheme_of(checksum: str) -> _Scheme | None:
    """None where it is none that iRODS has."""
    name, colon, _ = checksum.rpartition(":")
    return _SCHEMES.get(name + colon)


def sha2(digest: Digest) -> str:
    """A SHA-256 as text."""
    return _SCHEMES[_SHA2_PREFIX].text(digest)


def is_sha2(checksum: str) -> bool:
    """Whether it is a SHA-256, and not an MD5."""
    return checksum.startswith(_SHA2_PREFIX)


def is_of(checksum: str, content: bytes) -> bool:
    """Whether some bytes have this checksum; False where its kind is unknown."""
    if (scheme := _scheme_of(checksum)) is None:
        return False
    digest = scheme.make()
    digest.update(content)
    return checksum == scheme.text(digest)


def is_of_source(checksum: str, source: Source, note: Callable[[int], None] | None = None) -> bool:
    """Whether what ``source`` still has, which is read, has this checksum; False where its kind is unknown.

    note: as in ``digest_of``
    """
    scheme = _scheme_of(checksum)
    return scheme is not None and checksum == scheme.text(digest_of(source, scheme.make(), note=note))


def is_of_file(checksum: str, path: bytes) -> bool:
    """Whether the content of a file has this checksum; False where the file can't be read."""
    try:
        with open_source(path) as source:
            return is_of_source(checksum, source)
    except SourceError:
        return False


def checksum_like(checksum: str, path: bytes, note: Callable[[int], None]) -> str:
    """The checksum of the file's content in the scheme of another.

    note: called with the bytes of each piece that was read

    Raises SourceError, also where the scheme is none that iRODS has.
    """
    if (scheme := _scheme_of(checksum)) is None:
        raise SourceError(f"the catalog has a checksum of an unknown kind: {checksum}")
    with open_source(path) as source:
        return scheme.text(digest_of(source, scheme.make(), note=note))


def digest_of(
    source: Source, digest: Digest, size: int | None = None, note: Callable[[int], None] | None = None
) -> Digest:
    """The digest, once it took in what is read: the next ``size`` bytes, or all.

    note: called with the bytes of each piece that was read
    """
    while size != 0 and (chunk := source.read(_READ_SIZE if size is None else min(size, _READ_SIZE))):
        digest.update(chunk)
        size = None if size is None else size - len(chunk)
        if note is not None:
            note(len(chunk))
    return digest
