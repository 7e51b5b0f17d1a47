"""Durations as people and batch systems write them."""

from __future__ import annotations

import click
import pytest

from mpingest.cli.durations import duration
from mpingest.cli.start import start


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0.5", 0.5),
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1D", 86400),
        ("1d2h3m4s", 93784),
        ("10:00", 600),
        ("02:00:01", 7201),
        ("1-00", 86400),
        ("1-02:30", 95400),
        ("1-02:30:05", 95405),
        (" 5m ", 300),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(click.Context(start), start.params[0], text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "soon", "-5", "5x", "1:2:3:4", "1-", "m", "1m2h", "٣", "1e3", "inf"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no duration, such as 90s"):
        duration(click.Context(start), start.params[0], text)
