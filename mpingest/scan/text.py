"""Paths as text on one line, and back as bytes: what listings and exports share."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PLAIN = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'",\\')
_ESCAPED = re.compile(rb"[\x00-\x1f\x7f\\]")


def is_plain(text: bytes) -> bool:
    """Whether bytes stand for themselves in every text format: printable ASCII but for quote, comma and backslash."""
    return not text.translate(None, _PLAIN)


def escaped(path: bytes) -> str:
    r"""A path as one line of valid UTF-8 that loses nothing.

    A backslash is written ``\\``, a control character or a byte that is not UTF-8 ``\xHH``.
    """
    return _ESCAPED.sub(_escape, path).decode(errors="backslashreplace")


def csv_fields(paths: Sequence[bytes], *, plain: bool) -> Sequence[bytes]:
    """Each path ``escaped`` as a field of CSV (RFC 4180). plain: all of them are known to be plain."""
    return paths if plain else [_csv_field(path) for path in paths]


def paths0(paths: Sequence[bytes]) -> bytes:
    """Paths as they are, each followed by NUL."""
    return b"\0".join(paths) + b"\0" if paths else b""


def _csv_field(path: bytes) -> bytes:
    text = escaped(path).encode()
    return b'"' + text.replace(b'"', b'""') + b'"' if b'"' in text or b"," in text else text


def _escape(match: re.Match[bytes]) -> bytes:
    return b"\\\\" if match[0] == b"\\" else b"\\x%02x" % match[0][0]
