"""The table of operations and situations, spelt out."""

from __future__ import annotations

import pytest

from mpingest.handler.operations import Operation
from mpingest.ingest.actions import ACTIONS, Situation

TABLE = """
operation                ABSENT           FOUND            ELSEWHERE               CHANGED          UNSETTLED        METADATA
REGISTER_SYNC            REGISTER/CREATE  RECONCILE/MODIFY RECONCILE/MODIFY        UPDATE/MODIFY    UPDATE/MODIFY    NOTHING/MODIFY
REGISTER_AS_REPLICA_SYNC REGISTER/CREATE  RECONCILE/MODIFY REGISTER_REPLICA/CREATE UPDATE/MODIFY    UPDATE/MODIFY    NOTHING/MODIFY
PUT                      PUT/CREATE       OVERWRITE/MODIFY OVERWRITE/MODIFY        NOTHING/NONE     OVERWRITE/MODIFY NOTHING/MODIFY
PUT_SYNC                 PUT/CREATE       OVERWRITE/MODIFY OVERWRITE/MODIFY        OVERWRITE/MODIFY OVERWRITE/MODIFY NOTHING/MODIFY
PUT_APPEND               PUT/CREATE       OVERWRITE/MODIFY OVERWRITE/MODIFY        APPEND/MODIFY    OVERWRITE/MODIFY NOTHING/MODIFY
NO_OP                    NOTHING/CREATE   NOTHING/MODIFY   NOTHING/MODIFY          NOTHING/MODIFY   NOTHING/MODIFY   NOTHING/MODIFY
"""  # noqa: E501
ROWS = [line.split() for line in TABLE.split("\n") if line][1:]
CELLS = [
    (Operation[name], situation, cell)
    for name, *cells in ROWS
    for situation, cell in zip(Situation, cells, strict=True)
]


@pytest.mark.parametrize(("operation", "situation", "expected"), CELLS)
def test_table(operation: Operation, situation: Situation, expected: str) -> None:
    action = ACTIONS[operation][situation]
    assert f"{action.request.name}/{action.hook.name}" == expected


def test_the_table_is_complete() -> None:
    assert set(ACTIONS) == {Operation[name] for name, *_ in ROWS} == set(Operation)
    assert all(set(situations) == set(Situation) for situations in ACTIONS.values())
