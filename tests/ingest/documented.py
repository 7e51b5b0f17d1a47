"""The table in the docstring of ``Operation``, as users read it."""

from __future__ import annotations

from mpingest.handler.operations import Operation

CHANGES = ("new", "modified", "metadata-only", "unchanged", "retry", "deleted")

Cell = tuple[str, str]
"""What is sent ("-" for nothing) and the hook ("" for none)."""


def documented() -> dict[tuple[Operation, str], Cell]:
    """By operation and change."""
    lines = [line.split() for line in (Operation.__doc__ or "").splitlines()]
    ruled = [number for number, line in enumerate(lines) if line and set(line[0]) == {"="}]
    (header,), rows = lines[ruled[0] + 1 : ruled[1]], lines[ruled[1] + 1 : ruled[2]]
    assert tuple(header[1:]) == CHANGES
    assert [row[0] for row in rows] == list(Operation.__members__)
    return {
        (Operation[name], change): _cell(text)
        for name, *texts in rows
        for change, text in zip(CHANGES, texts, strict=True)
    }


def _cell(text: str) -> Cell:
    sent, _, hook = text.partition("/")
    return sent, hook
