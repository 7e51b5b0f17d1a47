"""The directory that is to be scanned, as the user gives it."""

from __future__ import annotations

import os

from mpingest.errors import MpingestError


def checked_root(root: str, *, allow_empty: bool) -> bytes:
    """The absolute root. Raises MpingestError where it can't be scanned, or is empty and that isn't meant."""
    if not root:
        raise MpingestError("root: the argument is empty; is a variable of the script not set?")
    path = os.path.realpath(os.fsencode(root))
    try:
        with os.scandir(path) as entries:
            empty = next(entries, None) is None
    except FileNotFoundError as error:
        raise MpingestError(f"root {root}: no such directory") from error
    except NotADirectoryError as error:
        raise MpingestError(f"root {root}: is not a directory") from error
    except OSError as error:
        raise MpingestError(f"root {root}: cannot be read: {error.strerror}") from error
    if empty and not allow_empty:
        raise MpingestError(f"root {root}: is empty; is it mounted? If it is meant to be empty, give --allow-empty")
    return path
