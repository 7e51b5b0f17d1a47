"""Checksums of files in the schemes of iRODS."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib
from pathlib import Path

import pytest

from mpingest.ingest.checksums import checksum_like
from mpingest.ingest.content import SourceError, Vanished

CONTENT = bytes(range(256)) * 40_000


def encoded(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        ("d41d8cd98f00b204e9800998ecf8427e", hashlib.md5(CONTENT).hexdigest()),
        ("sha2:x", "sha2:" + encoded(hashlib.sha256(CONTENT).digest())),
        ("sha512:x", "sha512:" + encoded(hashlib.sha512(CONTENT).digest())),
        ("sha1:x", "sha1:" + encoded(hashlib.sha1(CONTENT).digest())),
        ("adler32:00000001", f"adler32:{zlib.adler32(CONTENT):08x}"),
    ],
)
def test_each_scheme(tmp_path: Path, like: str, expected: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    read: list[int] = []
    assert checksum_like(like, os.fsencode(path), read.append) == expected
    assert sum(read) == len(CONTENT)
    assert len(read) > 1


def test_what_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(Vanished):
        checksum_like("sha2:x", os.fsencode(tmp_path / "gone"), lambda _: None)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SourceError, match="unknown kind: blake3:x"):
        checksum_like("blake3:x", os.fsencode(tmp_path / "file"), lambda _: None)
