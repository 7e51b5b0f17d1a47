"""The survey of one rank: when it counts and records, and what becomes of errors in that."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from mpingest.farm.executor import Finished
from mpingest.jobs import survey as surveys
from mpingest.jobs.survey import Survey, SurveyOptions, Visited, subtree
from mpingest.scan.census import Census
from mpingest.scan.pool import StatPool

DIRECTORIES = 10


class Records:
    """A sink that notes how many directories came at a time."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sizes: list[int] = []
        self._error = error

    def record(self, visited: Sequence[Visited]) -> None:
        if self._error:
            raise self._error
        self.sizes.append(len(visited))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(DIRECTORIES):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "file").touch()
    return tmp_path


def survey_of(root: Path, sink: Records) -> Survey:
    options = SurveyOptions(os.fsencode(root))
    return Survey(options, Census(0, 10), [sink], StatPool(), peers=1, should_end=lambda: False)


def run_one_by_one(survey: Survey) -> None:
    """Each directory as a unit of its own, the next once the last is done."""
    for number in range(DIRECTORIES):
        unit = subtree(b"%d" % number)
        survey.begin(unit)
        until = time.monotonic() + 20
        while Finished(unit) not in survey.events():
            assert time.monotonic() < until, "a directory that is never done"
            survey.wait(0.1)


def test_small_units_are_counted_together(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "LINGER_SECONDS", 60.0)
    sink = Records()
    with survey_of(root, sink) as survey:
        run_one_by_one(survey)
    assert sink.sizes == [DIRECTORIES]
    assert survey.census.directories == survey.census.entries == DIRECTORIES


def test_a_thread_without_work_counts_what_it_has(root: Path) -> None:
    with survey_of(root, Records()) as survey:
        run_one_by_one(survey)
        until = time.monotonic() + 20
        while survey.counters()[surveys.ENTRIES] < DIRECTORIES:
            assert time.monotonic() < until, "what was found is never counted"
            time.sleep(0.01)


def test_what_is_raised_by_the_last_record_comes_out(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "LINGER_SECONDS", 60.0)
    with pytest.raises(OSError, match="no space"), survey_of(root, Records(OSError("no space"))) as survey:
        run_one_by_one(survey)
