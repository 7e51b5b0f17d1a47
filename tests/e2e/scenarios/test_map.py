"""The map of the scenarios names tests that exist, and names every test of this folder that is one."""

from __future__ import annotations

import re
from pathlib import Path

from tests.e2e import scenarios

E2E = Path(__file__).parents[1]
NAMED = set(re.findall(r"(\S+\.py)::(test_\w+)", scenarios.__doc__ or ""))


def names_in(path: Path) -> set[str]:
    return set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))


def test_what_the_map_names_exists() -> None:
    assert len(NAMED) > 25
    assert [f"{file}::{name}" for file, name in NAMED if name not in names_in(E2E / file)] == []


def test_every_module_is_in_the_map() -> None:
    modules = {f"scenarios/{path.name}" for path in Path(__file__).parent.glob("test_*.py") if path.stem != "test_map"}
    assert modules <= {file for file, _ in NAMED}
