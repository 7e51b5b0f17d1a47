"""The root command: where the groups hang."""

from __future__ import annotations

import click

from mpingest import __version__
from mpingest.cli.zone import zone


@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "MPINGEST"})
@click.version_option(__version__)
def cli() -> None:
    """Bring data on parallel file systems under iRODS management, as an MPI batch job."""


cli.add_command(zone)
