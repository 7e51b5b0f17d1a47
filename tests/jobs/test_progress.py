"""What ranks report becomes figures: rates, what is left, and how they are drawn."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from mpingest.ingest.traffic import Kind
from mpingest.jobs import tally
from mpingest.jobs.display import drawing
from mpingest.jobs.progress import WINDOW_SECONDS, Meter, Phase, Progress

MEGABYTE = 1_000_000


def counts(*ranks: dict[int, int]) -> tally.Counts:
    """The coordinator's row, which is empty, and one for each rank that works."""
    rows = tally.new_counts().reshape(1, -1).repeat(len(ranks) + 1, axis=0)
    for row, counted in zip(rows[1:], ranks, strict=True):
        for counter, value in counted.items():
            row[counter] = value
    return rows


def meter(workers: int = 2) -> Meter:
    return Meter(run=3, workers=workers, now=100.0)


def test_before_any_rank_has_spoken_nothing_is_claimed() -> None:
    progress = meter().progress(100.0)
    assert (progress.seconds, progress.ranks, progress.busy) == (0.0, 2, 0)
    assert progress.to_scan is None
    assert not progress.scan_is_over
    assert progress.seconds_left is None


def test_what_is_left_is_told_once_the_scan_is_over() -> None:
    run = meter()
    run.note(counts({tally.TO_DO: 300, tally.FINISHED: 50, tally.TO_SCAN: 1, tally.BUSY: 1}, {tally.FINISHED: 50}))
    progress = run.progress(110.0)
    assert progress.files_per_second == 10.0
    assert (progress.to_scan, progress.busy, progress.seconds_left) == (1, 1, None)
    run.note(counts({tally.TO_DO: 300, tally.FINISHED: 100, tally.BUSY: 1}, {tally.FINISHED: 100, tally.BUSY: 1}))
    progress = run.progress(120.0)
    assert (progress.to_scan, progress.busy) == (0, 2)
    assert progress.seconds_left == 10.0
    assert progress.line().endswith("about 0:00:10 left")


def test_what_is_left_is_told_by_what_takes_longest() -> None:
    """A hundred small files, of which all but one are done, and a large one under way."""
    run = meter()
    done = {tally.FINISHED: 99, tally.TO_DO: 100, tally.BYTES_TO_DO: 200 * MEGABYTE, tally.BUSY: 1}
    run.note(counts(done | {tally.DONE + Kind.CONTENT: 100 * MEGABYTE}))
    progress = run.progress(110.0)
    assert progress.bytes_per_second == 10 * MEGABYTE
    assert progress.seconds_left == 20.0


def test_rates_are_those_of_the_last_half_minute() -> None:
    run = meter()
    for second in range(1, 201):
        run.note(counts({tally.FINISHED: 10 * min(second, 100), tally.REQUESTS: second}))
        progress = run.progress(100.0 + second)
        if second == 100:
            assert progress.files_per_second == 10.0
    assert progress.files_per_second == 0.0
    assert progress.requests_per_second == 1.0
    assert WINDOW_SECONDS < 100


def test_farms_add_up_and_phases_follow() -> None:
    run = meter()
    run.note(counts({tally.ENTRIES: 7, tally.TO_DO: 5, tally.FINISHED: 5, tally.DIRECTORIES: 2}))
    run.phase = Phase.MERGING
    assert run.progress(101.0).seconds_left is None
    run.phase = Phase.DELETING
    run.begin_farm()
    assert run.progress(102.0).to_scan is None
    run.note(counts({tally.TO_DO: 4, tally.FINISHED: 1, tally.TO_SCAN: 0}))
    progress = run.progress(103.0)
    assert {name: progress.counts[name] for name in ("entries", "directories", "to_do", "finished")} == {
        "entries": 7,
        "directories": 2,
        "to_do": 9,
        "finished": 6,
    }
    assert progress.seconds_left is not None


def test_json_and_back() -> None:
    run = meter()
    run.note(counts({tally.ENTRIES: 7, tally.TO_SCAN: 2}))
    progress = run.progress(101.5)
    assert Progress.from_json(json.loads(json.dumps(progress.to_json()))) == progress
    with pytest.raises(KeyError):
        Progress.from_json({"entries": 7})


@pytest.fixture
def large() -> Progress:
    """Figures as large as they come: a petabyte in a thousand million files."""
    run = meter(4095)
    files, directories, size = 987_654_321, 12_345_678, 987 * 10**12
    row = {tally.ENTRIES: files, tally.DIRECTORIES: directories, tally.TO_SCAN: 999_999, tally.BUSY: 1}
    row |= {tally.TO_DO: files, tally.FINISHED: files // 2, tally.BYTES_TO_DO: size, tally.BYTES_FINISHED: size // 2}
    run.note(counts(row))
    return run.progress(100.0 + 3 * 86400)


def drawn(progress: Progress, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(drawing("x" * 20, progress))
    return capture.get().splitlines()


def figures(progress: Progress) -> Iterator[str]:
    yield from (progress.scanned(), progress.finished(), progress.bytes_finished(), progress.rate())


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_figure_is_cut(large: Progress, width: int) -> None:
    lines = drawn(large, width)
    assert len(lines) == 8
    assert max(map(len, lines)) <= width
    assert lines[0].split() == f"job {'x' * 20}, run 3: scanning and ingesting 3 days, 0:00:00".split()
    for figure in figures(large):
        assert any(line.rstrip().endswith(figure) for line in lines), figure
    bars = [line for line in lines if "━" in line]
    assert len(bars) == 3
    whole, half = bars[0].count("━"), bars[1].count("━")
    assert half < whole


def test_a_very_narrow_terminal_gets_what_fits(large: Progress) -> None:
    assert max(map(len, drawn(large, 40))) <= 40


def test_a_bar_of_nothing_is_full_only_once_nothing_is_known_to_come(large: Progress) -> None:
    nothing = dict.fromkeys(large.counts, 0)
    under_way = drawn(replace(large, counts=nothing, to_scan=None), 80)
    over = drawn(replace(large, counts=nothing, to_scan=0), 80)
    assert not any("━" in line for line in under_way)
    assert sum("━" in line for line in over) == 3
