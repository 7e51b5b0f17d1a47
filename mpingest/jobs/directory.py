"""The job directory: where everything that outlives a run is kept, and the lock that keeps runs apart.

<job>/job.json  checkpoint.h5  lock  stop  batch_jobs  batch/  released
<job>/runs/0001/  manifest/  log/  failures/  bundles/  progress.json  summary.json  failures.jsonl
<job>/verification/  manifest/  log/  failures/  differences.jsonl
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mpingest.errors import ExitCode, MpingestError
from mpingest.jobs.disposal import NO_LINK
from mpingest.jobs.spec import JobSpec
from mpingest.manifest.segment import sealed_segments
from mpingest.manifest.table import JobAttributes

HEARTBEAT_SECONDS = 10.0
"""How often a run touches its lock."""
STALE_SECONDS = 60.0
"""A lock not touched for so long was left by a run that died."""
_BATCH_ID_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")


def default_jobs_directory() -> str:
    """Where jobs live if nobody says otherwise."""
    return os.path.expanduser("~/.mpingest/jobs")


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a job's lock; empty or None where the lock doesn't say.

    since: when it took the lock, ISO 8601.  after_run: number of the last run before that, 0 for none.
    lives: whether the process still does, as far as this host can tell.
    """

    host: str
    pid: int | None
    since: str
    batch_job: str | None
    after_run: int
    lives: bool

    @classmethod
    def of(cls, said: dict[str, Any], *, lives: bool) -> Holder:
        """By what the lock says."""
        host, since = str(said.get("host", "")), str(said.get("since", ""))
        return cls(host, said.get("pid"), since, said.get("batch_job"), said.get("after_run", 0), lives)

    def __str__(self) -> str:
        """For people."""
        if not self.host:
            return "someone (what the lock says cannot be read)"
        who = f"process {self.pid} on {self.host} since {self.since}"
        return f"{who}, batch job {self.batch_job}" if self.batch_job else who


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """What one run leaves."""

    path: str
    number: int

    @property
    def manifest(self) -> str:
        """Sealed segments, until they are merged."""
        return os.path.join(self.path, "manifest")

    @property
    def log(self) -> str:
        """A log a rank."""
        return os.path.join(self.path, "log")

    @property
    def profile(self) -> str:
        """Timings a rank, if they are wanted."""
        return os.path.join(self.path, "profile")

    @property
    def left(self) -> str:
        """What each rank leaves for a later pass, until that."""
        return os.path.join(self.path, "left")

    @property
    def replaced(self) -> str:
        """Likewise directories with names that wait until what had them before is deleted."""
        return os.path.join(self.path, "replaced")

    @property
    def rank_failures(self) -> str:
        """A file of failures a rank, until they are joined."""
        return os.path.join(self.path, "failures")

    @property
    def bundles(self) -> str:
        """Notes of bundles under way; see ``remains``."""
        return os.path.join(self.path, "bundles")

    def file(self, name: str) -> str:
        """A file of the run."""
        return os.path.join(self.path, name)

    def make(self) -> None:
        """Make it, with what ranks write into. Raises OSError."""
        for path in (self.path, self.manifest, self.log, self.rank_failures):
            os.mkdir(path, mode=0o700)

    def join_failures(self, name: str) -> str:
        """Join the ranks' files of failures to one; its path. Raises OSError."""
        path = self.file(name)
        with open(path, "wb") as joined:
            for part in sorted(os.listdir(self.rank_failures)):
                with open(os.path.join(self.rank_failures, part), "rb") as file:
                    shutil.copyfileobj(file, joined)
        shutil.rmtree(self.rank_failures)
        return path


