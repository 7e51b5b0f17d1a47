"""The root command: where the commands hang, what holds for all of them."""

from __future__ import annotations

import tomllib
from typing import Any

import click

from mpingest import __version__
from mpingest.cli.demo import demo
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
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise MpingestError(f"--config {path}: {error}") from error
    context.default_map = {
        command: {option.replace("-", "_"): value for option, value in options.items()}
        for command, options in defaults.items()
        if isinstance(options, dict)
    }


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
cli.add_command(start)
cli.add_command(zone)
