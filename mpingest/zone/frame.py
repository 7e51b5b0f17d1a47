"""Frames: a length, an XML header, then message, error and byte stream in that order."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from typing import BinaryIO

MAX_HEADER = 1088
MAX_MESSAGE = 64 << 20
MAX_STREAM = 1 << 30

_HEADER = re.compile(
    rb"\s*<MsgHeader_PI>\s*<type>(\w{1,128})</type>\s*<msgLen>(\d{1,10})</msgLen>\s*<errorLen>(\d{1,10})</errorLen>\s*"
    rb"<bsLen>(\d{1,10})</bsLen>\s*<intInfo>(-?\d{1,10})</intInfo>\s*</MsgHeader_PI>\s*\0*"
)


class FrameError(Exception):
    """The peer doesn't speak the protocol: nothing can be read from it any more."""


@dataclass(frozen=True, slots=True)
class Frame:
    """kind: RODS_CONNECT, RODS_API_REQ, …; info: API number or status; message, error: XML; stream: raw bytes."""

    kind: str
    info: int = 0
    message: bytes = b""
    error: bytes = b""
    stream: bytes = b""


def read_frame(reader: BinaryIO) -> Frame | None:
    """The next frame, None where the peer closed the connection. Raises FrameError."""
    prefix = reader.read(4)
    if not prefix:
        return None
    if len(prefix) < 4:
        raise FrameError("truncated header length")
    size = int.from_bytes(prefix, "big")
    if not 0 < size <= MAX_HEADER:
        raise FrameError(f"header of {size} bytes")
    match = _HEADER.fullmatch(_read(reader, size))
    if match is None:
        raise FrameError("malformed header")
    message, error, stream = int(match[2]), int(match[3]), int(match[4])
    if message > MAX_MESSAGE or error > MAX_MESSAGE or stream > MAX_STREAM:
        raise FrameError("oversized body")
    return Frame(match[1].decode(), int(match[5]), _read(reader, message), _read(reader, error), _read(reader, stream))


def write_frame(channel: socket.socket, frame: Frame) -> None:
    """Send a frame whole."""
    header = (
        f"<MsgHeader_PI>\n<type>{frame.kind}</type>\n<msgLen>{len(frame.message)}</msgLen>\n"
        f"<errorLen>{len(frame.error)}</errorLen>\n<bsLen>{len(frame.stream)}</bsLen>\n"
        f"<intInfo>{frame.info}</intInfo>\n</MsgHeader_PI>\n"
    ).encode()
    channel.sendall(b"".join((len(header).to_bytes(4, "big"), header, frame.message, frame.error, frame.stream)))


def _read(reader: BinaryIO, size: int) -> bytes:
    data = reader.read(size) if size else b""
    if len(data) != size:
        raise FrameError("truncated body")
    return data
