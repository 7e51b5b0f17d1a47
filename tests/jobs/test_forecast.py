"""Forecasts of parts, merged in any way, are the forecast of the whole."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mpingest.handler.operations import Operation
from mpingest.ingest.actions import Request
from mpingest.jobs import tally
from mpingest.jobs.forecast import FirstNames, Forecast, Total
from mpingest.manifest.block import directory_key
from mpingest.manifest.states import Change
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch

names = st.binary(min_size=1, max_size=4).filter(lambda name: not {0, ord("/")} & set(name))
paths = st.lists(names, max_size=3).map(b"/".join)
seen = st.tuples(paths, names, st.integers(0, 2**40), st.sampled_from(Change))
steps = st.tuples(
    st.tuples(st.sampled_from(Operation), st.sampled_from(Change), st.sampled_from(Request)),
    st.builds(Total, *[st.integers(0, 2**62)] * 3),
)
facts = st.lists(st.one_of(seen, steps, st.tuples(paths, st.text())), max_size=40)


def forecast_of(found: list[tuple]) -> Forecast:
    forecast = Forecast(3)
    for fact in found:
        match fact:
            case (path, name, size, change):
                rows = np.zeros(1, ENTRY_DTYPE)
                rows["size"] = size
                changes = np.array([change], np.uint8)
                tally.count_entries(forecast.counts, rows["size"], changes)
                forecast.compared(path, EntryBatch.build([name], rows), changes)
                forecast.gone += size
            case (bytes() as path, reason):
                forecast.fail(path, reason)
                forecast.leave(reason, len(path))
            case (step, total):
                forecast.step(step, Total(total.files, total.bytes, total.requests))
                forecast.objects_deleted.add(total)
    return forecast


def told(forecast: Forecast) -> dict:
    """All of it, in no order that depends on how it came to be."""
    plain = json.loads(forecast.pack())
    return plain | {"steps": sorted(plain["steps"])}


@given(facts, facts, facts)
def test_parts_add_up(one: list[tuple], two: list[tuple], three: list[tuple]) -> None:
    whole = forecast_of(one + two + three)
    left, right = forecast_of(three), forecast_of(one)
    middle = Forecast.unpack(forecast_of(two).pack())
    middle.merge(right)
    left.merge(middle)
    assert told(left) == told(whole)


@given(facts)
def test_what_is_packed_is_all(found: list[tuple]) -> None:
    forecast = forecast_of(found)
    assert told(Forecast.unpack(forecast.pack())) == told(forecast)


@given(st.integers(0, 5), st.lists(st.tuples(paths, st.lists(names, max_size=4)), max_size=10))
def test_first_names_are_the_first(count: int, found: list[tuple[bytes, list[bytes]]]) -> None:
    first = FirstNames(count)
    for path, below in found:
        first.add(path, below)
    everything = [path + b"/" + name if path else name for path, below in found for name in below]
    assert first.paths == sorted(everything, key=directory_key)[:count]
