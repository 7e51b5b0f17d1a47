"""Handing a job to Slurm: checked as far as a login node can, with no MPI and no zone."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from mpingest.errors import MpingestError
from mpingest.jobs.batch import hand_over, own_batch_jobs
from mpingest.jobs.batch_script import BatchScript
from mpingest.jobs.directory import JobDirectory, own_trouble
from mpingest.jobs.preflight import checked_jobs_directory, checked_target
from mpingest.jobs.root import checked_root
from mpingest.jobs.spec import JobSpec


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asks for.

    allow_empty: an empty root is meant.  start_options: of ``mpingest start``, as given.
    config: path of the file with defaults.  directives: options of sbatch(1), name and value.
    mpi: how srun starts the ranks.  after: name of a job whose last batch job is to end first.
    tries: how often the batch job may begin in all.
    """

    root: str
    target: str
    job_name: str | None
    jobs_directory: str
    allow_empty: bool
    start_options: Sequence[str]
    config: str | None
    directives: Sequence[tuple[str, str | None]]
    mpi: str
    after: str | None
    tries: int


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of it. log: where the batch job writes; notes: what the user should know besides."""

    job: str
    batch_job: str
    log: str
    notes: Sequence[str]


def script_of(request: Request) -> BatchScript:
    """The script that ``submit`` would hand over; nothing is written. Raises MpingestError."""
    return _script(request, *_checked(request))


def submit(request: Request) -> Submitted:
    """Hand it to sbatch and note the batch job in the job's directory.

    Raises MpingestError where it can't be run, or sbatch does not take it.
    """
    spec, jobs_directory = _checked(request)
    script = _script(request, spec, jobs_directory)
    job = JobDirectory.of(jobs_directory, spec)
    logs = os.path.join(job.path, "batch")
    with own_trouble():
        os.makedirs(logs, mode=0o700, exist_ok=True)
    notes = _notes_on(job) if request.after is None else []
    batch_job = hand_over(script.text().encode(), [f"--output={_pattern(logs)}/%j.log"])
    try:
        job.note_batch_job(batch_job)
    except OSError as error:
        raise MpingestError(f"batch job {batch_job} is queued, but cannot be noted: {error.strerror}") from error
    return Submitted(spec.name, batch_job, os.path.join(logs, f"{batch_job}.log"), notes)


def _checked(request: Request) -> tuple[JobSpec, str]:
    root = checked_root(request.root, allow_empty=request.allow_empty)
    spec = JobSpec.named(request.job_name, root, checked_target(request.target))
    jobs_directory = checked_jobs_directory(request.jobs_directory, root)
    job = JobDirectory(os.path.join(jobs_directory, spec.name))
    if job.is_there:
        job.check_is(spec)
    return spec, jobs_directory


def _script(request: Request, spec: JobSpec, jobs_directory: str) -> BatchScript:
    directives = [("job-name", spec.name), *request.directives, ("open-mode", "append")]
    if request.after is not None:
        directives.append(("dependency", f"afterany:{_last_batch_job(jobs_directory, request.after)}"))
    if request.tries > 1:
        directives.append(("requeue", None))
    config = [] if request.config is None else ["--config", request.config]
    command = [sys.executable, "-m", "mpingest", *config, "start", *request.start_options]
    # Said last, so that they hold whatever is in the environment of the compute nodes.
    named = ["--job-name", spec.name, "--jobs-dir", jobs_directory]
    arguments = [*command, *named, "--", os.fsdecode(spec.root), spec.target]
    return BatchScript(spec.name, directives, request.mpi, arguments, request.tries)


def _last_batch_job(jobs_directory: str, name: str) -> str:
    batch_jobs = JobDirectory.existing(jobs_directory, name).batch_jobs()
    if not batch_jobs:
        raise MpingestError(f"--after {name}: it has never been in a batch job, there is nothing to wait for")
    return batch_jobs[-1]


def _notes_on(job: JobDirectory) -> list[str]:
    known = own_batch_jobs()
    others = [known[id] for id in job.batch_jobs() if id in known and not known[id].has_ended]
    return [
        f"batch job {other} is of the same job, and only one can run at a time: --after {job.name} waits for it"
        for other in others
    ]


def _pattern(path: str) -> str:
    """A path as a pattern of sbatch's for file names. Raises MpingestError where there is none for it."""
    if "\\" in path:
        raise MpingestError(f"jobs directory {path}: sbatch writes to no path with a backslash: choose another")
    return path.replace("%", "%%")
