"""``python -m mpingest.zone DIRECTORY``: the server process of an ``EmbeddedZone``, until its standard input ends."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mpingest.errors import MpingestError
from mpingest.zone.server import serve, stop_at_end_of_input
from mpingest.zone.settings import DEFAULT_HOST, DEFAULT_USER, DEFAULT_ZONE, Settings


def main() -> int:
    """Serve the zone in a directory; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mpingest.zone")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--host", default=DEFAULT_HOST)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--zone", default=DEFAULT_ZONE)
    parser.add_argument("--user", default=DEFAULT_USER)
    options = parser.parse_args()
    stop_at_end_of_input()
    try:
        serve(Settings(options.directory, options.host, options.port, options.zone, options.user))
    except MpingestError as error:
        print(f"mpingest: {error}", file=sys.stderr)
        return error.exit_code
    return 0


sys.exit(main())
