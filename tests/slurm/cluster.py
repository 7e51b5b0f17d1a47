"""A Slurm of one node on loopback, whose daemons are children of this process. It needs no privileges.

It is Debian's packages slurm-wlm and munge; nothing of the system's own configuration is used or changed.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

NEEDED = ("slurmctld", "slurmd", "munged")
HINT = "no Slurm: apt-get install slurm-wlm munge"
_SBIN = "/usr/sbin:/sbin"
_TIMEOUT = 45.0
_ENDED = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "DEADLINE"}

# MPICH names its shared memory by the batch job's id, and that of killed runs stays: no id may come back.
_CONFIGURATION = """\
ClusterName=mpingest
FirstJobId={first}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={directory}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={directory}/state
SlurmdSpoolDir={directory}/spool
SlurmctldPidFile={directory}/slurmctld.pid
SlurmdPidFile={directory}/slurmd.pid
SlurmctldLogFile={directory}/slurmctld.log
SlurmdLogFile={directory}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
KillWait=30
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=node0 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=64 State=UNKNOWN
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def is_installed() -> bool:
    """Whether this host has what a cluster takes."""
    return all(_where(command) for command in NEEDED)


Value = TypeVar("Value")


def until(look: Callable[[], Value], what: str, timeout: float = _TIMEOUT) -> Value:
    """Looks again and again until there is something to see; that. Fails the test where it takes too long."""
    deadline = time.monotonic() + timeout
    while not (seen := look()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)
    return seen


@dataclass(frozen=True)
class Ended:
    """How a batch job ended."""

    state: str
    code: int


class Cluster:
    """The daemons, from entering to leaving the block. environment: what commands need to find them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {"SLURM_CONF": str(directory / "slurm.conf")}
        self._stack = ExitStack()

    def __enter__(self) -> Cluster:
        self._configure()
        with ExitStack() as stack:
            socket_path = self.directory / "munge.socket"
            files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
            files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
            options = [f"--{option}={self.directory / name}" for option, name in files.items()]
            self._daemon(stack, "munged", "--foreground", "--force", *options)  # the directory is ours alone
            until(socket_path.exists, "munged")
            self._daemon(stack, "slurmctld", "-D", "-i")
            self._daemon(stack, "slurmd", "-D", "-N", "node0")
            until(self._is_idle, f"the node; see {self.directory}")
            stack.callback(self.cancel_all)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def run(self, *command: str, environment: dict[str, str] | None = None) -> str:
        """What a command of Slurm says."""
        done = subprocess.run(
            command,
            env=(environment or dict(os.environ)) | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def sbatch(self, script: Path, *options: str, environment: dict[str, str]) -> str:
        """Hand over a script; the batch job's id."""
        return self.run("sbatch", "--parsable", *options, str(script), environment=environment).strip()

    def state(self, job: str) -> str:
        """In Slurm's words."""
        states = self.run("squeue", "--noheader", "--states=all", "--format=%T", f"--jobs={job}").split()
        return next((state for state in states if state not in _ENDED), states[0])

    def wait(self, job: str, timeout: float = _TIMEOUT) -> Ended:
        """The end of a batch job, or of all of an array."""
        until(lambda: self.state(job) in _ENDED, f"the end of batch job {job}", timeout)
        shown = self.run("scontrol", "--oneliner", "show", "job", job).splitlines()
        fields = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in shown]
        return Ended(fields[0]["JobState"], max(int(field["ExitCode"].split(":")[0]) for field in fields))

    def ranks(self, job: str) -> dict[int, int]:
        """Processes of a batch job's first step, by rank."""
        lines = self.run("scontrol", "listpids", f"{job}.0").splitlines()[1:]
        return {int(rank): int(pid) for pid, _, _, _, rank in map(str.split, lines)}

    def cancel_all(self) -> None:
        """Have no job any more."""
        self.run("scancel", "--quiet", "--full", f"--user={os.geteuid()}")
        until(lambda: not self.run("squeue", "--noheader"), "the end of all jobs")

    def _configure(self) -> None:
        for name in ("state", "spool"):
            (self.directory / name).mkdir()
        key = self.directory / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        configuration = _CONFIGURATION.format(
            host=socket.gethostname(),
            user=_user(),
            directory=self.directory,
            ports=_free_ports(2),
            first=1 + secrets.randbelow(60_000_000),
        )
        (self.directory / "slurm.conf").write_text(configuration)

    def _daemon(self, stack: ExitStack, name: str, *arguments: str) -> None:
        setpriv = shutil.which("setpriv")  # has it end even where these tests are killed
        command = [*([setpriv, "--pdeathsig", "TERM"] if setpriv else []), _where(name) or name, *arguments]
        with open(self.directory / f"{name}.out", "ab") as out:
            # A group of its own: a Ctrl-C at the terminal is for the tests, which then stop it.
            process = subprocess.Popen(
                command, env=os.environ | self.environment, stdout=out, stderr=out, process_group=0
            )
        stack.callback(_end, process)

    def _is_idle(self) -> bool:
        done = subprocess.run(
            ["sinfo", "--noheader", "--Node", "--format=%T"],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.split() == ["idle"]


def batch_environment(environment: dict[str, str]) -> dict[str, str]:
    """The same, with this Python's commands first, as on a node where its module is loaded."""
    return environment | {"PATH": f"{os.path.dirname(sys.executable)}:{environment['PATH']}"}


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _where(command: str) -> str | None:
    return shutil.which(command, path=f"{os.environ['PATH']}:{_SBIN}")


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]
