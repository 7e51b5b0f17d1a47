"""Slots: who gets how many, and that there are never more in use than the limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpingest.farm.slots import Slots

RANKS = range(1, 5)


def settled(slots: Slots, limit: int, wanted: list[int]) -> dict[int, int]:
    """What each rank has once all answers are in, in several rounds."""
    leased = dict.fromkeys(RANKS, 0)
    for rank, number in zip(RANKS, wanted, strict=True):
        leased.update(slots.note(rank, number))
    for _ in range(3):
        told = list(slots.share(limit))
        while told:
            rank, number = told.pop(0)
            lowered = number < leased[rank]
            leased[rank] = number
            told += slots.returned(rank) if lowered else ()
    return leased


@pytest.mark.parametrize(
    ("limit", "wanted", "leased"),
    [
        (8, [1, 1, 1, 1], [1, 1, 1, 1]),
        (8, [9, 9, 9, 9], [2, 2, 2, 2]),
        (8, [9, 1, 9, 0], [4, 1, 3, 0]),
        (8, [64, 0, 0, 0], [8, 0, 0, 0]),
        (2, [9, 9, 9, 9], [1, 1, 0, 0]),
        (1, [0, 0, 0, 5], [0, 0, 0, 1]),
        (0, [1, 1, 1, 1], [0, 0, 0, 0]),
        (3, [0, 0, 0, 0], [0, 0, 0, 0]),
    ],
)
def test_slots_are_shared_level_by_level(limit: int, wanted: list[int], leased: list[int]) -> None:
    assert list(settled(Slots(RANKS), limit, wanted).values()) == leased


def test_who_wants_less_keeps_what_nobody_wants_more() -> None:
    slots = Slots(RANKS)
    settled(slots, 8, [8, 0, 0, 0])
    assert not [*slots.note(1, 2), *slots.share(8)]
    assert list(slots.note(2, 4)) == [], "none is free"
    assert list(slots.share(8)) == [(1, 4)]
    assert list(slots.returned(1)) == [(2, 1)]
    assert list(slots.share(8)) == [(2, 4)]


def test_a_lower_limit_is_waited_for() -> None:
    slots = Slots(RANKS)
    settled(slots, 8, [4, 4, 0, 0])
    assert sorted(slots.share(3)) == [(1, 2), (2, 1)]
    assert not slots.settled
    assert list(slots.share(8)) == [], "they have not yet returned what they were to"
    assert list(slots.returned(1)) == list(slots.returned(2)) == []
    assert slots.settled
    assert sorted(slots.share(8)) == [(1, 4), (2, 4)]


def test_an_answer_that_nobody_waits_for_is_refused() -> None:
    with pytest.raises(KeyError):
        list(Slots(RANKS).returned(1))


steps = st.one_of(
    st.tuples(st.just("note"), st.sampled_from(RANKS), st.integers(0, 5)),
    st.tuples(st.just("answer"), st.sampled_from(RANKS), st.just(0)),
    st.tuples(st.just("share"), st.just(0), st.just(0)),
)


@given(st.integers(0, 9), st.lists(steps, max_size=60))
def test_never_more_than_the_limit(limit: int, history: list[tuple[str, int, int]]) -> None:
    """Whatever is wanted when, and however long answers take: what is leased or not yet returned fits."""
    slots = Slots(RANKS)
    leased, kept = dict.fromkeys(RANKS, 0), dict.fromkeys(RANKS, 0)
    list(slots.share(limit))
    for what, rank, wanted in history:
        if what == "note":
            told = slots.note(rank, wanted)
        elif what == "share":
            told = slots.share(limit)
        elif kept[rank] > leased[rank]:
            kept[rank] = leased[rank]
            told = slots.returned(rank)
        else:
            continue
        for told_rank, number in told:
            leased[told_rank] = number
            kept[told_rank] = max(kept[told_rank], number)
        assert sum(kept.values()) <= limit
