"""Requests and their replies over a connection that python-irodsclient made and logged in.

The framing is that of the XML protocol (irodsProt 1): four bytes of header length, an XML header, then message,
error and byte stream in that order. Statuses stay numbers: the client's exceptions know only some of them.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_HEADER = (
    "<MsgHeader_PI><type>RODS_API_REQ</type><msgLen>{}</msgLen><errorLen>0</errorLen>"
    "<bsLen>{}</bsLen><intInfo>{}</intInfo></MsgHeader_PI>"
)
_REPLY_HEADER = re.compile(
    rb"<MsgHeader_PI>\s*<type>RODS_API_REPLY</type>\s*<msgLen>(\d+)</msgLen>\s*<errorLen>(\d+)</errorLen>\s*"
    rb"<bsLen>(\d+)</bsLen>\s*<intInfo>(-?\d+)</intInfo>\s*</MsgHeader_PI>"
)
_ERROR_TEXT = re.compile(rb"<msg>(.*?)</msg>", re.DOTALL)
_MAX_HEADER = 1088
_RECEIVE_SIZE = 65536

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
_ESCAPED = re.compile("[&<>\"']")
_ENTITIES = re.compile("&(amp|lt|gt|quot|apos);")
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


class ProtocolError(OSError):
    """The peer sent what isn't a reply; the connection is unusable."""


@dataclass(frozen=True, slots=True)
class Reply:
    """status: >= 0 success, < 0 an iRODS error number; message: XML; error_text: what the server says of the error."""

    status: int
    message: bytes
    error_text: str


@dataclass(frozen=True, slots=True)
class Streamed:
    """A byte stream that is made while it is sent. size: bytes of all chunks together."""

    size: int
    chunks: Iterable[bytes | memoryview]


def escape(text: str) -> str:
    """Text for an element of a message."""
    return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], text)


def unescape(text: str) -> str:
    """The inverse of ``escape``."""
    return _ENTITIES.sub(lambda match: _CHARACTERS[match[1]], text)


def pairs(keywords: dict[str, str]) -> str:
    """A KeyValPair_PI."""
    keys = "".join(f"<keyWord>{key}</keyWord>" for key in keywords)
    values = "".join(f"<svalue>{escape(value)}</svalue>" for value in keywords.values())
    return f"<KeyValPair_PI><ssLen>{len(keywords)}</ssLen>{keys}{values}</KeyValPair_PI>"


def exchange(connection: Any, api: int, message: str, stream: bytes | Streamed = b"") -> Reply:
    """Send one request and read its reply.

    Raises OSError where the connection breaks, UnicodeEncodeError where ``message`` can't be sent as UTF-8, and what
    the making of a stream raises, where the rest is missing.
    """
    streamed = stream if isinstance(stream, Streamed) else Streamed(len(stream), (stream,) if stream else ())
    channel: socket.socket = connection.socket
    channel.sendall(_framed(api, message, streamed.size))
    for chunk in streamed.chunks:
        channel.sendall(chunk)
    return _receive(channel, bytearray())


def exchange_all(connection: Any, api: int, messages: Sequence[str]) -> Iterator[Reply]:
    """Send requests one right after another, and give their replies as they come. Raises what ``exchange`` does.

    messages: no more than fit in what the peer's system keeps for it, for nobody reads while they are being sent
    """
    channel: socket.socket = connection.socket
    channel.sendall(b"".join(_framed(api, message, 0) for message in messages))
    received = bytearray()
    for _ in messages:
        yield _receive(channel, received)


def _framed(api: int, message: str, stream_size: int) -> bytes:
    body = message.encode()
    header = _HEADER.format(len(body), stream_size, api).encode()
    return len(header).to_bytes(4, "big") + header + body


def _receive(channel: socket.socket, received: bytearray) -> Reply:
    """The next reply. received: what has come and is not read yet; the reply is taken out of it."""
    _fill(channel, received, 4)
    header_end = 4 + int.from_bytes(received[:4], "big")
    if header_end > 4 + _MAX_HEADER:
        raise ProtocolError(f"reply with a header of {header_end - 4} bytes")
    _fill(channel, received, header_end)
    match = _REPLY_HEADER.match(received, 4, header_end)
    if match is None:
        raise ProtocolError(f"not an API reply: {bytes(received[4:header_end])!r}")
    message_size, error_size, stream_size, status = map(int, match.groups())
    message_end = header_end + message_size
    end = message_end + error_size + stream_size
    _fill(channel, received, end)
    error = bytes(received[message_end : message_end + error_size])
    said = _ERROR_TEXT.search(error)
    text = unescape(said[1].decode(errors="replace")) if said else ""
    reply = Reply(status, bytes(received[header_end:message_end]), text)
    del received[:end]
    return reply


def _fill(channel: socket.socket, received: bytearray, size: int) -> None:
    while len(received) < size:
        data = channel.recv(max(_RECEIVE_SIZE, size - len(received)))
        if not data:
            raise ProtocolError("the server closed the connection")
        received += data