@dataclass(frozen=True, slots=True)
class JobDirectory:
    """The directory ``path`` of one job."""

    path: str

    @classmethod
    def of(cls, jobs_directory: str, spec: JobSpec) -> JobDirectory:
        """The directory of a job, made (mode 0700) where it is new.

        Raises MpingestError where it can't be made or another job has the name.
        """
        directory = cls(os.path.join(jobs_directory, spec.name))
        try:
            os.makedirs(directory.path, mode=0o700, exist_ok=True)
            os.makedirs(os.path.join(directory.path, "runs"), mode=0o700, exist_ok=True)
            directory._keep_spec(spec)
        except OSError as error:
            raise MpingestError(f"job directory {directory.path}: {error.strerror}") from error
        return directory

    @classmethod
    def all(cls, jobs_directory: str) -> list[JobDirectory]:
        """The directories of all jobs that are there, by name."""
        try:
            names = sorted(os.listdir(jobs_directory))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise MpingestError(f"jobs directory {jobs_directory}: {error.strerror}") from error
        jobs = [cls(os.path.join(jobs_directory, name)) for name in names]
        return [job for job in jobs if job.is_there]

    @classmethod
    def existing(cls, jobs_directory: str, name: str) -> JobDirectory:
        """The directory of a job that there is. Raises MpingestError, which names those there are, where it isn't."""
        directory = cls(os.path.join(jobs_directory, name))
        if name not in ("", ".", "..") and "/" not in name and directory.is_there:
            return directory
        jobs = [other.name for other in cls.all(jobs_directory)]
        there = f"there are {', '.join(jobs)}" if jobs else "there is no job at all"
        raise MpingestError(f"no job {name!r} in {jobs_directory}; {there}")

    @property
    def name(self) -> str:
        """Of the job."""
        return os.path.basename(self.path)

    @property
    def is_there(self) -> bool:
        """Whether it has been run, or begun to be."""
        return os.path.isfile(self._spec_path)

    @property
    def checkpoint(self) -> str:
        """The merged state of all runs."""
        return os.path.join(self.path, "checkpoint.h5")

    def runs(self) -> list[RunDirectory]:
        """All runs, oldest first."""
        base = os.path.join(self.path, "runs")
        names = os.listdir(base) if os.path.exists(base) else []
        numbers = sorted(int(name) for name in names if name.isdecimal())
        return [RunDirectory(os.path.join(base, f"{number:04d}"), number) for number in numbers]

    def run(self, number: int | None = None) -> RunDirectory:
        """One run, the last one where no number is given. Raises MpingestError, which says what there is."""
        runs = self.runs()
        if not runs:
            raise MpingestError(f"job {self.name}: there is no run of it yet")
        if number is None:
            return runs[-1]
        for run in runs:
            if run.number == number:
                return run
        raise MpingestError(
            f"job {self.name}: there is no run {number}; there are {runs[0].number} to {runs[-1].number}"
        )

    def segments(self) -> list[Path]:
        """Sealed segments that no merge has taken in yet, of all runs and the last verification."""
        directories = [*self.runs(), self._verification]
        return [segment for each in directories for segment in sealed_segments(Path(each.manifest))]

    def new_run(self) -> RunDirectory:
        """The next run's directory, made."""
        number = self._last_number() + 1
        run = RunDirectory(os.path.join(self.path, "runs", f"{number:04d}"), number)
        run.make()
        return run

    def new_verification(self) -> RunDirectory:
        """The directory of a verification after the last run, made; what the one before has left is removed.

        Raises OSError.
        """
        shutil.rmtree(self._verification.path, ignore_errors=True)
        self._verification.make()
        return self._verification

    def spec(self) -> JobSpec:
        """What the job is. Raises MpingestError where that can't be read."""
        try:
            with open(self._spec_path, encoding="utf-8", errors="surrogateescape") as file:
                return JobSpec.from_json(json.load(file))
        except OSError as error:
            raise MpingestError(f"{self._spec_path}: {error.strerror}") from error
        except (ValueError, TypeError, KeyError) as error:
            raise MpingestError(f"{self._spec_path}: is damaged; remove it, and it is made anew") from error

    def check_is(self, spec: JobSpec) -> None:
        """Raises MpingestError where it is another job's."""
        kept = self.spec()
        if kept != spec:
            whose = f"{os.fsdecode(kept.root)!r} and {kept.target}"
            raise MpingestError(f"job {spec.name!r} is that of {whose}: choose another --job-name")

    def held(self, *, without_trace: bool = False) -> Holder | None:
        """By whom the job's lock is held, dead or alive; None where there is none. See ``Lock.held``."""
        return Lock(self._lock_path).held(without_trace=without_trace)

    def ask_to_stop(self, reason: str) -> None:
        """Leave a request to end the run. Raises MpingestError where that can't be written."""
        temporary = f"{self._stop_path}.{socket.gethostname()}.{os.getpid()}.tmp"
        try:
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(f"{reason}\n")
            os.replace(temporary, self._stop_path)
        except OSError as error:
            raise MpingestError(f"job directory {self.path}: {error.strerror}") from error

    def stop_request(self) -> str | None:
        """The reason of a request to end the run, None if there is no request."""
        try:
            # Clients of NFS believe for up to a minute that a file is not there, but for a directory that has changed.
            os.utime(self.path)
            with open(self._stop_path, encoding="utf-8", errors="replace") as file:
                return file.readline().strip()
        except OSError:
            return None

    def forget_stop_request(self) -> None:
        """Remove it."""
        with suppress(OSError):
            os.unlink(self._stop_path)

    @property
    def has_released(self) -> bool:
        """Whether files have been taken away after their ingest, so that objects without a file may be all there is."""
        return os.path.exists(self._released_path)

    def note_release(self) -> None:
        """Remember, for good, that files are taken away. Raises OSError."""
        if not self.has_released:
            with open(self._released_path, "w", encoding="utf-8") as file:
                file.write("Files were taken away after their ingest: what has no file may be all there is of it.\n")
                file.flush()
                os.fsync(file.fileno())
            sync_directory(self.path)

    def batch_jobs(self) -> list[str]:
        """Ids of the batch jobs that have run it or are to, in the order in which they were noted."""
        try:
            with open(self._batch_jobs_path, encoding="utf-8", errors="replace") as file:
                return file.read().split()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise MpingestError(f"{self._batch_jobs_path}: {error.strerror}") from error

    def note_batch_job(self, batch_job: str) -> None:
        """Remember a batch job that runs it or is to. Raises OSError."""
        if batch_job not in self.batch_jobs():
            with open(self._batch_jobs_path, "a", encoding="utf-8") as file:
                file.write(f"{batch_job}\n")

    @contextmanager
    def locked(self) -> Iterator[Lock]:
        """Hold the job's lock. Raises MpingestError, saying who holds it, where another run does."""
        lock = Lock(self._lock_path, after_run=self._last_number())
        try:
            lock.acquire()
        except OSError as error:
            raise MpingestError(f"job directory {self.path}: cannot be locked: {error.strerror}") from error
        try:
            self._remove_unfinished()
            if batch_job := own_batch_job():
                with own_trouble():
                    self.note_batch_job(batch_job)
            yield lock
        finally:
            lock.release()

    def _last_number(self) -> int:
        runs = self.runs()
        return runs[-1].number if runs else 0

    @property
    def _verification(self) -> RunDirectory:
        runs = self.runs()
        return RunDirectory(os.path.join(self.path, "verification"), runs[-1].number if runs else 0)

    @property
    def _spec_path(self) -> str:
        return os.path.join(self.path, "job.json")

    @property
    def _stop_path(self) -> str:
        return os.path.join(self.path, "stop")

    @property
    def _released_path(self) -> str:
        return os.path.join(self.path, "released")

    @property
    def _batch_jobs_path(self) -> str:
        return os.path.join(self.path, "batch_jobs")

    @property
    def _lock_path(self) -> str:
        return os.path.join(self.path, "lock")

    def _remove_unfinished(self) -> None:
        """Remove what a run that died was writing: each file gets its name only once it is whole."""
        places = [self.path, *(place for run in self.runs()[-1:] for place in (run.path, run.manifest))]
        for place in places:
            with suppress(OSError):
                for unfinished in Path(place).glob("*.tmp"):
                    unfinished.unlink()

    def _keep_spec(self, spec: JobSpec) -> None:
        if self.is_there:
            self.check_is(spec)
        else:
            write_json(self._spec_path, spec.to_json())


