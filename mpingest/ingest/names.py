"""Names of the file system as names of the catalog."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass
from typing import Any

from mpingest.handler.charmap import CharacterMap
from mpingest.handler.declared import Avu

MAX_PATH = 1087
"""Bytes of a logical or physical path at most (MAX_NAME_LEN of the protocol less its NUL)."""

# The framework's scheme for what it calls special names.
NOT_UTF8 = "UnicodeEncodeError"
MAPPED = "character_map"
_SURROGATE = "irods_UnicodeEncodeError_"
_ATTRIBUTE = "irods::automated_ingest::"
_UNITS = "python3.base64.b64encode(full_path_of_source_file)"


class UnusableName(Exception):
    """No catalog can hold such a name; the message says why."""


def text(path: bytes) -> str:
    """A path as text. Raises UnusableName where it isn't UTF-8."""
    try:
        return path.decode()
    except UnicodeDecodeError as error:
        raise UnusableName(
            "its path is not valid UTF-8: iRODS cannot hold it as a physical path; put it, or give target_path()"
        ) from error


def checked_path(path: str) -> str:
    """The logical path. Raises UnusableName where it is too long."""
    if len(path.encode()) > MAX_PATH:
        raise UnusableName(f"its logical path is longer than the {MAX_PATH} bytes that iRODS can hold")
    return path


@dataclass(frozen=True, slots=True)
class Name:
    """A logical path.

    reason: why it isn't the path on disk (NOT_UTF8, MAPPED, or nothing)
    source: the absolute path on disk in base64, where there is a reason
    """

    path: str
    reason: str = ""
    source: str = ""

    @property
    def avus(self) -> tuple[Avu, ...]:
        """The metadata that tells the path on disk, as the framework keeps it."""
        return (Avu(_ATTRIBUTE + self.reason, self.source, _UNITS),) if self.reason else ()

    @property
    def meta(self) -> dict[str, Any]:
        """What ``meta`` says of it."""
        if not self.reason:
            return {}
        if self.reason == MAPPED:
            return {"b64_reason": MAPPED, "b64_path_str_charmap": self.source.encode()}
        surrogate = self.path.rpartition("/")[2]
        return {"b64_reason": NOT_UTF8, "b64_path_str": self.source.encode(), "unicode_error_filename": surrogate}


@dataclass(frozen=True)
class Naming:
    """Where the entries below ``root`` belong below the collection ``target``.

    A name that isn't UTF-8 becomes ``irods_UnicodeEncodeError_`` and its absolute path in base64, where the ``/`` of
    that alphabet is a ``_``; the character map applies to all others.
    """

    root: bytes
    target: str
    character_map: CharacterMap | None = None

    def of(self, relative: bytes) -> Name:
        """The name of an entry. Raises UnusableName."""
        if not relative:
            return Name(self.target)
        try:
            plain = relative.decode()
        except UnicodeDecodeError:
            return self._special(relative, NOT_UTF8)
        if self.character_map is not None and "/".join(map(self.character_map.translate, plain.split("/"))) != plain:
            return self._special(relative, MAPPED)
        return Name(checked_path(f"{self.target}/{plain}"))

    def is_plain(self, relative: bytes) -> bool:
        """Whether the entry has the same path below the target as it has below the root."""
        if self.character_map is None and relative.isascii():
            return True
        try:
            return not self.of(relative).reason
        except UnusableName:
            return False

    def _special(self, relative: bytes, reason: str) -> Name:
        elements = relative.split(b"/")
        below = [self._element(b"/".join(elements[: depth + 1]), name) for depth, name in enumerate(elements)]
        return Name(checked_path("/".join([self.target, *below])), reason, self._source(relative))

    def _element(self, relative: bytes, name: bytes) -> str:
        try:
            plain = name.decode()
        except UnicodeDecodeError:
            return _SURROGATE + self._source(relative).replace("/", "_")
        return self.character_map.translate(plain) if self.character_map else plain

    def _source(self, relative: bytes) -> str:
        return base64.b64encode(os.path.join(self.root, relative)).decode()
