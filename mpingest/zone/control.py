"""The private socket in the zone's directory: counts out, faults in. One JSON object each way."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpingest.errors import MpingestError
from mpingest.zone.counts import Counts
from mpingest.zone.faults import Fault, Faults
from mpingest.zone.numbers import api_name

SOCKET_NAME = "control.sock"
_MAX_REQUEST = 1 << 16


class ControlServer:
    """Answers on the socket, in a thread of its own."""

    def __init__(self, directory: Path, counts: Counts, faults: Faults) -> None:
        self._counts = counts
        self._faults = faults
        self._path = directory / SOCKET_NAME
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        with _short_path(directory) as path:
            self._listener.bind(path)
        self._path.chmod(0o600)
        self._listener.listen()
        threading.Thread(target=self._serve, name="control", daemon=True).start()

    def close(self) -> None:
        """Take the socket away."""
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _serve(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:
                return
            with channel:
                channel.settimeout(5)
                with contextlib.suppress(OSError):
                    channel.sendall(json.dumps(self._answer(channel)).encode() + b"\n")

    def _answer(self, channel: socket.socket) -> dict[str, Any]:
        try:
            request = json.loads(channel.makefile("rb").readline(_MAX_REQUEST))
            return self._do(str(request["do"]), request)
        except (ValueError, TypeError, KeyError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def _do(self, command: str, request: dict[str, Any]) -> dict[str, Any]:
        match command:
            case "stats":
                return self._stats()
            case "reset":
                self._counts.reset()
            case "inject":
                self._faults.add(Fault.read(request["fault"]))
            case "limit":
                self._faults.refuse_logins = bool(request["refuse_logins"])
                self._faults.max_connections = request["max_connections"]
                self._faults.max_parallel = request["max_parallel"]
            case "clear":
                self._faults.clear()
            case _:
                raise ValueError(f"unknown command {command!r}")
        return {}

    def _stats(self) -> dict[str, Any]:
        requests, changes, connections = self._counts.snapshot()
        return {
            "requests": {api_name(api): count for api, count in sorted(requests.items())},
            "catalog_changes": {api_name(api): count for api, count in sorted(changes.items())},
            "connections": connections,
        }


def ask(directory: Path, command: str, **arguments: Any) -> dict[str, Any]:
    """Send one command to the zone in a directory. Raises MpingestError where none runs there, or it refuses."""
    try:
        with _short_path(directory) as path, socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(10)
            channel.connect(path)
            channel.sendall(json.dumps({"do": command, **arguments}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(channel.makefile("rb").readline())
    except (OSError, ValueError):
        raise MpingestError(f"no embedded zone runs in {directory}") from None
    if "error" in answer:
        raise MpingestError(f"the embedded zone refused {command}: {answer['error']}")
    return answer


@contextmanager
def _short_path(directory: Path) -> Iterator[str]:
    """A path of the socket that fits into the 108 bytes of a socket address, however deep the directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)
