"""The command line: click commands, one module per group; no logic beyond arguments and printing."""

from __future__ import annotations


def main() -> None:
    """Entry point of ``mpingest`` and ``python -m mpingest``."""
    from mpingest.cli.root import cli

    cli()
