"""The thin request layer's framing, against a socket that answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpingest.ingest.wire import ProtocolError, Reply, escape, exchange, exchange_all, pairs, unescape


def reply(status: int, message: bytes = b"", error: bytes = b"") -> bytes:
    header = (
        f"<MsgHeader_PI>\n<type>RODS_API_REPLY</type>\n<msgLen>{len(message)}</msgLen>\n"
        f"<errorLen>{len(error)}</errorLen>\n<bsLen>0</bsLen>\n<intInfo>{status}</intInfo>\n</MsgHeader_PI>\n"
    ).encode()
    return len(header).to_bytes(4, "big") + header + message + error


def answer_with(answer: bytes, split: int = 0):
    """Exchange one request with a peer that sends ``answer``, in two pieces, and closes."""
    ours, theirs = socket.socketpair()
    received = bytearray()

    def serve() -> None:
        with theirs, suppress(BrokenPipeError, ConnectionResetError):  # who breaks off does not listen any more
            received.extend(theirs.recv(65536))
            theirs.sendall(answer[:split])
            theirs.sendall(answer[split:])

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with ours:
            return exchange(SimpleNamespace(socket=ours), 630, "<X>ü</X>"), bytes(received)
    finally:
        thread.join()


def test_a_request_is_framed_and_its_reply_read() -> None:
    error = b"<RError_PI><RErrMsg_PI><status>-1</status><msg>it&apos;s &lt;bad&gt;</msg></RErrMsg_PI></RError_PI>"
    answer, sent = answer_with(reply(-808000, b"<Y/>", error))
    assert (answer.status, answer.message, answer.error_text) == (-808000, b"<Y/>", "it's <bad>")
    size = int.from_bytes(sent[:4], "big")
    assert b"<msgLen>9</msgLen><errorLen>0</errorLen><bsLen>0</bsLen><intInfo>630</intInfo>" in sent[4 : 4 + size]
    assert sent[4 + size :] == "<X>ü</X>".encode()


@given(st.integers(0, 200))
def test_a_reply_may_come_in_pieces(split: int) -> None:
    answer, _ = answer_with(reply(7, b"m" * 20), split)
    assert (answer.status, answer.message) == (7, b"m" * 20)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\0",
        reply(0, b"12345")[:-2],
        (5000).to_bytes(4, "big") + b"x" * 100,
        (4).to_bytes(4, "big") + b"<no>",
        reply(0).replace(b"RODS_API_REPLY", b"RODS_VERSION"),
    ],
)
def test_anything_else_breaks_the_connection(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        answer_with(answer)


MESSAGES = ("<X>1</X>", "<X>ü</X>", "<X>3</X>")


def all_answered(answer: bytes, split: int = 0) -> Iterator[Reply]:
    """Exchange three requests with a peer that answers once it has had them all, in two pieces, and closes."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            received = b""
            while received.count(b"</X>") < len(MESSAGES):
                received += theirs.recv(65536)
            theirs.sendall(answer[:split])
            theirs.sendall(answer[split:])

    thread = threading.Thread(target=serve)
    thread.start()
    with ours:
        yield from exchange_all(SimpleNamespace(socket=ours), 630, MESSAGES)
    thread.join()


@given(st.integers(0, 600))
def test_requests_go_out_together_and_each_has_its_reply(split: int) -> None:
    error = b"<RError_PI><RErrMsg_PI><status>-1</status><msg>it is there</msg></RErrMsg_PI></RError_PI>"
    answers = reply(0) + reply(-809000, b"<Y/>", error) + reply(2, b"m" * 20)
    assert list(all_answered(answers, split)) == [
        Reply(0, b"", ""),
        Reply(-809000, b"<Y/>", "it is there"),
        Reply(2, b"m" * 20, ""),
    ]


@pytest.mark.parametrize("rest", [b"", reply(0)[:-3], b"\0\0\0\4<no>"])
def test_replies_that_came_before_the_connection_broke_count(rest: bytes) -> None:
    replies = all_answered(reply(0) + reply(1) + rest)
    assert [next(replies).status, next(replies).status] == [0, 1]
    with pytest.raises(ProtocolError):
        next(replies)


@given(st.text())
def test_escaping_round_trips_and_leaves_no_markup(text: str) -> None:
    escaped = escape(text)
    assert unescape(escaped) == text
    assert not set(escaped) & set("<>\"'")


def test_pairs() -> None:
    assert pairs({"a": "1&2", "b": ""}) == (
        "<KeyValPair_PI><ssLen>2</ssLen><keyWord>a</keyWord><keyWord>b</keyWord>"
        "<svalue>1&amp;2</svalue><svalue></svalue></KeyValPair_PI>"
    )
