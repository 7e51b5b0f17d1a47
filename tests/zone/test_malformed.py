"""Whatever arrives on the port, the server lives and answers the next client.

HYPOTHESIS_PROFILE=nightly digs deeper.
"""

from __future__ import annotations

import base64
import json
import socket

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from irods.message import iRODSMessage
from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from mpingest.zone.numbers import Api
from tests.zone.wire import Wire, make_session, object_input

SYS_INTERNAL_ERR = -154000
SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><DataObjInp_PI><objPath>&c;</objPath></DataObjInp_PI>'
)
VALID = object_input("/tempZone/home/rods/x", filePath="/f", dataSize="1").pack().encode()


def frame(kind: bytes, message: bytes, *, info: int = 0, stream: bytes = b"") -> bytes:
    header = b"<MsgHeader_PI><type>%b</type><msgLen>%d</msgLen><errorLen>0</errorLen><bsLen>%d</bsLen>" % (
        kind,
        len(message),
        len(stream),
    )
    header += b"<intInfo>%d</intInfo></MsgHeader_PI>" % info
    return len(header).to_bytes(4, "big") + header + message + stream


def send_and_close(zone: EmbeddedZone, data: bytes) -> bytes:
    """What the server says to some bytes, until it has said all and closed."""
    with socket.create_connection((zone.host, zone.port), timeout=10) as channel:
        try:
            channel.sendall(data)
            channel.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: channel.recv(65536), b""))
        except (BrokenPipeError, ConnectionResetError):
            return b""


@pytest.fixture(autouse=True)
def still_alive(zone: EmbeddedZone):
    yield
    with make_session(zone.environment_file) as session:
        assert session.collections.exists("/tempZone/home/rods")


@SHARED
@given(data=st.binary(max_size=2000))
def test_any_bytes(zone: EmbeddedZone, data: bytes) -> None:
    send_and_close(zone, data)


@SHARED
@given(message=st.binary(max_size=500), kind=st.sampled_from([b"RODS_CONNECT", b"RODS_API_REQ", b"RODS_VERSION", b"X"]))
def test_any_message_instead_of_a_startup(zone: EmbeddedZone, message: bytes, kind: bytes) -> None:
    send_and_close(zone, frame(kind, message))


@pytest.fixture(scope="module")
def wires(zone: EmbeddedZone):
    """A connection that is logged in, made anew when the last one was closed."""

    class Wires:
        def __init__(self) -> None:
            self.session: iRODSSession = make_session(zone.environment_file)
            self.wire = Wire(self.session)

        def exchange(self, data: bytes) -> int | None:
            channel = self.wire.connection.socket
            try:
                channel.sendall(data)
                return int(iRODSMessage.recv(channel).int_info)
            except OSError:
                self.wire = Wire(self.session)
                return None

    wires = Wires()
    yield wires
    wires.session.cleanup()


APIS = st.sampled_from([*Api, 1, 99999])


@SHARED
@given(api=APIS, message=st.binary(max_size=400), stream=st.binary(max_size=50))
def test_any_message_of_any_request(zone: EmbeddedZone, wires, api: int, message: bytes, stream: bytes) -> None:
    status = wires.exchange(frame(b"RODS_API_REQ", message, info=api, stream=stream))
    assert status is None or (status < 0 and status != SYS_INTERNAL_ERR) or api == Api.AUTH_REQUEST_AN


@SHARED
@given(
    api=APIS,
    damage=st.tuples(st.integers(0, len(VALID) - 1), st.binary(max_size=20), st.integers(0, 40)),
)
def test_a_damaged_message(zone: EmbeddedZone, wires, api: int, damage: tuple[int, bytes, int]) -> None:
    position, replacement, length = damage
    damaged = VALID[:position] + replacement + VALID[position + length :]
    assert wires.exchange(frame(b"RODS_API_REQ", damaged, info=api)) != SYS_INTERNAL_ERR


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    [
        *("entity_name", "entity_type", "operations", "operation", "attribute", "value", "units", "acl", "fd"),
        *("logical_path", "options", "reference", "seconds_since_epoch", "replica_number", "leaf_resource_name"),
        *("no_create", "admin_mode", "scheme", "next_operation", "digest"),
    ]
)
NESTED = st.dictionaries(KEYS, JSON | st.lists(st.dictionaries(KEYS, JSON, max_size=4), max_size=3), max_size=6)
PLAUSIBLE = st.fixed_dictionaries(
    {},
    optional={
        "entity_name": st.sampled_from(["/tempZone/home/rods", "rods"]),
        "entity_type": st.sampled_from(["collection", "user"]),
        "logical_path": st.just("/tempZone/home/rods"),
        "operations": st.lists(NESTED, max_size=3),
        "options": NESTED,
    },
)


