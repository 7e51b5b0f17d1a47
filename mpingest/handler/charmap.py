"""``character_map()``: names with some characters replaced, and a suffix that keeps different names different.

The rules and the suffix are those of the iRODS Automated Ingest Framework 0.7 (its char_map_util.py), so that both
tools give a file the same name.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_SEPARATORS = "-~_"
_DIGITS = string.digits + string.ascii_letters

Rule = tuple[Callable[[str], bool], str]
"""Which characters, and what each of them becomes."""


class _Table(dict[int, str]):
    """For ``str.translate``: every character's replacement, worked out when it is first met."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, code: int) -> str:
        character = chr(code)
        for applies, replacement in self._rules:
            if applies(character):
                character = replacement
        self[code] = character
        return character


@dataclass(frozen=True)
class CharacterMap:
    """Rules, applied in order to every character of a name."""

    rules: tuple[Rule, ...]
    _table: _Table = field(init=False)
    _separator: str = field(init=False)
    _digits: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_table", _Table(self.rules))
        object.__setattr__(self, "_separator", self._left_alone(_SEPARATORS)[:1])
        object.__setattr__(self, "_digits", self._left_alone(_DIGITS))
        if len(self._digits) < 2:
            raise ValueError("it leaves fewer than two of the digits and letters to make suffixes of")

    @classmethod
    def of(cls, answer: Any) -> CharacterMap:
        """From what ``character_map()`` returned: a dict or pairs.

        A key is one character, a tuple of them, a compiled regular expression that matches one, or a function of one;
        a value is one character. Raises ValueError where it is anything else.
        """
        if isinstance(answer, Mapping):
            answer = answer.items()
        if not isinstance(answer, Iterable) or isinstance(answer, str | bytes):
            raise ValueError(f"{answer!r} is neither a dict nor pairs")
        return cls(tuple(_rule(pair) for pair in answer))

    def translate(self, name: str) -> str:
        """The name as it is to be; the very same where no character is to be replaced."""
        changed = name.translate(self._table)
        return name if changed == name else changed + self._suffix(name, changed)

    def _suffix(self, name: str, changed: str) -> str:
        """What tells apart names that become the same: the changes, or a digest where that is shorter."""
        differences = b"".join(
            (chr(index) + before).encode()
            for index, (before, after) in enumerate(zip(name, changed, strict=True))
            if before != after
        )
        digest = hashlib.sha224(name.encode())
        number = int.from_bytes(differences if len(differences) < digest.digest_size else digest.digest(), "big")
        suffix = self._separator
        while number:
            number, digit = divmod(number, len(self._digits))
            suffix += self._digits[digit]
        return suffix

    def _left_alone(self, characters: str) -> str:
        return "".join(character for character in characters if character.translate(self._table) == character)


def _rule(pair: Any) -> Rule:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise ValueError(f"{pair!r} is not a pair")
    key, value = pair
    if not _is_character(value) or value in "/\0":
        raise ValueError(f"{value!r} is not one character that a name can hold")
    if isinstance(key, str | tuple) and all(map(_is_character, characters := (key,) if isinstance(key, str) else key)):
        return frozenset(characters).__contains__, value
    if isinstance(key, re.Pattern):
        return lambda character: key.fullmatch(character) is not None, value
    if callable(key):
        return lambda character: bool(key(character)), value
    raise ValueError(f"{key!r} is not one character, a tuple of them, a regular expression or a function")


def _is_character(value: object) -> bool:
    return isinstance(value, str) and len(value) == 1
