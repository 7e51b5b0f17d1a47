"""Every operation with every delete mode: what goes, what stays, and what is refused before any work."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from irods.column import Like
from irods.models import Collection, DataObject
from irods.session import iRODSSession

from mpingest.errors import MpingestError
from mpingest.handler.calls import Defaults, Handler
from mpingest.handler.operations import DeleteMode, Operation
from mpingest.jobs.preflight import check_delete_mode
from tests.conftest import CommandLine
from tests.e2e.checking import collections_below
from tests.e2e.scenarios.bench import State, look, settle

REGISTERING = {Operation.REGISTER_SYNC, Operation.REGISTER_AS_REPLICA_SYNC}
PUTTING = {Operation.PUT_SYNC, Operation.PUT_APPEND}
PAIRS = [(operation, mode) for operation in Operation for mode in DeleteMode]
FITTING = [
    (operation, mode)
    for operation, mode in PAIRS
    if mode is DeleteMode.DO_NOT_DELETE
    or (mode is DeleteMode.UNREGISTER and operation in REGISTERING)
    or (mode in (DeleteMode.TRASH, DeleteMode.NO_TRASH) and operation in PUTTING)
]
NOT_FITTING = [pair for pair in PAIRS if pair not in FITTING]
FILES = ("removed/a", "removed/below/b", "emptied/c", "kept/d", "e")
GONE = ("removed/a", "removed/below/b", "emptied/c", "e")
COLLECTIONS = {"removed", "removed/below", "emptied", "kept"}

HANDLER = """\
import os

from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import DeleteMode, Operation


def names(meta):
    pair = os.path.relpath(meta["path"], meta["root"]).split("/")[0].split("-")
    return pair if len(pair) == 2 else ("REGISTER_SYNC", "DO_NOT_DELETE")


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation[names(meta)[0]]

    @staticmethod
    def delete_mode(meta):
        return DeleteMode[names(meta)[1]]
"""

Pair = tuple[Operation, DeleteMode]


def name_of(pair: Pair) -> str:
    return "-".join(one.name for one in pair)


fitting = pytest.mark.parametrize("pair", FITTING, ids=name_of)
not_fitting = pytest.mark.parametrize("pair", NOT_FITTING, ids=name_of)


@dataclass(frozen=True)
class Deletions:
    """How things stood before and after files went. collections: after; trash: names in it, by path below target."""

    first: State
    second: State
    collections: set[str]
    trash: set[str]


@pytest.fixture(scope="module")
def deletions(
    command_line: CommandLine, module_session: iRODSSession, module_directory: Path, module_target: str, ranks: int
) -> Iterator[Deletions]:
    root = module_directory / "root"
    for pair in PAIRS:
        for name in FILES:
            path = root / name_of(pair) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
    script = module_directory / "handler.py"
    script.write_text(HANDLER)
    states = []
    for run in range(2):
        if run:
            for pair in PAIRS:
                remove(root / name_of(pair))
        settle()
        command_line.start(root, module_target, "--event-handler", script, "--max-delete", "1000", ranks=ranks)
        states.append(look(module_session, root, module_target, command_line, read=False))
    collections = collections_below(module_session, module_target)
    yield Deletions(*states, collections, trash_of(module_session, module_target))


def remove(directory: Path) -> None:
    shutil.rmtree(directory / "removed")
    (directory / "emptied/c").unlink()
    (directory / "e").unlink()


def trash_of(session: iRODSSession, target: str) -> set[str]:
    below = f"/{session.zone}/trash/home/{session.username}/{os.path.basename(target)}/"
    rows = session.query(Collection.name, DataObject.name).filter(Like(Collection.name, f"{below}%"))
    return {f"{row[Collection.name]}/{row[DataObject.name]}".removeprefix(below) for row in rows}


@fitting
def test_what_is_gone_goes_as_the_mode_says(deletions: Deletions, pair: Pair) -> None:
    base, (operation, mode) = name_of(pair), pair
    before = {} if operation is Operation.NO_OP else {f"{base}/{name}" for name in FILES}
    assert below(deletions.first.replicas, base) == set(before)
    deleting = mode is not DeleteMode.DO_NOT_DELETE
    gone = {f"{base}/{name}" for name in GONE} if deleting else set()
    assert below(deletions.second.replicas, base) == set(before) - gone
    assert below(deletions.trash, base) == (gone if mode is DeleteMode.TRASH else set())
    if mode is DeleteMode.NO_TRASH:
        assert not any(os.path.exists(deletions.first.replicas[name][0].path) for name in gone)


def below(names: object, base: str) -> set[str]:
    return {name for name in names if name.startswith(f"{base}/")}  # type: ignore[attr-defined]


@fitting
def test_collections_go_with_their_directories_and_an_emptied_one_stays(deletions: Deletions, pair: Pair) -> None:
    base, (operation, mode) = name_of(pair), pair
    if operation is Operation.NO_OP:
        expected = set()
    elif mode is DeleteMode.DO_NOT_DELETE:
        expected = COLLECTIONS
    else:
        expected = {"emptied", "kept"}
    assert below(deletions.collections, base) == {f"{base}/{name}" for name in expected}


@not_fitting
def test_a_directory_whose_mode_does_not_fit_is_refused_before_any_work(deletions: Deletions, pair: Pair) -> None:
    base, (operation, mode) = name_of(pair), pair
    for state in (deletions.first, deletions.second):
        reason = f"delete mode {mode.name} does not fit operation {operation.name}"
        assert state.failures[base] == {"path": base, "reason": reason}
        assert not below(state.replicas, base)
    assert base not in deletions.collections


def test_nothing_else_fails(deletions: Deletions) -> None:
    for state in (deletions.first, deletions.second):
        assert set(state.failures) == set(map(name_of, NOT_FITTING))


@pytest.mark.parametrize("pair", PAIRS, ids=name_of)
def test_a_job_whose_mode_does_not_fit_is_refused_before_any_work(pair: Pair) -> None:
    """See tests/e2e/test_delete.py for how a user meets it."""
    handler = Handler(Defaults(*pair))
    if pair in FITTING:
        check_delete_mode(handler, None, {})
        return
    operation, mode = (one.name.lower() for one in pair)
    with pytest.raises(MpingestError, match=f"delete mode {mode} does not fit operation {operation}: it takes"):
        check_delete_mode(handler, None, {})
