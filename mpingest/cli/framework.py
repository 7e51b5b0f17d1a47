"""Options of the automated ingest framework that say nothing here: accepted with a note, so that its lines run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_NO_REDIS = "there is no Redis: what a job knows lies in its directory"
_NO_QUEUES = "there are no queues: the ranks of the MPI world share the work"
_WITHOUT_MEANING: dict[str, tuple[str, bool]] = {
    "--redis-host": (_NO_REDIS, True),
    "--redis-port": (_NO_REDIS, True),
    "--redis-db": (_NO_REDIS, True),
    "--file-queue": (_NO_QUEUES, True),
    "--path-queue": (_NO_QUEUES, True),
    "--restart-queue": (_NO_QUEUES, True),
    "--synchronous": ("a run always ends with its command", False),
    "--list-dir": ("directories are always read slice by slice", False),
    "--scan-dir-list": ("directories are always read slice by slice", False),
}
"""Why, and whether the option takes a value."""
_S3 = ("keypair", "endpoint-domain", "region-name", "proxy-url", "insecure-connection", "multipart-chunksize-in-mib")


def framework_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command accept them. They don't show in its help."""
    for name, (_, takes_value) in _WITHOUT_MEANING.items():
        command = _hidden(name, _note, takes_value)(command)
    for part in _S3:
        command = _hidden(f"--s3-{part}", _refuse, part != "insecure-connection")(command)
    return command


def spelled_either_way(name: str) -> str:
    """The framework writes its options with underscores."""
    return name.replace("_", "-")


def _hidden(name: str, callback: Callable[..., None], takes_value: bool) -> Callable[..., Any]:
    return click.option(name, is_flag=not takes_value, hidden=True, expose_value=False, callback=callback)


def _note(_: click.Context, parameter: click.Parameter, value: object) -> None:
    from mpingest.farm.world import is_first_rank

    if value and is_first_rank():
        name = parameter.opts[0]
        click.echo(f"mpingest: note: {name} has no effect: {_WITHOUT_MEANING[name][0]}", err=True)


def _refuse(_: click.Context, parameter: click.Parameter, value: object) -> None:
    if value:
        raise click.UsageError(f"{parameter.opts[0]}: mpingest scans file systems, not S3 buckets")
