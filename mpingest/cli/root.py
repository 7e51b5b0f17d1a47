"""The root command: where the commands hang, what holds for all of them."""

from __future__ import annotations

import importlib
from typing import Any

import click

from mpingest import __version__
from mpingest.errors import MpingestError

COMMANDS = ("demo", "doctor", "manifest", "plan", "scan", "start", "zone")
"""Each is a click command of that name in a module of that name; loaded when it is used, for some take their time."""


class _Commands(click.Group):
    """The group of all commands."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        return command(name) if name in COMMANDS else None


def command(name: str) -> click.Command:
    """One of ``COMMANDS``."""
    loaded: click.Command = getattr(importlib.import_module(f"mpingest.cli.{name}"), name)
    return loaded


def _use_config(context: click.Context, _: click.Parameter, path: str | None) -> None:
    if path is None:
        return
    import tomllib

    try:
        with open(path, "rb") as file:
            defaults: dict[str, Any] = tomllib.load(file)
    except FileNotFoundError as error:
        raise MpingestError(f"--config {path}: no such file") from error
    except (OSError, ValueError) as error:
        raise MpingestError(f"--config {path}: {error}") from error
    context.default_map = {
        name: {_parameter(path, name, option): value for option, value in _table(path, name, options).items()}
        for name, options in defaults.items()
    }
    # A plan is one of what start would do.
    context.default_map["plan"] = context.default_map.get("start", {}) | context.default_map.get("plan", {})


def _table(path: str, name: str, options: Any) -> dict[str, Any]:
    if name not in COMMANDS or not isinstance(options, dict):
        known = ", ".join(f"[{each}]" for each in COMMANDS)
        raise click.UsageError(f"--config {path}: {name!r} is no table of a command; there are {known}")
    return options


def _parameter(path: str, name: str, option: str) -> str:
    key = option.replace("-", "_")
    known = {flag.lstrip("-").replace("-", "_"): each.name for each in command(name).params for flag in each.opts}
    if key not in known:
        raise click.UsageError(f"--config {path}: [{name}] has no option {option!r}; see mpingest {name} --help")
    return str(known[key])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "MPINGEST"})
@click.version_option(__version__)
@click.option(
    "--config",
    metavar="FILE",
    callback=_use_config,
    is_eager=True,
    expose_value=False,
    help="TOML file with defaults, a table per command: [start] operation = 'put'.",
)
def cli() -> None:
    """Bring data on parallel file systems under iRODS management, as an MPI batch job.

    Every option can also come from the environment: MPINGEST_START_OPERATION=put.
    """
