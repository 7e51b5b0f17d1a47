"""The root command: where the commands hang, what holds for all of them."""

from __future__ import annotations

import importlib
from typing import Any

import click

from mpingest import __version__
from mpingest.errors import MpingestError

COMMANDS = (
    *("demo", "doctor", "failures", "list", "manifest", "plan", "report", "scan", "start", "status", "stop"),
    *("submit", "verify", "watch", "zone"),
)
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
    for name, options in defaults.items():
        if name not in COMMANDS or not isinstance(options, dict):
            known = ", ".join(f"[{each}]" for each in COMMANDS)
            raise click.UsageError(f"--config {path}: {name!r} is no table of a command; there are {known}")
    context.default_map = {name: _defaults(path, name, command(name), options) for name, options in defaults.items()}
    # A plan is one of what start would do.
    context.default_map["plan"] = context.default_map.get("start", {}) | context.default_map.get("plan", {})


def _defaults(path: str, name: str, command: click.Command, options: dict[str, Any]) -> dict[str, Any]:
    """A table by the names of the command's parameters; tables of subcommands in it likewise."""
    known = {flag.lstrip("-").replace("-", "_"): each.name for each in command.params for flag in each.opts}
    subcommands = command.commands if isinstance(command, click.Group) else {}
    found: dict[str, Any] = {}
    for option, value in options.items():
        key = option.replace("-", "_")
        if option in subcommands and isinstance(value, dict):
            found[option] = _defaults(path, f"{name}.{option}", subcommands[option], value)
        elif key in known:
            found[str(known[key])] = value
        else:
            words = name.replace(".", " ")
            raise click.UsageError(f"--config {path}: [{name}] has no option {option!r}; see mpingest {words} --help")
    return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "MPINGEST"})
@click.version_option(__version__)
@click.option(
    "--config",
    metavar="FILE",
    callback=_use_config,
    is_eager=True,
    expose_value=False,
    help="TOML file with defaults, a table per command: [start] operation = 'put', [zone.start] port = 1247.",
)
def cli() -> None:
    """Bring data on parallel file systems under iRODS management, as an MPI batch job.

    Every option can also come from the environment: MPINGEST_START_OPERATION=put.
    """
