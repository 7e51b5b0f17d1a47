"""How far a run is, drawn on a terminal: by start --progress and by watch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.constrain import Constrain
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mpingest.jobs.progress import Phase, Progress, duration
from mpingest.jobs.terminal import wait_until_passed_on

_LEAST_BAR, _MOST_COLUMNS = 8, 120


class Screen:
    """The lines at the end of a terminal, drawn anew as often as they are given. Use as a context manager.

    What the process prints meanwhile goes above them. The cursor waits in a line below, so that whatever else is
    written there, as the last words of a rank, begins a line of its own.

    width: columns, asked each time
    """

    def __init__(self, file: TextIO, width: Callable[[], int | None]) -> None:
        self._width = width
        self._console = _Console(file=file, force_terminal=True, width=width())
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            redirect_stdout=sys.stdout.isatty() and file.isatty(),
            redirect_stderr=True,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        wait_until_passed_on(self._console.file.fileno())

    def show(self, content: RenderableType) -> None:
        """Draw it in place of what was drawn before."""
        if width := self._width():
            self._console.width = width
        self._live.update(Group(content, ""), refresh=True)


class _Console(Console):
    """Lets the cursor be seen: a rank that is killed could not bring it back."""

    def show_cursor(self, show: bool = True) -> bool:
        return False


_DONE = {Phase.DELETING: "deleted", Phase.RELEASING: "released"}


def drawing(job: str, progress: Progress) -> RenderableType:
    """A run under way: a line for each figure, with bars where there is a whole."""
    counts = progress.counts
    heading = Table.grid(padding=(0, 2), expand=True)
    heading.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    heading.add_column(no_wrap=True, justify="right")
    title = f"job {job}, run {progress.run}: {progress.heading()}"
    heading.add_row(Text(title, "bold"), duration(progress.seconds))
    bars = Table.grid(padding=(0, 2, 0, 0), expand=True)
    bars.add_column(no_wrap=True)
    bars.add_column(ratio=1, min_width=_LEAST_BAR)
    bars.add_column(no_wrap=True, overflow="ellipsis")
    known = counts["directories"] + (progress.to_scan or 0)
    done = _DONE.get(progress.phase, "done")
    empty = float(progress.scan_is_over)  # nothing of nothing is all, once it is known that there is nothing
    bars.add_row("  scanned", _bar(counts["directories"], known, empty), progress.scanned())
    bars.add_row(f"  {done}", _bar(counts["finished"], counts["to_do"], empty), progress.finished())
    bars.add_row("", _bar(counts["bytes_finished"], counts["bytes_to_do"], empty), progress.bytes_finished())
    rest = Table.grid(padding=(0, 2, 0, 0))
    rest.add_column(no_wrap=True, min_width=len("  scanned"))
    rest.add_column(no_wrap=True, overflow="ellipsis")
    rest.add_row("  failed", Text(f"{progress.failed:,}", "bold red" if progress.failed else ""))
    rest.add_row("  rate", progress.rate())
    rest.add_row("  ranks", f"{progress.busy:,} busy, {progress.ranks - progress.busy:,} idle")
    rest.add_row("  left", progress.left())
    return Constrain(Group(heading, bars, rest), _MOST_COLUMNS)


def lines(texts: Iterable[str]) -> RenderableType:
    """Lines as they are."""
    return Group(*(Text(text, overflow="fold") for text in texts))


def _bar(part: int, whole: int, empty: float) -> ProgressBar:
    """empty: what part it is where the whole is nothing."""
    return ProgressBar(total=whole or 1, completed=part if whole else empty)
