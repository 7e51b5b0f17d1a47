"""``mpingest demo``."""

from __future__ import annotations

import click


@click.command(short_help="The whole story on sample data in the embedded zone.")
@click.option("--ranks", type=click.IntRange(1, 64), default=4, show_default=True, help="Size of the MPI world.")
def demo(ranks: int) -> None:
    """Make a sample tree, ingest it into an embedded zone with an MPI world, change a few files, ingest again.

    Everything happens below a temporary directory and on loopback, and is removed in the end.

    \b
    Example:
      mpingest demo --ranks 8
    """
    from mpingest.demo import tell

    for line in tell(ranks):
        click.echo(line)
