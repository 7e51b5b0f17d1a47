"""``mpingest zone``: the embedded zone, for trying and testing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from mpingest.errors import MpingestError
from mpingest.zone.settings import DEFAULT_HOST, DEFAULT_USER, DEFAULT_ZONE, Settings

ENVIRONMENT_VARIABLE = "IRODS_ENVIRONMENT_FILE"
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@click.group()
def zone() -> None:
    """A small iRODS server, for trying and testing."""


@zone.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Where it lives. [default: ~/.mpingest/zone]")
@click.option("--host", default=DEFAULT_HOST, show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port to listen on; 0: any.")
@click.option("--zone", "name", default=DEFAULT_ZONE, show_default=True, help="Name of a new zone.")
@click.option("--user", default=DEFAULT_USER, show_default=True, help="Its administrator.")
@click.option("--password-file", type=click.Path(path_type=Path), help="The administrator's password; else made up.")
def start(*, directory: Path | None, host: str, port: int, name: str, user: str, password_file: Path | None) -> None:
    """Serve until SIGTERM or Ctrl-C. What is in the zone stays in its directory, for the next start."""
    from mpingest.zone.server import serve

    serve(Settings(directory or _default_directory(), host, port, name, user, password_file))


@zone.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    """Run COMMAND with a zone of its own, which is gone afterwards; the exit code is that of COMMAND."""
    from mpingest.zone.embedded import EmbeddedZone

    _exit_on_signals()
    with EmbeddedZone() as embedded:
        status = _run(command, os.environ | {ENVIRONMENT_VARIABLE: str(embedded.environment_file)})
    sys.exit(status)


@zone.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Directory of the zone.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def stats(directory: Path | None, as_json: bool) -> None:
    """Requests so far, how many of them changed the catalog, open connections.

    Without --dir: of the zone that IRODS_ENVIRONMENT_FILE belongs to.
    """
    from mpingest.zone.control import ask

    counts = ask(directory or _directory_of_environment(), "stats")
    click.echo(json.dumps(counts) if as_json else _table(counts))


def _default_directory() -> Path:
    return Path.home() / ".mpingest" / "zone"


def _directory_of_environment() -> Path:
    file = os.environ.get(ENVIRONMENT_VARIABLE)
    return Path(file).parent if file else _default_directory()


def _table(counts: dict[str, Any]) -> str:
    requests, changes = counts["requests"], counts["catalog_changes"]
    lines = [f"{'request':<40}{'count':>10}{'changed the catalog':>22}"]
    lines += [f"{name:<40}{count:>10}{changes.get(name, 0):>22}" for name, count in requests.items()]
    lines += [f"{'all':<40}{sum(requests.values()):>10}{sum(changes.values()):>22}"]
    return "\n".join([*lines, f"open connections: {counts['connections']}"])


def _run(command: tuple[str, ...], environment: dict[str, str]) -> int:
    """Exit code of a command, 128 + signal where one ended it. Signals to this process go to the command."""
    try:
        child = subprocess.Popen(command, env=environment)  # noqa: S603
    except OSError as error:
        raise MpingestError(f"can't run {command[0]}: {error.strerror}") from None
    with _signals_passed_to(child):
        status = child.wait()
    return status if status >= 0 else 128 - status


@contextmanager
def _signals_passed_to(child: subprocess.Popen[bytes]) -> Iterator[None]:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    for number in _SIGNALS:
        signal.signal(number, pass_on)
    try:
        yield
    finally:
        _exit_on_signals()


def _exit_on_signals() -> None:
    """A signal ends this process the orderly way, so that the zone is cleaned up."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in _SIGNALS:
        signal.signal(number, leave)
