"""Is all here that a run needs? One check a line, each with what to do about it."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
from irods.exception import NetworkException, iRODSException

from mpingest.errors import MpingestError
from mpingest.farm.transport import wait_asleep
from mpingest.farm.worker import COORDINATOR
from mpingest.farm.world import find_mpiexec, is_first_rank, open_world
from mpingest.handler.operations import Operation
from mpingest.ingest.session import checked_session, environment_file
from mpingest.jobs.batch import mpi_plugins
from mpingest.jobs.hosts import Host, look_around
from mpingest.jobs.preflight import check_writable, checked_hierarchies, checked_jobs_directory, checked_target
from mpingest.jobs.root import checked_root
from mpingest.manifest.table import open_hdf5
from mpingest.scan.backend import WHY_NOT_NATIVE

if TYPE_CHECKING:
    from mpi4py import MPI

CLOCK_SKEW_SECONDS = 1.0
"""Difference between two clocks that is worth a word."""
SLOW_STAT_SECONDS = 5e-3
"""What a stat takes where a metadata server is overloaded."""
_STATS, _STAT_SECONDS = 500, 5.0
"""Entries that are stat'ed at most, and for how long."""

_THREAD_LEVELS = ("single", "funneled", "serialized", "multiple")
_PLUGINS = {"MPICH": "pmi2", "Intel MPI": "pmi2", "MVAPICH": "pmi2", "MVAPICH2": "pmi2", "Open MPI": "pmix"}
"""With which plugin of srun (srun --mpi=…) MPI libraries start, by the vendor's name as mpi4py has it."""


