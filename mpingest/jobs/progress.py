"""How far a run is, as its ranks report it: what progress.json holds, and what people see of it while it runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mpingest.ingest.traffic import Kind
from mpingest.jobs import tally
from mpingest.jobs.text import human_bytes

WINDOW_SECONDS = 30.0
"""What rates are measured over."""


class Phase(Enum):
    """What a run is at."""

    INGESTING = "ingesting"
    """Scanning, too, which goes on beside it."""
    DELETING = "deleting"
    RELEASING = "releasing"
    """Files are taken away whose ingest is verified."""
    MERGING = "merging"
    """What was recorded is taken into the checkpoint."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is.

    seconds:          since it began
    counts:           see ``tally.as_mapping``
    to_scan:          directories known and not scanned yet; None before any rank has said so
    ranks, busy:      how many work, and how many of them have anything to do now
    files_per_second, bytes_per_second, requests_per_second: lately
    seconds_left:     about; None as long as it cannot be told, as before the scan is over
    """

    run: int
    phase: Phase
    seconds: float
    counts: Mapping[str, int]
    to_scan: int | None
    ranks: int
    busy: int
    files_per_second: float
    bytes_per_second: float
    requests_per_second: float
    seconds_left: float | None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of ``to_json``. Raises KeyError, TypeError, ValueError where it isn't one."""
        fields = {name: content[name] for name in cls.__dataclass_fields__ if name != "counts"}
        counts = tally.as_mapping(tally.from_mapping(content))
        return cls(**fields | {"phase": Phase(content["phase"]), "counts": counts})

    def to_json(self) -> dict[str, Any]:
        """For progress.json: the counts beside the rest."""
        fields = asdict(self)
        counts: dict[str, Any] = fields.pop("counts")
        return counts | fields | {"phase": self.phase.value}

    @property
    def failed(self) -> int:
        """Files and directories."""
        return self.counts["outcome_failed"] + self.counts["directories_failed"]

    @property
    def scan_is_over(self) -> bool:
        """Whether all directories are known and scanned."""
        return self.to_scan == 0

    def heading(self) -> str:
        """What it is at."""
        if self.phase is Phase.INGESTING:
            return "ingesting, the scan is over" if self.scan_is_over else "scanning and ingesting"
        return _HEADINGS[self.phase]

    def scanned(self) -> str:
        """Files and directories seen."""
        known = self.counts["directories"] + (self.to_scan or 0)
        of = "" if self.scan_is_over else f" of {known:,}"
        return f"{self.counts['entries']:,} files in {self.counts['directories']:,}{of} directories"

    def finished(self) -> str:
        """Files dealt with, of those that need it."""
        return f"{self.counts['finished']:,} of {self.counts['to_do']:,} files"

    def bytes_finished(self) -> str:
        """Bytes of the files dealt with, likewise."""
        return f"{human_bytes(self.counts['bytes_finished'])} of {human_bytes(self.counts['bytes_to_do'])}"

    def rate(self) -> str:
        """How fast it is."""
        files, requests = f"{self.files_per_second:,.0f} files/s", f"{self.requests_per_second:,.0f} requests/s"
        return f"{files}, {human_bytes(self.bytes_per_second)}/s, {requests}"

    def left(self) -> str:
        """How long it takes, as far as can be told."""
        if self.seconds_left is not None:
            return f"about {duration(self.seconds_left)}"
        return "can be told once the scan is over" if self.phase is Phase.INGESTING and not self.scan_is_over else ""

    def line(self) -> str:
        """All of it, for a log that people read."""
        parts = (
            f"after {duration(self.seconds)}: {self.heading()}",
            f"scanned {self.scanned()}",
            f"done {self.finished()}, {self.bytes_finished()}",
            f"{self.failed:,} failed",
            self.rate(),
            f"{self.busy:,} of {self.ranks:,} ranks busy",
            *([f"{self.left()} left"] if self.seconds_left is not None else []),
        )
        return "; ".join(parts)


_HEADINGS = {
    Phase.DELETING: "deleting what is gone",
    Phase.RELEASING: "taking away what is ingested",
    Phase.MERGING: "merging what was recorded",
    Phase.ENDED: "ended",
}


def duration(seconds: float) -> str:
    """Hours, minutes and seconds; before them days, if there are any."""
    return str(timedelta(seconds=round(seconds)))


class Meter:
    """What ranks report becomes ``Progress``. A pure state machine: the clock, in seconds, is the caller's.

    A run may be several farms one after the other, whose counts begin at zero.
    """

    def __init__(self, run: int, workers: int, now: float) -> None:
        self.phase = Phase.INGESTING
        self._run = run
        self._workers = workers
        self._began = now
        self._earlier = tally.new_counts()
        self._farm = tally.new_counts().reshape(1, -1)
        self._has_heard = False
        self._seen: deque[tuple[float, tally.Counts]] = deque([(now, tally.new_counts())])

    def begin_farm(self) -> None:
        """What is noted from now on comes on top of all before."""
        self._earlier = self._total()
        self._farm = tally.new_counts().reshape(1, -1)
        self._has_heard = False

    def note(self, counts: tally.Counts) -> None:
        """What each rank has counted in this farm. counts: shape (ranks, tally.SIZE)."""
        self._farm = counts
        self._has_heard = True

    def progress(self, now: float) -> Progress:
        """How far it is now; to be asked about once a second."""
        total = self._total()
        lately = self._lately(total, now)
        # What is sent of a large file shows before the file is done; what is registered is never sent.
        content = max(lately[tally.BYTES_FINISHED], lately[tally.DONE + Kind.CONTENT])
        to_scan = int(self._farm[:, tally.TO_SCAN].sum()) if self._has_heard else None
        left = _longest(
            (total[tally.TO_DO] - total[tally.FINISHED], lately[tally.FINISHED]),
            (total[tally.BYTES_TO_DO] - total[tally.BYTES_FINISHED], content),
        )
        return Progress(
            self._run,
            self.phase,
            round(now - self._began, 1),
            tally.as_mapping(total),
            to_scan,
            self._workers,
            int(self._farm[:, tally.BUSY].sum()),
            round(float(lately[tally.FINISHED]), 1),
            round(float(content), 1),
            round(float(lately[tally.REQUESTS]), 1),
            left if to_scan == 0 and self.phase in (Phase.INGESTING, Phase.DELETING, Phase.RELEASING) else None,
        )

    def _lately(self, total: tally.Counts, now: float) -> npt.NDArray[np.float64]:
        """How much of each a second, shape (tally.SIZE,)."""
        while self._seen[0][0] < now - WINDOW_SECONDS and len(self._seen) > 1:
            self._seen.popleft()
        then, before = self._seen[0]
        self._seen.append((now, total))
        return (total - before) / max(now - then, 1e-3)

    def _total(self) -> tally.Counts:
        return self._earlier + self._farm.sum(axis=0)  # type: ignore[no-any-return]


def _longest(*work: tuple[float, float]) -> float | None:
    """Seconds until all of it is done, None where that cannot be told. work: how much there is, how much a second."""
    if all(amount <= 0 for amount, _ in work):
        return 0.0
    return max((round(float(amount / rate), 1) for amount, rate in work if amount > 0 and rate > 0), default=None)
