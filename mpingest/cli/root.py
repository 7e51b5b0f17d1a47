"""The root command: where the commands hang, what holds for all of them."""

from __future__ import annotations

import tomllib
from typing import Any

import click

from mpingest import __version__
from mpingest.cli.demo import demo
from mpingest.cli.doctor import doctor
from mpingest.cli.start import start
from mpingest.cli.zone import zone
from mpingest.errors import MpingestError


def _use_config(context: click.Context, _: click.Parameter, path: str | None) -> None:
    if path is None:
        return
    try:
        with open(path, "rb") as file:
            defaults: dict[str, Any] = tomllib.load(file)
    except FileNotFoundError as error:
        raise MpingestError(f"--config {path}: no such file") from error
    except (OSError, ValueError) as error:
        raise MpingestError(f"--config {path}: {error}") from error
    context.default_map = {
        command: {_parameter(path, command, option): value for option, value in _table(path, command, options).items()}
        for command, options in defaults.items()
    }


def _table(path: str, command: str, options: Any) -> dict[str, Any]:
    if command not in cli.commands or not isinstance(options, dict):
        known = ", ".join(f"[{name}]" for name in sorted(cli.commands))
        raise click.UsageError(f"--config {path}: {command!r} is no table of a command; there are {known}")
    return options


def _parameter(path: str, command: str, option: str) -> str:
    name = option.replace("-", "_")
    known = {
        flag.lstrip("-").replace("-", "_"): each.name for each in cli.commands[command].params for flag in each.opts
    }
    if name not in known:
        raise click.UsageError(f"--config {path}: [{command}] has no option {option!r}; see mpingest {command} --help")
    return str(known[name])


@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "MPINGEST"})
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


cli.add_command(demo)
cli.add_command(doctor)
cli.add_command(start)
cli.add_command(zone)
