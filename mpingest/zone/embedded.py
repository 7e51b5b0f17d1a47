"""The embedded zone as an object: for tests, the demo and ``mpingest zone run``."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any

from mpingest.errors import MpingestError
from mpingest.zone.control import ask
from mpingest.zone.environment import ENVIRONMENT_FILE
from mpingest.zone.faults import ANY_API, Action, Fault
from mpingest.zone.numbers import Api
from mpingest.zone.settings import DEFAULT_HOST, DEFAULT_USER, DEFAULT_ZONE

_STOP_TIMEOUT = 20.0


class EmbeddedZone:
    """A zone whose server is a process of its own.

    directory: where it lives, None for a temporary one that goes when the zone is closed; port: 0 for any
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        host: str = DEFAULT_HOST,
        port: int = 0,
        zone: str = DEFAULT_ZONE,
        user: str = DEFAULT_USER,
    ) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="mpingest-zone-")
            directory = Path(self._temporary.name)
        self.directory = directory.absolute()
        self.host, self.port, self.zone, self.user = host, port, zone, user
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> EmbeddedZone:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def environment_file(self) -> Path:
        """What ``iRODSSession(irods_env_file=…)`` logs in with."""
        return self.directory / ENVIRONMENT_FILE

    @property
    def pid(self) -> int | None:
        """Of the server process, None where none runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server, on the port that it had before. Raises MpingestError."""
        command = [sys.executable, "-m", "mpingest.zone", str(self.directory)]
        options = {"host": self.host, "port": self.port, "zone": self.zone, "user": self.user}
        arguments = [f"--{name}={value}" for name, value in options.items()]
        # A group of its own: a Ctrl-C at the terminal is for whoever uses the zone, who then stops it.
        self._process = subprocess.Popen(  # noqa: S603
            command + arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
        )
        assert self._process.stdout is not None
        if not self._process.stdout.readline():
            self.stop()
            raise MpingestError(f"the embedded zone in {self.directory} did not start")
        self.port = _port_of(self.environment_file)

    def stop(self) -> None:
        """Stop the server cleanly."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def kill(self) -> None:
        """Kill the server, as a crash would."""
        if self._process:
            self._process.kill()
            self._reap()

    def has_ended(self) -> bool:
        """Whether the server has come to its end, by itself or killed; ``kill`` it before it is started again."""
        return self._process is None or self._process.poll() is not None

    def close(self) -> None:
        """Stop the server, and remove the directory where it is a temporary one."""
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    def counts(self) -> Counter[str]:
        """Requests so far, by API name."""
        return Counter(self.stats()["requests"])

    def catalog_changes(self) -> Counter[str]:
        """Requests that changed the catalog, by API name."""
        return Counter(self.stats()["catalog_changes"])

    def stats(self) -> dict[str, Any]:
        """``requests`` and ``catalog_changes`` by API name, and open ``connections``."""
        return ask(self.directory, "stats")

    def reset_counts(self) -> None:
        """Count from 0."""
        ask(self.directory, "reset")

    def inject(
        self,
        action: Action | str,
        api: Api | int = ANY_API,
        *,
        status: int = 0,
        seconds: float = 0.0,
        skip: int = 0,
        every: int = 1,
        times: int | None = 1,
    ) -> None:
        """Switch a fault on; see ``Fault``."""
        fault = Fault(Action(action), int(api), status, seconds, skip, every, times)
        ask(self.directory, "inject", fault=fault.as_dict())

    def limit(
        self, *, refuse_logins: bool = False, max_connections: int | None = None, max_parallel: int | None = None
    ) -> None:
        """Refuse all logins, or connections beyond a number; do no more than so many requests at a time."""
        limits = {"refuse_logins": refuse_logins, "max_connections": max_connections, "max_parallel": max_parallel}
        ask(self.directory, "limit", **limits)

    def clear_faults(self) -> None:
        """Switch all faults and limits off."""
        ask(self.directory, "clear")

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()
        self._process = None


def _port_of(environment_file: Path) -> int:
    return int(json.loads(environment_file.read_text())["irods_port"])
