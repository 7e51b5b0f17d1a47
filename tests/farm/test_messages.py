"""Messages: what goes in comes out, and nothing else is let in."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpingest.farm.limits import Rates
from mpingest.farm.messages import (
    Allot,
    Finish,
    Give,
    Idle,
    Lease,
    Message,
    ProtocolError,
    Report,
    Returned,
    Stalled,
    Stop,
    Work,
    decode,
    encode,
)
from mpingest.farm.units import Unit, UnitKind

numbers = st.integers(0, 2**62)
counters = st.lists(st.integers(-(2**62), 2**62), max_size=12).map(lambda values: np.array(values, np.int64))
kinds = st.sampled_from(UnitKind)
units = st.builds(Unit, kinds, st.integers(0, 4096), numbers, st.binary(max_size=300))
messages = st.one_of(
    st.builds(Idle, counters),
    st.builds(Report, st.booleans(), numbers, numbers, numbers, numbers, numbers, counters),
    st.builds(Stalled, st.binary(max_size=100)),
    st.builds(Work, st.lists(units, max_size=20)),
    st.builds(Give, kinds, st.lists(st.integers(0, 10**6), max_size=16)),
    st.builds(Allot, st.builds(Rates, *[st.floats(allow_nan=False)] * 3)),
    st.builds(Lease, st.integers(0, 2**32 - 1)),
    st.builds(Returned),
    st.builds(Stop),
    st.builds(Finish),
)


def plain(message: Message) -> list[object]:
    values = [getattr(message, field.name) for field in fields(message)]
    return [type(message), *(value.tolist() if isinstance(value, np.ndarray) else value for value in values)]


@given(messages)
def test_round_trip(message: Message) -> None:
    assert plain(decode(encode(message))) == plain(message)


@given(messages, st.integers(0, 40))
def test_a_cut_message_is_refused(message: Message, cut: int) -> None:
    data = encode(message)
    with pytest.raises(ProtocolError):
        decode(data[: max(0, len(data) - 1 - cut)])


@pytest.mark.parametrize("data", [b"", b"\x00" * 8, b"\xff" * 64])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


def test_a_slice_costs_its_payload_and_32_bytes() -> None:
    work = Work([Unit(UnitKind.SLICE, 3, 1000, bytes(150_000))])
    assert len(encode(work)) == 8 + 32 + 150_000
