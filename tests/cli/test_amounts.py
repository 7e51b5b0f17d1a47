from __future__ import annotations

import click
import pytest

from mpingest.cli.amounts import bytes_per_second, sessions_or_auto

CONTEXT = click.Context(click.Command("start"))
OPTION = click.Option(["--option"])


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("500MB/s", 500e6),
        ("100MiB/s", 100 * 2**20),
        ("2g", 2e9),
        ("1.5 kB", 1500),
        (".5GiB", 2**29),
        ("123456", 123456),
        ("1b/s", 1),
        ("1TIB/S", 2**40),
    ],
)
def test_sizes_as_people_write_them(text: str, rate: float) -> None:
    assert bytes_per_second(CONTEXT, OPTION, text) == rate


@pytest.mark.parametrize("text", ["", "MB", "-1", "0", "1 MB 2", "1e6", "1MBps", "²", "1XB", "inf", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter, match="number of bytes"):
        bytes_per_second(CONTEXT, OPTION, text)


def test_sessions() -> None:
    assert sessions_or_auto(CONTEXT, OPTION, "auto") is None
    assert sessions_or_auto(CONTEXT, OPTION, "16") == 16


@pytest.mark.parametrize("text", ["0", "4097", "-1", "two", "", "1.5", "²", "AUTO"])
def test_what_is_no_number_of_sessions(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither auto"):
        sessions_or_auto(CONTEXT, OPTION, text)
