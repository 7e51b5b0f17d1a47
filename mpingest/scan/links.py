"""Which symbolic links are followed, and why the others are not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum


class FollowLinks(Enum):
    """Which links lead on to what they point at, instead of being entries themselves."""

    NO = "no"
    INSIDE = "inside"
    """Those that stay within the root."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class LinkRule:
    """The rule of one scan. root: its absolute, resolved path."""

    root: bytes
    follow: FollowLinks = FollowLinks.NO

    def target(self, path: bytes) -> os.stat_result | str:
        """What the link ``path`` (absolute, below the root) leads to, or why it is not followed.

        A directory that holds one of those on the way to the link is never followed: the walk would not end.
        """
        try:
            real = os.path.realpath(path, strict=True)
            status = os.stat(real)
        except OSError as error:
            return f"a link that leads nowhere: {error.strerror}"
        if self.follow is FollowLinks.INSIDE and not _holds(self.root, real):
            return "a link that leads out of the root"
        if stat.S_ISDIR(status.st_mode) and any(_holds(real, above) for above in self._way_to(path)):
            return "a link back to a directory that holds it"
        return status

    def _way_to(self, path: bytes) -> Iterator[bytes]:
        """The resolved directories from that of the link up to the root."""
        while len(path) > len(self.root):
            path = os.path.dirname(path)
            yield os.path.realpath(path)


def _holds(directory: bytes, path: bytes) -> bool:
    return (path + b"/").startswith(directory.rstrip(b"/") + b"/")
