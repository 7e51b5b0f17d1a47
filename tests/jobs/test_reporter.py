"""The reporter of a run: what it keeps, shows and logs, and that nothing about it holds up a run."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mpingest.jobs import reporter, tally
from mpingest.jobs.directory import RunDirectory
from mpingest.jobs.log import LogOptions, open_log
from mpingest.jobs.progress import Phase, Progress
from mpingest.jobs.reporter import Reporter, reporter_of


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    directory = RunDirectory(str(tmp_path / "run"), 4)
    directory.make()
    return directory


def kept(run: RunDirectory) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(run.file("progress.json")).read_text())
    return content


def counted(**named: int) -> tally.Counts:
    return tally.from_mapping(named).reshape(1, -1)


def test_phases_are_shown_at_once_and_the_end_last(run: RunDirectory) -> None:
    shown: list[Progress] = []
    drawn = threading.Event()

    def show(progress: Progress) -> None:
        shown.append(progress)
        drawn.set()

    with Reporter(run, 1, show) as tells:
        for phase in (Phase.MERGING, Phase.DELETING):
            drawn.clear()
            with tells.phase(phase):
                assert drawn.wait(10)
                assert shown[-1].phase in (phase, Phase.INGESTING)
    assert shown[-1].phase is Phase.ENDED
    assert kept(run)["phase"] == "ended"


def test_farms_add_up_in_the_file(run: RunDirectory, tmp_path: Path) -> None:
    with (
        reporter_of("lab", run, 1, shown=False, alone=True) as tells,
        open_log(run.log, LogOptions(), 0, "lab", 4) as logger,
    ):
        with tells.farm(logger):
            tells.note(tally.new_counts().reshape(1, -1)[:, :0], {})  # no rank has spoken
            tells.note(counted(entries=5), {"sessions": 2})
        with tells.farm(logger):
            tells.note(counted(outcome_removed=3), {"sessions": 4})
    assert {name: kept(run)[name] for name in ("run", "entries", "outcome_removed", "sessions")} == {
        "run": 4,
        "entries": 5,
        "outcome_removed": 3,
        "sessions": 4,
    }


def test_what_cannot_be_shown_or_kept_is_let_go(run: RunDirectory) -> None:
    def show(_: Progress) -> None:
        raise BrokenPipeError

    Path(run.file("progress.json")).mkdir()
    with Reporter(run, 1, show) as tells, tells.phase(Phase.MERGING):
        pass


def test_a_terminal_that_hangs_does_not_keep_a_run_from_its_end(run: RunDirectory) -> None:
    stuck = threading.Event()
    with Reporter(run, 1, lambda _: stuck.wait(60) and None) as tells, tells.phase(Phase.MERGING):
        pass
    assert not stuck.is_set()
    stuck.set()


def test_the_log_tells_of_it_now_and_then(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporter, "LINE_SECONDS", 0.0)
    log = Path(run.log, "rank00000.jsonl")
    with (
        open_log(run.log, LogOptions(), 0, "lab", 4) as logger,
        reporter_of("lab", run, 1, shown=False, alone=True) as tells,
        tells.farm(logger),
        tells.phase(Phase.DELETING),
    ):
        tells.note(counted(entries=5), {})
        end = time.monotonic() + 10
        while '"entries": 5' not in log.read_text() and time.monotonic() < end:
            time.sleep(0.01)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    first, last = events[0], events[-1]
    assert (first["event"], first["rank"], first["job"], first["run"]) == ("progress", 0, "lab", 4)
    assert (last["phase"], last["entries"]) == ("deleting", 5)


def test_lines_come_when_they_are_due(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reporter, "LINE_SECONDS", 3600.0)
    with reporter_of("lab", run, 1, shown=True, alone=True) as tells:
        tells.note(counted(entries=5), {})
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(reporter, "LINE_SECONDS", 0.0)
    with reporter_of("lab", run, 1, shown=True, alone=True) as tells:
        tells.note(counted(entries=5, directories=1), {})
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith("job lab, run 4: after 0:00:00: ended; scanned 5 files in 1 directories; ")