@SHARED
@given(
    api=st.sampled_from([20000, 20002, 20004, 20005, 20007, 110000]),
    value=JSON | st.builds(lambda one, two: one | two, NESTED, PLAUSIBLE),
)
def test_any_json(zone: EmbeddedZone, wires, api: int, value: object) -> None:
    text = base64.b64encode(json.dumps(value).encode())
    message = b"<BinBytesBuf_PI><buflen>%d</buflen><buf>%b</buf></BinBytesBuf_PI>" % (len(text), text)
    assert wires.exchange(frame(b"RODS_API_REQ", message, info=api)) != SYS_INTERNAL_ERR


NUMBERS = st.one_of(st.integers(-(2**70), 2**70).map(str), st.text(max_size=20), st.just("1" * 5000))


@SHARED
@given(api=APIS, number=NUMBERS, field=st.sampled_from(["openFlags", "dataSize", "oprType", "l1descInx", "len"]))
def test_numbers_out_of_range(zone: EmbeddedZone, wires, api: int, number: str, field: str) -> None:
    import html

    text = html.escape(number).encode("utf-8", "replace")
    body = b"<X_PI><objPath>/tempZone/home/rods/numbers</objPath><collName>/tempZone/c</collName>"
    body += b"<%b>%b</%b></X_PI>" % (field.encode(), text, field.encode())
    assert wires.exchange(frame(b"RODS_API_REQ", body, info=api)) != SYS_INTERNAL_ERR


@pytest.mark.parametrize("length", [0, 1089, 2**31 - 1, 2**32 - 1])
def test_header_lengths_that_cannot_be(zone: EmbeddedZone, length: int) -> None:
    assert send_and_close(zone, length.to_bytes(4, "big") + b"x" * 100) == b""


@pytest.mark.parametrize("field", ["msgLen", "errorLen", "bsLen"])
def test_bodies_too_large_to_be_meant(zone: EmbeddedZone, field: str) -> None:
    header = "<MsgHeader_PI><type>RODS_CONNECT</type><msgLen>0</msgLen><errorLen>0</errorLen><bsLen>0</bsLen>"
    header = header.replace(f"<{field}>0", f"<{field}>9999999999") + "<intInfo>0</intInfo></MsgHeader_PI>"
    assert send_and_close(zone, len(header).to_bytes(4, "big") + header.encode()) == b""


def test_entities_are_never_expanded(zone: EmbeddedZone, wires) -> None:
    assert wires.exchange(frame(b"RODS_API_REQ", BOMB, info=602)) < 0
    unknown = b"<DataObjInp_PI><objPath>/tempZone/&lol;</objPath></DataObjInp_PI>"
    assert wires.exchange(frame(b"RODS_API_REQ", unknown, info=602)) < 0


def test_deep_nesting(zone: EmbeddedZone, wires) -> None:
    assert wires.exchange(frame(b"RODS_API_REQ", b"<a>" * 100_000, info=602)) < 0
    deep_json = b"<BinBytesBuf_PI><buflen>1</buflen><buf>W1tb" + b"W1tb" * 50_000 + b"</buf></BinBytesBuf_PI>"
    assert wires.exchange(frame(b"RODS_API_REQ", deep_json, info=20002)) < 0


def test_a_message_cut_short(zone: EmbeddedZone, wires) -> None:
    for size in range(0, len(VALID), 7):
        status = wires.exchange(frame(b"RODS_API_REQ", VALID[:size], info=630))
        assert status is None or status < 0


def test_requests_before_the_login(zone: EmbeddedZone) -> None:
    startup = (
        b"<StartupPack_PI><irodsProt>1</irodsProt><reconnFlag>0</reconnFlag><connectCnt>0</connectCnt>"
        b"<proxyUser>rods</proxyUser><proxyRcatZone>tempZone</proxyRcatZone><clientUser>rods</clientUser>"
        b"<clientRcatZone>tempZone</clientRcatZone><relVersion>rods5.0.2</relVersion><apiVersion>d</apiVersion>"
        b"<option></option></StartupPack_PI>"
    )
    answer = send_and_close(zone, frame(b"RODS_CONNECT", startup) + frame(b"RODS_API_REQ", VALID, info=630))
    assert b"<intInfo>-13000</intInfo>" in answer
