"""Is all here that a run needs? One check a line, each with what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

import h5py

from mpingest.errors import MpingestError
from mpingest.farm.world import find_mpiexec, open_world
from mpingest.ingest.session import checked_session, environment_file
from mpingest.scan.backend import WHY_NOT_NATIVE

CLOCK_SKEW_SECONDS = 1.0
"""Difference between the clocks of host and file server that is worth a word."""


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


def examine(jobs_directory: str) -> Iterator[Finding]:
    """All checks, one after the other."""
    for subject, check in (
        ("python", _python),
        ("mpi", _mpi),
        ("scan", _scan_helper),
        ("hdf5", _hdf5),
        ("zone", _zone),
        ("jobs", lambda: _jobs(jobs_directory)),
        ("slurm", _slurm),
    ):
        yield _finding(subject, check)


def join_world() -> None:
    """What the other ranks do: without them rank 0 has no MPI. What is wrong with it, rank 0 says."""
    with suppress(MpingestError):
        open_world()


def _finding(subject: str, check: Callable[[], tuple[Verdict, str, str]]) -> Finding:
    try:
        return Finding(subject, *check())
    except MpingestError as error:
        return Finding(subject, Verdict.FAILED, str(error))


def _python() -> tuple[Verdict, str, str]:
    return Verdict.OK, f"Python {platform.python_version()} on {platform.node()}", ""


def _mpi() -> tuple[Verdict, str, str]:
    comm = open_world()
    from mpi4py import MPI

    library = MPI.Get_library_version().splitlines()[0].strip("\0 ")
    launcher = find_mpiexec()
    world = f"{library}, a world of {comm.size}"
    if launcher is None:
        return Verdict.NOTE, f"{world}; no mpiexec on PATH", "use srun, or pip install 'mpingest[mpich]'"
    return Verdict.OK, f"{world}; {launcher}", ""


def _scan_helper() -> tuple[Verdict, str, str]:
    if WHY_NOT_NATIVE is None:
        return Verdict.OK, "directories are read by the compiled helper", ""
    remedy = "install a C compiler and the headers of Python, then reinstall mpingest"
    return Verdict.NOTE, f"directories are read in Python, which is slower ({WHY_NOT_NATIVE})", remedy


def _hdf5() -> tuple[Verdict, str, str]:
    return Verdict.OK, f"HDF5 {h5py.version.hdf5_version}, h5py {h5py.__version__}", ""


def _zone() -> tuple[Verdict, str, str]:
    session = checked_session()
    try:
        version = ".".join(map(str, session.server_version))
        who = f"{session.username} on zone {session.zone} at {session.host}:{session.port}, iRODS {version}"
        if getattr(session, "default_resource", ""):
            return Verdict.OK, f"{who}, resource {session.default_resource}", ""
        remedy = f"set irods_default_resource in {environment_file()}, or give --resource: naming it halves a register"
        return Verdict.NOTE, f"{who}; no default resource", remedy
    finally:
        session.cleanup()


def _jobs(directory: str) -> tuple[Verdict, str, str]:
    existing = os.path.abspath(directory)
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix="mpingest.") as file:
            skew = os.fstat(file.fileno()).st_mtime - time.time()
    except OSError as error:
        return Verdict.FAILED, f"{directory}: {error.strerror}", "give a --jobs-dir that you may write to"
    where = f"{directory} on {_file_system_of(existing)}"
    if abs(skew) > CLOCK_SKEW_SECONDS:
        return Verdict.NOTE, f"{where}, whose clock is {skew:+.0f} s off", "have the clocks set (NTP)"
    return Verdict.OK, where, ""


def _file_system_of(path: str) -> str:
    """Type and mount point (proc_pid_mountinfo(5))."""
    device = os.stat(path).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            if fields.split()[2] == wanted:
                return f"{rest.split()[0]} at {fields.split()[4]}"
    return "an unknown file system"


def _slurm() -> tuple[Verdict, str, str]:
    missing = [command for command in ("srun", "sbatch") if shutil.which(command) is None]
    if missing:
        return Verdict.NOTE, f"no {' and no '.join(missing)} on PATH", "start runs with mpiexec, or load Slurm"
    inside = f", in job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
    return Verdict.OK, f"srun and sbatch are here{inside}", ""
