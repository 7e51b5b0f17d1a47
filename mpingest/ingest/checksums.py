"""Checksums as iRODS writes them: ``sha2:`` and base64, or MD5 in hexadecimal."""

from __future__ import annotations

import base64
import hashlib

from mpingest.ingest.content import Digest, Source, SourceError, open_source

_SHA2_PREFIX = "sha2:"
_READ_SIZE = 1024 * 1024


def sha2(digest: Digest) -> str:
    """A SHA-256 as text."""
    return _SHA2_PREFIX + base64.b64encode(digest.digest()).decode()


def is_sha2(checksum: str) -> bool:
    """Whether it is a SHA-256, and not an MD5."""
    return checksum.startswith(_SHA2_PREFIX)


def is_of(checksum: str, content: bytes) -> bool:
    """Whether some bytes have this checksum."""
    return checksum == (sha2(hashlib.sha256(content)) if is_sha2(checksum) else hashlib.md5(content).hexdigest())


def is_of_source(checksum: str, source: Source) -> bool:
    """Whether what ``source`` still has, which is read, has this checksum."""
    digest = digest_of(source, hashlib.sha256() if is_sha2(checksum) else hashlib.md5())
    return checksum == (sha2(digest) if is_sha2(checksum) else digest.digest().hex())


def is_of_file(checksum: str, path: bytes) -> bool:
    """Whether the content of a file has this checksum; False where the file can't be read."""
    try:
        with open_source(path) as source:
            return is_of_source(checksum, source)
    except SourceError:
        return False


def digest_of(source: Source, digest: Digest, size: int | None = None) -> Digest:
    """The digest, once it took in what is read: the next ``size`` bytes, or all."""
    while size != 0 and (chunk := source.read(_READ_SIZE if size is None else min(size, _READ_SIZE))):
        digest.update(chunk)
        size = None if size is None else size - len(chunk)
    return digest
