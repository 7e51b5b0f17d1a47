"""The command line: click commands, one module per command or group; no logic beyond arguments and printing."""

from __future__ import annotations

import sys

import click

from mpingest.errors import ExitCode, MpingestError


def main() -> None:
    """Entry point of ``mpingest`` and ``python -m mpingest``.

    Every rank of an MPI world comes by here: what all of them would say alike is said by one. No command fails because
    nobody reads what it says.
    """
    from mpingest.cli.root import cli
    from mpingest.farm.world import is_first_rank
    from mpingest.jobs.output import CannotWrite, check_written, forgiving

    sys.stdout, sys.stderr = forgiving(sys.stdout), forgiving(sys.stderr)
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        if is_first_rank():
            error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(ExitCode.CANNOT_RUN)
    except MpingestError as error:
        if is_first_rank():
            click.echo(f"mpingest: {error}", err=True)
        sys.exit(error.exit_code)
    finally:
        try:
            check_written()
        except CannotWrite as error:
            click.echo(f"mpingest: {error}", err=True)
    sys.exit(code)
