"""``mpingest manifest``."""

from __future__ import annotations

import click

from mpingest.cli.manifest_merge import merge


@click.group(short_help="Work with manifests and checkpoints.")
def manifest() -> None:
    """Work with what jobs have recorded."""


manifest.add_command(merge)