class Verdict(Enum):
    """What a check came to."""

    OK = "ok"
    NOTE = "note"
    """It goes, but not as well as it could."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. remedy: what to do; empty where nothing is to be done."""

    subject: str
    verdict: Verdict
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be examined besides the host. root, target: those of a job, if they are given."""

    jobs_directory: str
    root: str | None = None
    target: str | None = None


Found = tuple[Verdict, str, str]
"""The verdict, the text, the remedy."""


def examine(question: Question) -> Iterator[Finding]:
    """All checks, one after the other: on rank 0, the others only do their part. Collective, until the last one."""
    comm: MPI.Comm | None = None
    problem = ""
    try:
        comm = open_world()
    except MpingestError as error:
        problem = str(error)
    first = is_first_rank() if comm is None else comm.rank == COORDINATOR
    with ExitStack() as stack:
        hosts: list[Host] = []
        if comm is not None or first:
            hosts = look_around(comm, stack.enter_context(_Shared(question)).paths if first else [])
        if first:
            yield from _findings(question, comm, problem, hosts)
        if comm is not None:
            wait_asleep(comm.Ibarrier())  # for a rank that has ended spins until all have


def _findings(question: Question, comm: MPI.Comm | None, problem: str, hosts: list[Host]) -> Iterator[Finding]:
    directory = question.jobs_directory
    yield _finding("python", partial(_versions, hosts))
    yield Finding("mpi", Verdict.FAILED, problem) if comm is None else _finding("mpi", partial(_mpi, comm, hosts))
    yield _finding("slurm", partial(_slurm, comm, os.environ))
    yield _finding("scan", _scan_helper)
    with ExitStack() as stack:
        sessions: list[Any] = []
        yield _finding("zone", partial(_zone, stack, sessions))
        for session in sessions:
            yield _finding("rights", partial(_rights, session))
            yield _finding("resource", partial(_resource, session))
            if question.target is not None:
                yield _finding("target", partial(_target, session, question.target))
    if question.root is not None:
        yield _finding("root", partial(_root, question.root, hosts))
    yield _finding("jobs", partial(_jobs, question, hosts))
    yield _finding("hdf5", partial(_hdf5, directory))
    if comm is not None and comm.size > 1:
        yield _finding("clocks", partial(_clocks, hosts))


def _finding(subject: str, check: Callable[[], Found]) -> Finding:
    try:
        return Finding(subject, *check())
    except MpingestError as error:
        return Finding(subject, Verdict.FAILED, str(error))
    except (iRODSException, NetworkException) as error:
        return Finding(subject, Verdict.FAILED, f"the zone answers with {type(error).__name__}: {error}")
    except OSError as error:
        return Finding(subject, Verdict.FAILED, str(error))


# Host and launcher.


def _versions(hosts: list[Host]) -> Found:
    versions = {host.versions: host for host in reversed(hosts)}
    if len(versions) > 1:
        said = "; ".join(f"{text} on {host.name}" for text, host in versions.items())
        return Verdict.FAILED, said, "have all hosts use the same environment"
    (text,) = versions
    return Verdict.OK, f"{text} on {_names(hosts)}", ""


def _mpi(comm: MPI.Comm, hosts: list[Host]) -> Found:
    from mpi4py import MPI

    vendor, version = MPI.get_vendor()
    library = f"{vendor} {'.'.join(map(str, version))}, threads {_THREAD_LEVELS[MPI.Query_thread()]}"
    world = f"{library}, a world of {comm.size} on {_count(len(hosts), 'host')}"
    launcher = find_mpiexec()
    if launcher is None:
        return Verdict.NOTE, f"{world}; no mpiexec on PATH", "use srun, or pip install 'mpingest[mpich]'"
    return Verdict.OK, f"{world}; {launcher}", ""


def _slurm(comm: MPI.Comm | None, environ: Mapping[str, str]) -> Found:
    missing = [command for command in ("srun", "sbatch") if shutil.which(command) is None]
    if missing:
        return Verdict.NOTE, f"no {' and no '.join(missing)} on PATH", "start runs with mpiexec, or load Slurm"
    inside = f", in job {environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in environ else ""
    here = f"srun and sbatch are here{inside}"
    try:
        plugins = mpi_plugins()
    except MpingestError as error:
        _, _, reason = str(error).rpartition("; ")
        text = f"{here}, but srun does not say how it can start ranks: {reason}"
        return Verdict.NOTE, text, "start runs with mpiexec, or go to a host of the cluster"
    if comm is None:
        return Verdict.NOTE, f"{here}; srun --mpi= knows {', '.join(plugins)}", "see mpi above"
    from mpi4py import MPI

    vendor, _ = MPI.get_vendor()
    wanted = _PLUGINS.get(vendor, "")
    fitting = next((plugin for plugin in plugins if wanted and plugin.startswith(wanted)), None)
    if fitting is None:
        text = f"{here}; srun --mpi= knows {', '.join(plugins) or 'nothing'}, of which none is sure to start {vendor}"
        return (
            Verdict.NOTE,
            text,
            f"start runs with mpiexec inside a batch job, or have Slurm's {wanted or 'pmix'} plugin",
        )
    tasks = int(environ.get("SLURM_NTASKS", "1"))
    if comm.size == 1 and tasks > 1:
        return Verdict.NOTE, f"{here} of {tasks} tasks, of which one is used", f"start it with srun --mpi={fitting}"
    return Verdict.OK, f"{here}; start runs with srun --mpi={fitting}", ""


def _scan_helper() -> Found:
    if WHY_NOT_NATIVE is None:
        return Verdict.OK, "directories are read by the compiled helper", ""
    remedy = "install a C compiler and the headers of Python, then reinstall mpingest"
    return Verdict.NOTE, f"directories are read in Python, which is slower ({WHY_NOT_NATIVE})", remedy


def _clocks(hosts: list[Host]) -> Found:
    if len(hosts) == 1:
        return Verdict.OK, "all ranks have that of one host", ""
    farthest = max(hosts, key=lambda host: abs(host.ahead))
    if abs(farthest.ahead) - farthest.uncertainty > CLOCK_SKEW_SECONDS:
        text = f"that of {farthest.name} is {farthest.ahead:+.1f} s off that of {hosts[0].name}"
        return Verdict.NOTE, text, "have the clocks set (NTP): logs of different hosts do not go together"
    within = max(abs(host.ahead) + host.uncertainty for host in hosts)
    return Verdict.OK, f"those of all hosts are within {_milliseconds(within)}", ""


# The zone.


def _zone(stack: ExitStack, sessions: list[Any]) -> Found:
    """Logs in; fills in the session."""
    session = checked_session()
    stack.callback(session.cleanup)
    sessions.append(session)
    version = ".".join(map(str, session.server_version))
    return (
        Verdict.OK,
        f"{session.username} on zone {session.zone} at {session.host}:{session.port}, iRODS {version}",
        "",
    )


def _rights(session: Any) -> Found:
    kind = session.users.get(session.username, session.zone).type
    if kind == "rodsadmin":
        return Verdict.OK, f"{session.username} is a rodsadmin: may put and register", ""
    text = f"{session.username} is a {kind}: may put; of a registered file that has changed it may not set the size"
    return Verdict.NOTE, text, "log in as a rodsadmin for register operations and --as-user"


def _resource(session: Any) -> Found:
    name = getattr(session, "default_resource", "") or None
    hierarchies = checked_hierarchies(session, name, Operation.PUT)
    if name is None:
        remedy = f"set irods_default_resource in {environment_file()}, or give --resource: naming it halves a register"
        return Verdict.NOTE, "no default resource", remedy
    way = hierarchies.get(name)
    return Verdict.OK, f"{name}" + (f", requests name {way}" if way else ""), ""


def _target(session: Any, target: str) -> Found:
    checked = checked_target(target, session.zone)
    check_writable(session, checked)
    return Verdict.OK, f"{session.username} may write to {checked}", ""


# File systems.


class _Shared:
    """Paths that all hosts have to see: a file in the jobs directory, as long as the block lasts, and the root."""

    def __init__(self, question: Question) -> None:
        self.paths: list[str] = []
        self._question = question
        self._stack = ExitStack()

    def __enter__(self) -> _Shared:
        with suppress(OSError):  # said by the check of the jobs directory
            where = _existing(self._question.jobs_directory)
            probe = tempfile.NamedTemporaryFile(dir=where, prefix="mpingest.")
            self.paths.append(self._stack.enter_context(probe).name)
        if self._question.root:
            self.paths.append(self._question.root)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _root(root: str, hosts: list[Host]) -> Found:
    path = os.fsdecode(checked_root(root, allow_empty=True))
    where = f"{path} on {_file_system_of(path)}"
    if blind := [host for host in hosts if any(unseen == root for unseen, _ in host.unseen)]:
        return (
            Verdict.FAILED,
            f"{where}: {_names(blind)} cannot see it",
            "have it mounted there, or leave these hosts out",
        )
    seconds = sorted(_stat_seconds(path))
    if not seconds:
        return Verdict.OK, f"{where}, empty", ""
    median = statistics.median(seconds)
    text = f"{where}: a stat takes {_milliseconds(median)}, the longest {_milliseconds(seconds[-1])}, of {len(seconds)}"
    if median > SLOW_STAT_SECONDS:
        return Verdict.NOTE, text, "is its metadata server busy? More ranks and --stat-threads help, unless it is"
    return Verdict.OK, text, ""


def _stat_seconds(root: str) -> list[float]:
    """What the first stats below a directory take."""
    seconds = []
    end = time.monotonic() + _STAT_SECONDS
    for path in islice(_paths_below(root), _STATS):
        began = time.perf_counter()
        with suppress(OSError):
            os.lstat(path)
            seconds.append(time.perf_counter() - began)
        if time.monotonic() > end:
            break
    return seconds


def _paths_below(root: str) -> Iterator[str]:
    """Breadth first; what can't be read is passed over."""
    directories = [root]
    for directory in directories:
        with suppress(OSError), os.scandir(directory) as entries:
            for entry in entries:
                yield entry.path
                if entry.is_dir(follow_symlinks=False) and len(directories) < _STATS:
                    directories.append(entry.path)


