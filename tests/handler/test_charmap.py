"""Character maps: the framework's names, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mpingest.errors import MpingestError
from mpingest.handler.calls import Defaults
from mpingest.handler.charmap import CharacterMap
from mpingest.handler.load import load_handler

SIMPLE = {" ": "_"}
RULES = [(("!", "~", "0", "1"), "_"), (re.compile("[\u0100-\U00101fff]"), "~")]


@pytest.mark.parametrize(
    ("answer", "name", "expected"),
    [
        (SIMPLE, "plain", "plain"),
        (SIMPLE, "a b", "a_b-E4"),
        (RULES, "#041!2~93#041!2\u00ff9\U00101010Z", "#_4__2_93#_4__2\u00ff9~Z-yqDgYlAuvsbUxkSuZYPTAImB7"),
        ({"-": "_", "~": "-", "_": ".", "a": "b"}, "a b", "b bB1"),
        ([(str.isspace, "_")], "a b", "a_b-E4"),
    ],
)
def test_names_are_those_of_the_framework(answer: object, name: str, expected: str) -> None:
    """Expected: what translate_path_element of its version 0.7.0 gives."""
    assert CharacterMap.of(answer).translate(name) == expected


def test_names_that_become_the_same_are_told_apart() -> None:
    mapping = CharacterMap.of({re.compile("[^a-z]"): "_"})
    names = [f"{first}{second}" for first in " ?!\u00e9_" for second in " ?!\u00e9_"]
    assert len({mapping.translate(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return {'ab': '_'}", "'ab' is not one character"),
        ("return {' ': '__'}", "'__' is not one character"),
        ("return {' ': ''}", "'' is not one character"),
        ("return {' ': '/'}", "'/' is not one character that a name can hold"),
        ("return 'ab'", "'ab' is neither a dict nor pairs"),
        ("return None", "None is neither a dict nor pairs"),
        ("return [('a', 'b', 'c')]", "is not a pair"),
        ("return {5: 'a'}", "5 is not one character"),
        ("return [(str.isalnum, '_')]", "fewer than two of the digits and letters"),
        ("raise ValueError('no')", "character_map"),
    ],
)
def test_what_is_no_character_map_is_one_clear_line(tmp_path: Path, body: str, message: str) -> None:
    script = tmp_path / "handler.py"
    script.write_text(f"class event_handler:\n    @staticmethod\n    def character_map():\n        {body}\n")
    with pytest.raises(MpingestError, match=re.escape(message)) as caught:
        load_handler(str(script), Defaults())
    assert "\n" not in str(caught.value)
