"""A scenario as it happens: runs in trouble, then calm ones until nothing is left to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from irods.session import iRODSSession

from mpingest.errors import MpingestError
from mpingest.zone.embedded import EmbeddedZone
from tests.e2e.worlds import begin, kill_all, ranks_of

from .check import COMPLETE, Ended, Verdict
from .program import Meddling
from .scenario import Scenario, Trouble
from .tree import CHANGES, GROWTH, Change, History, Tree, change, grow

LONGEST_SECONDS = 120
"""For a run: beyond, it hangs."""
POLL_SECONDS = 0.02
SETTLE_SECONDS = 0.2
"""After which mpingest takes a file's times for final."""
NETWORK_FAILURE = -1
CALM = Trouble(ranks=2)


class Unexpected(AssertionError):
    """A run ended as none may, or left behind what none may."""


@dataclass
class ChaoticJob:
    """One scenario's job. without: see ``Meddling``."""

    scenario: Scenario
    zone: EmbeddedZone
    directory: Path
    target: str
    without: str = ""
    ended: list[Ended] = field(default_factory=list)
    _earlier_requests: int = 0
    _requests: int = 0

    @property
    def root(self) -> Path:
        return self.directory / "root"

    def tree(self, *, during: bool = False) -> Tree:
        """The tree, to be changed before, or during, the next run."""
        return Tree(self.root, self.directory / "journal", len(self.ended), during)

    def go_through(self) -> None:
        """All of it. Raises Unexpected."""
        random = Random(self.scenario.seed)
        grow(self.tree(), random, self.scenario.files)
        for trouble in self.scenario.troubles:
            change(self.tree(), random, trouble.before, self._changes())
            self._run(trouble, random)
            self._check_if_over(trouble)
        change(self.tree(), random, self.scenario.after, self._changes())
        time.sleep(SETTLE_SECONDS)
        self._expect(self._run(CALM, random).code == 0, "a calm run comes to its end, and nothing fails")
        idle = self._run(CALM, random)
        self._expect(idle.code == 0, "so does the next")
        verdict = self._verdict()
        self._expect(not verdict.problems, "\n".join(verdict.problems))
        self._expect(" 0 requests" in idle.said or bool(verdict.left_over), "nothing is left to do")

    def _changes(self) -> tuple[Change, ...]:
        return GROWTH if self.scenario.operation == "put_append" else CHANGES

    def _check_if_over(self, trouble: Trouble) -> None:
        """A run that came to its end, while nothing changed, has done all but what it says."""
        last = self.ended[-1]
        if last.is_complete and not trouble.meanwhile and not trouble.rewritten:
            verdict = self._verdict(contents=False, failed=last.failed)
            self._expect(not verdict.problems, "\n".join(verdict.problems))

    def _verdict(self, *, contents: bool = True, failed: frozenset[str] = frozenset()) -> Verdict:
        with iRODSSession(irods_env_file=str(self.zone.environment_file)) as session:
            history = History.of(self.tree().journal)
            return Verdict.of(
                session, self.scenario, self.root, self.target, history, self.ended, contents=contents, failed=failed
            )

    # One run.

    def _run(self, trouble: Trouble, random: Random) -> Ended:
        with self._in_trouble(trouble):
            world = begin("tests.e2e.chaos.program", trouble.ranks, self._arguments(), self._environment(trouble))
            try:
                said, errors = self._watch(world, trouble, random)
            finally:
                kill_all(world)
        ended = self._ended(world.returncode, said, errors)
        self.ended.append(ended)
        print(f"run {len(self.ended)}: {trouble}\n  exit code {ended.code}\n{said}{errors}")
        self._check_end(ended, trouble)
        return ended

    @contextmanager
    def _in_trouble(self, trouble: Trouble) -> Iterator[None]:
        self._earlier_requests = self._requests = 0
        self.zone.reset_counts()
        for fault in trouble.faults:
            self.zone.inject(**fault.as_dict())
        self.zone.limit(max_connections=trouble.most_connections)
        try:
            yield
        finally:
            self._restart_zone(0)
            self.zone.clear_faults()

    def _watch(self, world: subprocess.Popen[str], trouble: Trouble, random: Random) -> tuple[str, str]:
        """Until its end, with what happens meanwhile; stdout and stderr."""
        changes, killed_at, stopped_at = list(trouble.meanwhile), trouble.killed_at, trouble.stopped_at
        latest = time.monotonic() + LONGEST_SECONDS
        while True:
            with suppress(subprocess.TimeoutExpired):
                return world.communicate(timeout=POLL_SECONDS)
            self._expect(time.monotonic() < latest, f"the run hangs: {trouble}")
            self._restart_zone(trouble.away)
            requests = self._count_requests()
            while changes and changes[0] <= requests:
                change(self.tree(during=True), random, changes.pop(0) % 4 + 1, self._changes())
            if stopped_at is not None and stopped_at <= requests and (ranks := ranks_of(world)):
                with suppress(ProcessLookupError):
                    os.kill(random.choice(ranks), signal.SIGTERM)
                stopped_at = None
            if killed_at is not None and killed_at <= requests:
                kill_all(world)

    def _restart_zone(self, away: float) -> None:
        if self.zone.has_ended():
            self.zone.kill()
            time.sleep(away)
            self.zone.start()
            self._earlier_requests = self._requests

    def _count_requests(self) -> int:
        with suppress(MpingestError):  # it has just crashed
            self._requests = self._earlier_requests + self.zone.counts().total()
        return self._requests

    def _arguments(self) -> list[str | Path]:
        operation = ("--operation", self.scenario.operation, "--zone-timeout", "60")
        return ["start", *operation, *self.scenario.options, self.root, self.target]

    def _environment(self, trouble: Trouble) -> dict[str, str]:
        tree = self.tree()
        meddling = Meddling(
            str(tree.root),
            str(tree.journal),
            tree.run,
            trouble.rewritten,
            self.scenario.operation == "put_append",
            self.without,
        )
        return (
            os.environ
            | meddling.to_environment()
            | {
                "IRODS_ENVIRONMENT_FILE": str(self.zone.environment_file),
                "MPINGEST_JOBS_DIR": str(self.directory / "jobs"),
                "ACCIDENT": trouble.accident or "-1 - - 0",
            }
        )

    def _ended(self, code: int, said: str, errors: str) -> Ended:
        if code not in COMPLETE:
            return Ended(code, said, errors, {}, 0)
        (job,) = (self.directory / "jobs").iterdir()
        run = max((job / "runs").iterdir())
        failures = [json.loads(line) for line in (run / "failures.jsonl").read_text().splitlines()]
        reasons = {failure["path"]: (failure.get("code", 0), failure["reason"]) for failure in failures}
        total = json.loads((run / "summary.json").read_text())["total"]
        return Ended(code, said, errors, reasons, total["outcome_unsettled"])

    def _check_end(self, ended: Ended, trouble: Trouble) -> None:
        """Raises Unexpected."""
        may_die = bool(trouble.accident) or trouble.killed_at is not None
        may_not_begin = bool(trouble.faults) or trouble.most_connections is not None
        may_stop = trouble.stopped_at is not None
        self._expect(
            ended.code in {0, 1, 3} or (may_stop and ended.code == 75) or (may_die and ended.code not in {70, 75}),
            "exit codes are as designed",
        )
        self._expect(ended.code != 1 or may_die or may_not_begin, "it could be run")
        self._expect(ended.code != 1 or ended.errors.count("\n") == 1, "what could not be run says so in a line")
        self._expect("Traceback" not in ended.errors, "no traceback")
        self._expect((ended.code == 3) == bool(ended.failures), "failures are told where there are any")
        for path, (code, reason) in ended.failures.items():
            self._expect(self._is_explained(code, reason, trouble), f"{path} failed for no reason: {reason}")
        if ended.is_complete:
            looked_back = History.of(self.tree().journal).looked_back(len(self.ended) - 1)
            self._expect(ended.unsettled >= looked_back, f"{looked_back} files changed under its hands")
        self._wait_for_no_connection()

    def _is_explained(self, code: int, reason: str, trouble: Trouble) -> bool:
        """Whether a failure is one of those that were asked for, or of a file that was taken away meanwhile."""
        if code in {fault.status for fault in trouble.faults if fault.status}:
            return True
        if code == NETWORK_FAILURE:
            return trouble.breaks_connections
        return bool(trouble.meanwhile) and code == 0 and "No such file or directory" in reason

    def _wait_for_no_connection(self) -> None:
        for _ in range(100):
            if not self.zone.stats()["connections"]:
                return
            time.sleep(0.05)
        self._expect(False, "no connection is left")

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise Unexpected(f"not so after run {len(self.ended)} of {self.scenario}:\n{what}")
