"""The MPI world: loading MPI, checking what the launcher made, ending it on an error."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from mpingest.errors import ExitCode, MpingestError

if TYPE_CHECKING:
    from types import ModuleType

    from mpi4py import MPI

_MATCHING_MPIEXEC = "start it with the mpiexec that belongs to the MPI library that mpi4py uses"
_REMEDIES = {
    "OMPI_COMM_WORLD_SIZE": _MATCHING_MPIEXEC,
    "MV2_COMM_WORLD_SIZE": _MATCHING_MPIEXEC,
    "PMI_SIZE": f"{_MATCHING_MPIEXEC}, or under Slurm with the srun --mpi=… that this library supports",
    "SLURM_STEP_NUM_TASKS": "use srun --mpi=pmi2 (MPICH, Intel MPI), srun --mpi=pmix (Open MPI), or mpiexec",
}
"""Where launchers say how many processes they started, and what to use instead of the one that does not fit.

SLURM_STEP_NUM_TASKS exists only within an srun step. SLURM_NTASKS and SLURM_PROCID also stand in the batch script,
where a command without srun is rightly a world of one rank.
"""


_LAST_WORDS_SECONDS = 0.5
"""A launcher forgets what it has not yet read of a rank's stderr when that rank aborts."""

_RANKS = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "MV2_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")
"""Where launchers say which rank a process is; srun also where it speaks no PMI, and, as 0, in the batch script."""


def open_world() -> MPI.Comm:
    """COMM_WORLD, checked.

    Raises MpingestError where MPI cannot be loaded, lets no thread live beside it, or the launcher does not fit it.
    """
    comm: MPI.Comm = _load_mpi().COMM_WORLD
    check_world(comm.size, os.environ)
    _be_scheduled_as_batch()
    return comm


def _be_scheduled_as_batch() -> None:
    """Have this thread, and those that it begins, take nobody's core when they wake up: it would come back cold.

    Where ranks share cores, they do the same work in less time; where each has its own, nothing changes.
    """
    with suppress(OSError):  # not everywhere
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def ranks_of_host(comm: MPI.Comm | None) -> MPI.Comm | None:
    """A communicator of the ranks that run on this rank's host, None where it is all alone. Collective."""
    if comm is None:
        return None
    from mpi4py import MPI

    host = comm.Split_type(MPI.COMM_TYPE_SHARED)
    if host.size > 1:
        return host
    host.Free()
    return None


_LAUNCHERS = (
    "OMPI_",
    "PMI",
    "MPI",
    "MV2_",
    "I_MPI_",
    "HYDRA_",
    "PALS_",
    "ALPS_",
    "JSM_",
    "FLUX_",
    "SLURM_",
    "LSB_",
    "PBS_",
)
"""How names of variables begin that a launcher, or the batch job that it may stand in, sets."""


def open_world_if_launched(environ: Mapping[str, str] = os.environ) -> MPI.Comm | None:
    """COMM_WORLD as ``open_world`` gives it, or None for a world of one rank, where nothing hints at a launcher, too.

    For what can do without MPI: loading it takes a tenth of a second, and not every login node has one.
    """
    launched = any(name.startswith(_LAUNCHERS) and not name.startswith("MPINGEST_") for name in environ)
    comm = open_world() if launched else None
    return comm if comm is not None and comm.size > 1 else None


def check_world(size: int, environ: Mapping[str, str]) -> None:
    """Refuses a world of one rank that a launcher started several times, since each would do all the work.

    It happens where the launcher speaks another process management interface than the MPI library. A world of
    more ranks was formed by a launcher that fits, whatever the variables inherited from an outer one say.

    Raises MpingestError.
    """
    if size > 1 or environ.get("OMPI_COMM_WORLD_SIZE") == "1":  # set anew by mpirun, over daemons that srun started
        return
    for variable, remedy in _REMEDIES.items():
        started = int(environ.get(variable, "1"))
        if started > 1:
            raise MpingestError(
                f"the launcher started {started} processes ({variable}), but each is an MPI world of its own: {remedy}"
            )


def find_mpiexec() -> str | None:
    """The mpiexec of this Python's environment, else the one on PATH; None where there is neither."""
    return shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or shutil.which("mpiexec")


def is_first_rank(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is rank 0, or on its own, told by what the launcher says: MPI may not even be loaded."""
    return environ.get(next((name for name in _RANKS if name in environ), ""), "0") == "0"


@contextmanager
def abort_on_error(comm: MPI.Comm | None) -> Iterator[None]:
    """Ends the whole world when an exception leaves the block or a thread on this rank: no rank is left waiting.

    The traceback goes to stderr with the rank and host before each line, and the exit code is 70. An MpingestError
    is one line and its own exit code; in a world of one rank it passes through, as SystemExit always does.
    The process ends at once, whatever threads live; no ``finally`` or ``atexit`` runs.
    """

    def end_from_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            _abort(comm, args.exc_value or args.exc_type())

    previous, threading.excepthook = threading.excepthook, end_from_thread
    try:
        yield
    except SystemExit:
        raise
    except MpingestError as error:
        if comm is None or comm.size == 1:
            raise
        _abort(comm, error)
    except BaseException as error:
        _abort(comm, error)
    finally:
        threading.excepthook = previous


def end_world(comm: MPI.Comm | None, error: MpingestError) -> NoReturn:
    """Says what is wrong and ends all ranks at once, with the error's exit code, from whatever thread."""
    _abort(comm if comm is not None and comm.size > 1 else None, error)


def _abort(comm: MPI.Comm | None, error: BaseException) -> NoReturn:
    code, text = ExitCode.INTERNAL, "".join(traceback.format_exception(error))
    if isinstance(error, MpingestError):
        code, text = error.exit_code, f"{error}\n"
    try:
        rank = comm.rank if comm else 0
        sys.stdout.flush()
        sys.stderr.write(textwrap.indent(text, f"rank {rank} on {socket.gethostname()}: "))  # in one piece
        sys.stderr.flush()
    finally:  # the end must come, even where stderr is gone
        if comm:
            time.sleep(_LAST_WORDS_SECONDS)
            comm.Abort(code)
        os._exit(code)


def _load_mpi() -> ModuleType:
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"  # only the main thread talks MPI
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise MpingestError(f"no MPI: load the site's MPI module or pip install 'mpingest[mpich]' ({error})") from error
    if MPI.Query_thread() < MPI.THREAD_FUNNELED:
        raise MpingestError("this MPI library allows no threads: use one with MPI_THREAD_FUNNELED")
    return MPI