class Lock:
    """A file that says who runs the job now, touched by a thread as long as it is held.

    Its age is told by the file system's own clock, so that hosts may disagree about the time.

    after_run: number of the last run before it is taken; note: what was done about a lock that a dead run left
    """

    def __init__(self, path: str, after_run: int = 0) -> None:
        self.path = path
        self.after_run = after_run
        self.note = ""
        self._released = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lock", daemon=True)

    def acquire(self) -> None:
        """Make the file. Raises MpingestError where a live run holds it."""
        try:
            self._create()
        except FileExistsError:
            self._take_over()
        self._heart.start()

    def release(self) -> None:
        """Remove the file."""
        self._released.set()
        self._heart.join()
        with suppress(FileNotFoundError):
            os.unlink(self.path)

    def held(self, *, without_trace: bool = False) -> Holder | None:
        """By whom it is held, dead or alive; None where nobody holds it.

        The file system's time can't be told where nothing can be written, or is to be (without_trace): then whoever is
        on another host lives.
        """
        try:
            os.stat(self.path)
        except FileNotFoundError:
            return None
        said = self._read()
        if without_trace and not _is_here(said):
            return Holder.of(said, lives=True)
        try:
            lives = not self._is_dead(said)
        except OSError:
            lives = True
        return Holder.of(said, lives=lives)

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):
                os.utime(self.path)

    def _create(self) -> None:
        """Make the file whole, so that who is killed meanwhile leaves none that says nothing."""
        aside = f"{self.path}.{socket.gethostname()}.{os.getpid()}.tmp"
        try:
            self._write(aside, os.O_TRUNC)
            os.link(aside, self.path)
        except FileExistsError:
            if os.stat(aside).st_nlink == 1:  # else it was made, and the answer of a file server was lost: link(2)
                raise
        except OSError as error:
            if error.errno not in NO_LINK:
                raise
            self._create_without_link()
        finally:
            with suppress(FileNotFoundError):
                os.unlink(aside)

    def _create_without_link(self) -> None:
        try:
            self._write(self.path, os.O_EXCL)
        except FileExistsError:
            raise
        except OSError:
            os.unlink(self.path)
            raise

    def _write(self, path: str, flags: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(_holder() | {"after_run": self.after_run}, file)

    def _take_over(self) -> None:
        said = self._read()
        holder = Holder.of(said, lives=not self._is_dead(said))
        if holder.lives:
            raise MpingestError(f"the job is being run by {holder}: wait for it, or stop it first")
        self.note = f"took over the lock of a run that died: {holder}"
        # Renaming first lets only one of several newcomers win.
        aside = f"{self.path}.{os.getpid()}"
        with suppress(FileNotFoundError):
            os.rename(self.path, aside)
            os.unlink(aside)
        try:
            self._create()
        except FileExistsError:
            raise MpingestError("the job has just been started by another run") from None

    def _read(self) -> dict[str, Any]:
        try:
            with open(self.path, encoding="utf-8") as file:
                holder = json.load(file)
        except (OSError, ValueError):
            return {}
        return holder if isinstance(holder, dict) else {}

    def _is_dead(self, holder: dict[str, Any]) -> bool:
        if _is_here(holder):
            return _start_of(holder.get("pid")) != holder.get("started")
        try:
            now = file_system_time_ns(os.path.dirname(self.path))
            return now - os.stat(self.path).st_mtime_ns > STALE_SECONDS * 1e9
        except FileNotFoundError:
            return True


def _is_here(holder: dict[str, Any]) -> bool:
    return holder.get("host") == socket.gethostname()


def file_system_time_ns(directory: str) -> int:
    """Nanoseconds since the epoch, by the clock of the file system of a directory. Raises OSError."""
    with tempfile.NamedTemporaryFile(dir=directory, prefix="clock.") as file:
        return os.fstat(file.fileno()).st_mtime_ns


def own_batch_job() -> str | None:
    """Id of the batch job that this process is part of; None outside of one."""
    return next((os.environ[name] for name in _BATCH_ID_VARIABLES if name in os.environ), None)


class CannotRecord(MpingestError):
    """The job directory takes no more."""

    exit_code = ExitCode.STOPPED_EARLY


def attributes_of(spec: JobSpec, run: int) -> JobAttributes:
    """Where tables that are written here come from."""
    return JobAttributes(spec.name, spec.root, spec.target, run, socket.gethostname())


@contextmanager
def own_trouble() -> Iterator[None]:
    """Whatever the system refuses within the block is CannotRecord."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotRecord(f"job directory: {reason}; make room, then run the same line again") from error


def write_json(path: str, content: Any, *, durable: bool = True) -> None:
    """Replace a JSON file by rename, so that readers never see half of one."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)


def sync_directory(path: str | bytes) -> None:
    """Make durable what names a directory has. Raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _holder() -> dict[str, Any]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    pid = os.getpid()
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "started": _start_of(pid),
        "batch_job": own_batch_job(),
        "since": since,
    }


def _start_of(pid: object) -> int | None:
    """When a process of this host started, in clock ticks since boot; None where there is none, or only a zombie.

    Source: proc_pid_stat(5), fields 3 and 22.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, *fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(fields[18])
