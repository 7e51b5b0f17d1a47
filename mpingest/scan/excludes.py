"""What a scan leaves out, by type and by regular expressions on paths: the rules of the automated ingest framework."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

_MODES = {
    "regular": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "character": stat.S_IFCHR,
    "block": stat.S_IFBLK,
    "socket": stat.S_IFSOCK,
    "pipe": stat.S_IFIFO,
    "link": stat.S_IFLNK,
}
TYPE_SHIFT = 12
"""How far the d_type of readdir(3) lies up in st_mode (IFTODT of the C library)."""
FILE_TYPES = {word: mode >> TYPE_SHIFT for word, mode in _MODES.items()}
"""The d_type of each type that can be excluded."""
_DIRECTORY = FILE_TYPES["directory"]
_WORDS = {number: word for word, number in FILE_TYPES.items()}


def type_word(d_type: int) -> str:
    """The word for a d_type: a key of ``FILE_TYPES``, or "other"."""
    return _WORDS.get(d_type, "other")


@dataclass(frozen=True, slots=True)
class Excludes:
    """What to leave out. Nothing by default; false where nothing is.

    types:           keys of ``FILE_TYPES``; to exclude "directory" is not to descend
    file_names:      regular expressions on the absolute path of everything but directories
    directory_names: the same for directories, which are left out with all below them

    An expression has to match from the start of the path (``re.match``), which is bytes: what is not ASCII in an
    expression stands for its bytes in UTF-8. Raises ValueError for an expression or a type that there isn't.
    """

    types: Sequence[str] = ()
    file_names: Sequence[str] = ()
    directory_names: Sequence[str] = ()
    _by_type: npt.NDArray[np.bool_] = field(init=False, repr=False, compare=False)
    _files: tuple[re.Pattern[bytes], ...] = field(init=False, repr=False, compare=False)
    _directories: tuple[re.Pattern[bytes], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_type", _chosen_types(self.types))
        object.__setattr__(self, "_files", _compiled(self.file_names))
        object.__setattr__(self, "_directories", _compiled(self.directory_names))

    def __bool__(self) -> bool:
        return bool(self.types or self.file_names or self.directory_names)

    def among(self, directory: bytes, names: Sequence[bytes], types: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Which entries of a directory to leave out, shape (n,).

        directory: absolute path
        types:     d_type, shape (n,); nothing is decided about a name of unknown type
        """
        excluded = self._by_type[types]
        if not (self._files or self._directories):
            return excluded
        prefix = os.path.join(directory, b"")
        for index in np.flatnonzero(~excluded & (types != 0)).tolist():
            patterns = self._directories if types[index] == _DIRECTORY else self._files
            path = prefix + names[index]
            excluded[index] = any(pattern.match(path) for pattern in patterns)
        return excluded


_NUMBER_OF_TYPES = 256


def _chosen_types(words: Iterable[str]) -> npt.NDArray[np.bool_]:
    chosen = np.zeros(_NUMBER_OF_TYPES, np.bool_)
    for word in words:
        if word not in FILE_TYPES:
            raise ValueError(f"no file type {word!r}: there are {', '.join(FILE_TYPES)}")
        chosen[FILE_TYPES[word]] = True
    return chosen


def _compiled(patterns: Iterable[str]) -> tuple[re.Pattern[bytes], ...]:
    return tuple(_pattern(pattern) for pattern in patterns)


def _pattern(pattern: str) -> re.Pattern[bytes]:
    try:
        return re.compile(os.fsencode(pattern))
    except re.error as error:
        raise ValueError(f"bad regular expression {pattern!r}: {error}") from None
