"""The batch system, Slurm: what it knows of batch jobs, and handing it new ones."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from mpingest.errors import MpingestError
from mpingest.jobs.durations import seconds_of

_PENDING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"}
_STARTED = {"RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"}
_SUSPENDED = {"STOPPED", "SUSPENDED"}
_FIELDS = "%A|%T|%r"
"""Id (of an array's task: its own), state, why it is in that state (squeue(1))."""
_ASK_SECONDS, _HAND_OVER_SECONDS = 15.0, 60.0
"""How long Slurm has to answer: that it doesn't must not keep a list of jobs from being shown."""


@dataclass(frozen=True, slots=True)
class BatchJob:
    """A batch job as Slurm knows it. state: in Slurm's words; reason: why it is pending, "None" if there is none."""

    id: str
    state: str
    reason: str = "None"

    @property
    def is_pending(self) -> bool:
        """Whether it is still to begin, or to begin again."""
        return self.state in _PENDING

    @property
    def has_started(self) -> bool:
        """Whether it has begun and not ended."""
        return self.state in _STARTED

    @property
    def is_suspended(self) -> bool:
        """Whether its processes are there but get no time, so that no lock is touched."""
        return self.state in _SUSPENDED

    @property
    def has_ended(self) -> bool:
        """Whether nothing more comes of it."""
        return not self.is_pending and not self.has_started

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.is_pending and self.reason != "None" else ""
        return f"{self.id} {self.state}{why}"


def own_batch_jobs() -> dict[str, BatchJob]:
    """All that Slurm still knows of this user's batch jobs, by id; none where there is no Slurm or it doesn't answer.

    It forgets a job a few minutes after its end (MinJobAge in slurm.conf(5)).
    """
    user = f"--user={os.geteuid()}"
    try:
        said = _run(["squeue", "--noheader", "--states=all", f"--format={_FIELDS}", user], _ASK_SECONDS)
    except MpingestError:
        return {}
    jobs = (BatchJob(*line.split("|", 2)) for line in said.splitlines() if line.count("|") >= 2)
    return {job.id: job for job in jobs}


def seconds_left() -> float | None:
    """How long the batch job that this process is part of may still run; None where Slurm doesn't say.

    It says so in the environment since 23.02, before that it is asked.
    """
    end = os.environ.get("SLURM_JOB_END_TIME", "")
    if end.isdecimal():
        return int(end) - time.time()
    batch_job = os.environ.get("SLURM_JOB_ID")
    if batch_job is None:
        return None
    try:
        return seconds_of(_run(["squeue", "--noheader", "--format=%L", f"--jobs={batch_job}"], _ASK_SECONDS))
    except MpingestError:
        return None


def hand_over(script: bytes, options: Sequence[str]) -> str:
    """Hand a batch script to sbatch; the batch job's id. Raises MpingestError with what sbatch has to say."""
    return _run(["sbatch", "--parsable", *options], _HAND_OVER_SECONDS, script).strip().partition(";")[0]


def cancel(batch_jobs: Sequence[str]) -> None:
    """End batch jobs, those that are pending, too; a run in one gets SIGTERM. Raises MpingestError."""
    _run(["scancel", *batch_jobs], _HAND_OVER_SECONDS)


def mpi_plugins() -> list[str]:
    """What ``srun --mpi=`` can be told here. Raises MpingestError where srun doesn't say."""
    said = _run(["srun", "--mpi=list"], _ASK_SECONDS)
    words = (line.partition(":")[2] if ":" in line else line for line in said.splitlines() if "..." not in line)
    return [word.strip(",") for line in words for word in line.split()]


def _run(command: Sequence[str], timeout: float, input: bytes = b"") -> str:
    name = command[0]
    try:
        done = subprocess.run(  # noqa: S603
            command, input=input, capture_output=True, timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise MpingestError(f"no {name} on PATH: load Slurm, or go to a login node of the cluster") from error
    except OSError as error:
        raise MpingestError(f"{name}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise MpingestError(f"{name} does not answer: is slurmctld up? See scontrol ping") from error
    if done.returncode:
        said = [line.removeprefix(f"{name}: ").removeprefix("error: ") for line in _text(done.stderr).splitlines()]
        raise MpingestError(f"{name}: {'; '.join(said) or f'failed with exit code {done.returncode}'}")
    return _text(done.stdout)


def _text(output: bytes) -> str:
    return output.decode(errors="replace").strip()
