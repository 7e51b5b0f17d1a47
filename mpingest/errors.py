"""What can end a command, and the exit code that says so."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    CANNOT_RUN = 1
    USAGE = 2
    SOME_FAILED = 3
    INTERNAL = 70
    STOPPED_EARLY = 75


class MpingestError(Exception):
    """The command cannot go on; the message is one line that says what is wrong and what to do."""

    exit_code = ExitCode.CANNOT_RUN