def _jobs(question: Question, hosts: list[Host]) -> Found:
    directory = question.jobs_directory
    if question.root:
        checked_jobs_directory(directory, os.fsencode(os.path.realpath(question.root)))
    existing = _existing(directory)
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix="mpingest.") as file:
            skew = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError as error:
        return Verdict.FAILED, f"{directory}: {error.strerror}", "give a --jobs-dir that you may write to"
    where = f"{directory} on {_file_system_of(existing)}"
    if blind := [host for host in hosts if any(unseen != question.root for unseen, _ in host.unseen)]:
        remedy = "give a --jobs-dir on a file system that all of them share"
        return Verdict.FAILED, f"{where}: {_names(blind)} cannot see what {hosts[0].name} writes there", remedy
    if abs(skew) > CLOCK_SKEW_SECONDS:
        return Verdict.NOTE, f"{where}, whose clock is {skew:+.0f} s off", "have the clocks set (NTP)"
    return Verdict.OK, where, ""


def _hdf5(directory: str) -> Found:
    """Writes a file as a run does, and reads it."""
    versions = f"HDF5 {h5py.version.hdf5_version}, h5py {h5py.__version__}"
    try:
        with tempfile.TemporaryDirectory(dir=_existing(directory), prefix="mpingest.") as place:
            path = Path(place, "probe.h5")
            with open_hdf5(path, "w") as file:
                file["probe"] = 1
            with open_hdf5(path, "r") as file:
                assert file["probe"][()] == 1, "it was just written"
    except OSError as error:
        forced = os.environ.get("HDF5_USE_FILE_LOCKING")
        remedy = "export HDF5_USE_FILE_LOCKING=FALSE" if forced else "give a --jobs-dir that takes HDF5 files"
        return Verdict.FAILED, f"{versions}: cannot write and read a file in {directory}: {error}", remedy
    return Verdict.OK, f"{versions}; writes and reads in {directory}, without file locks", ""


def _existing(directory: str) -> str:
    """A directory, or the nearest above it that is there."""
    existing = os.path.abspath(directory)
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    return existing


def _file_system_of(path: str) -> str:
    """Type and mount point (proc_pid_mountinfo(5)): the last one mounted that holds the path."""
    real = os.path.realpath(path)
    found, longest = "an unknown file system", ""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            point = _unescaped(fields.split()[4])
            if len(point) >= len(longest) and f"{real}/".startswith(f"{point.rstrip('/')}/"):
                found, longest = f"{rest.split()[0]} at {point}", point
    return found


def _unescaped(text: str) -> str:
    for escape, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(escape, character)
    return text


# Words.


def _names(hosts: list[Host], most: int = 3) -> str:
    names = ", ".join(host.name for host in hosts[:most])
    return f"{names} and {len(hosts) - most} more" if len(hosts) > most else names


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"
