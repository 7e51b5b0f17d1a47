"""The table of operations and situations, spelt out; and from a file's change to it, as the docs say."""

from __future__ import annotations

import os

import numpy as np
import pytest

from mpingest.handler.operations import DeleteMode, Operation
from mpingest.ingest.actions import ACTIONS, Request, Situation
from mpingest.ingest.delete import COMPATIBLE
from mpingest.jobs.visit import _situations
from mpingest.manifest.block import RESULT_DTYPE
from mpingest.manifest.diff import Comparison, compare
from mpingest.manifest.states import Change, Outcome
from mpingest.scan.entries import ENTRY_DTYPE, EntryBatch, entry_row
from tests.ingest.documented import CHANGES, documented

TABLE = """
operation                ABSENT           FOUND            ELSEWHERE               CHANGED          UNSETTLED        METADATA   MOVED         MOVED_CHANGED
REGISTER_SYNC            REGISTER/CREATE  RECONCILE/MODIFY RECONCILE/MODIFY        UPDATE/MODIFY    UPDATE/MODIFY    NOTHING/MODIFY RELOCATE/NONE RELOCATE_AND_UPDATE/MODIFY
REGISTER_AS_REPLICA_SYNC REGISTER/CREATE  RECONCILE/MODIFY REGISTER_REPLICA/CREATE UPDATE/MODIFY    UPDATE/MODIFY    NOTHING/MODIFY RELOCATE/NONE RELOCATE_AND_UPDATE/MODIFY
PUT                      PUT/CREATE       OVERWRITE/MODIFY OVERWRITE/MODIFY        KEEP/NONE        OVERWRITE/MODIFY NOTHING/MODIFY NOTHING/NONE  OVERWRITE/MODIFY
PUT_SYNC                 PUT/CREATE       OVERWRITE/MODIFY OVERWRITE/MODIFY        OVERWRITE/MODIFY OVERWRITE/MODIFY NOTHING/MODIFY NOTHING/NONE  OVERWRITE/MODIFY
PUT_APPEND               PUT/CREATE       OVERWRITE/MODIFY OVERWRITE/MODIFY        APPEND/MODIFY    OVERWRITE/MODIFY NOTHING/MODIFY NOTHING/NONE  OVERWRITE/MODIFY
NO_OP                    NOTHING/CREATE   NOTHING/MODIFY   NOTHING/MODIFY          NOTHING/MODIFY   NOTHING/MODIFY   NOTHING/MODIFY NOTHING/NONE  NOTHING/MODIFY
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


KNOWN = entry_row(os.stat(__file__))


def recorded_and_found(change: str) -> tuple[Outcome, np.void]:
    """What became of a file the last time, and how it is now; ``KNOWN`` is how it was."""
    found = KNOWN.copy()
    if change == "modified":
        found["size"] += 1
    elif change == "metadata-only":
        found["ctime_ns"] += 1
    return (Outcome.FAILED if change == "retry" else Outcome.DONE), found


def compared(change: str) -> tuple[EntryBatch, Comparison]:
    """A file beside what is recorded of it."""
    outcome, found = recorded_and_found(change)
    files = EntryBatch.build([b"file"], found.reshape(1))
    if change == "new":
        return files, Comparison(np.array([Change.NEW], np.uint8), np.zeros(1, ENTRY_DTYPE), np.zeros(1, RESULT_DTYPE))
    results = np.zeros(1, RESULT_DTYPE)
    results["outcome"] = outcome
    rows = KNOWN.reshape(1)
    return files, Comparison(compare(rows, results["outcome"], files.rows), rows, results)


@pytest.mark.parametrize("change", [change for change in CHANGES if change != "deleted"])
@pytest.mark.parametrize("operation", Operation)
def test_what_is_done_about_a_change_is_what_the_docs_say(operation: Operation, change: str) -> None:
    files, comparison = compared(change)
    assert Change(int(comparison.change[0])).name.lower() == change.removesuffix("-only")
    expected = documented()[operation, change]
    if comparison.change[0] == Change.UNCHANGED:
        assert expected == ("-", "")
        return
    action = ACTIONS[operation][Situation(int(_situations(files, comparison)[0]))]
    sent = "-" if action.request in (Request.NOTHING, Request.KEEP) else action.request.name.lower()
    assert (sent, action.hook.value.removeprefix("data_obj_")) == expected


@pytest.mark.parametrize("operation", Operation)
def test_what_is_done_about_what_is_gone_is_what_the_docs_say(operation: Operation) -> None:
    sent = {DeleteMode.UNREGISTER: "unregister", DeleteMode.TRASH: "unlink", DeleteMode.NO_TRASH: "unlink"}
    possible = {(sent[mode], "delete") for mode in COMPATIBLE[operation] if mode in sent}
    assert documented()[operation, "deleted"] == (possible.pop() if possible else ("-", ""))
    assert not possible
