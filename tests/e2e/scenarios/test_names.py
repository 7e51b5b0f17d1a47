"""Names that aren't UTF-8, and names that a character map changes, under each operation that makes objects."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.handler.operations import Operation
from tests.conftest import CommandLine
from tests.e2e.scenarios.bench import Replica, content, replicas_below, settle

NOT_UTF8 = (b"begun \xe1\x80", b"deep/er/\xff\xfe")
MAPPED = (b"test-file~with@5!non.alphas", "deep/er/\xfc".encode())
PLAIN = (b"plain",)
NAMES = (*NOT_UTF8, *MAPPED, *PLAIN)
SCRIPT = """\
import os
import re

from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation


class event_handler(Core):
    @staticmethod
    def character_map():
        return {re.compile("[^a-zA-Z0-9]"): "_"}

    @staticmethod
    def target_path(session, meta, **options):
        return os.fsencode(meta["path"]).decode("latin-1") if "b64_path_str" in meta else None

    @staticmethod
    def operation(session, meta, **options):
        name = os.path.relpath(meta["path"], meta["root"]).split("/")[0]
        return Operation.__members__.get(name, Operation.REGISTER_SYNC)
"""
UNITS = "python3.base64.b64encode(full_path_of_source_file)"

OPERATIONS = pytest.mark.parametrize(
    "operation", [one for one in Operation if one is not Operation.NO_OP], ids=lambda operation: operation.name
)


@dataclass(frozen=True)
class Named:
    """runs: replicas by path below the target after each of two runs, between which every file has grown.

    contents: of what is put, after each; failures: of both
    """

    root: bytes
    runs: list[dict[str, list[Replica]]]
    contents: list[dict[str, bytes]]
    failures: list[str]
    session: iRODSSession
    target: str


@pytest.fixture(scope="module")
def named(
    command_line: CommandLine, module_session: iRODSSession, module_directory: Path, module_target: str, ranks: int
) -> Iterator[Named]:
    root = os.path.join(os.fsencode(module_directory), b"root")
    paths = [os.path.join(root, operation.name.encode(), name) for operation in Operation for name in NAMES]
    script = module_directory / "handler.py"
    script.write_text(SCRIPT)
    runs, contents, failures = [], [], []
    for text in (b"before", b", and after"):
        for path in paths:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "ab") as file:
                file.write(text)
        settle()
        command_line.start(module_directory / "root", module_target, "--event-handler", script, ranks=ranks)
        found = replicas_below(module_session, module_target)
        runs.append(found)
        contents.append(
            {
                name: content(module_session, f"{module_target}/{name}", replicas)
                for name, replicas in found.items()
                if name.startswith("PUT")
            }
        )
        failures += [failure["path"] for failure in command_line.failures()]
    yield Named(root, runs, contents, failures, module_session, module_target)


def objects_of(named: Named, operation: Operation, source: bytes) -> str:
    """The path below the target that belongs to a file, as the framework names it."""
    path = os.path.join(named.root, operation.name.encode(), source)
    directory, _, name = source.rpartition(b"/")
    below = f"{operation.name}/{directory.decode()}/" if directory else f"{operation.name}/"
    if source in NOT_UTF8:
        return f"{below}irods_UnicodeEncodeError_{base64.b64encode(path).decode().replace('/', '_')}"
    if source in MAPPED:
        pattern = re.compile(re.escape(below + re.sub("[^a-zA-Z0-9]", "_", name.decode())) + "_[a-zA-Z0-9]+")
        (found,) = filter(pattern.fullmatch, named.runs[0])
        return found
    return below + name.decode()


@OPERATIONS
def test_they_are_named_as_the_framework_names_them(named: Named, operation: Operation) -> None:
    expected = {objects_of(named, operation, source) for source in NAMES}
    for run in named.runs:
        assert {name for name in run if name.startswith(f"{operation.name}/")} == expected
    assert named.failures == []


@OPERATIONS
def test_metadata_tells_where_they_come_from(named: Named, operation: Operation) -> None:
    for source in NAMES:
        metadata = named.session.data_objects.get(f"{named.target}/{objects_of(named, operation, source)}").metadata
        path = base64.b64encode(os.path.join(named.root, operation.name.encode(), source)).decode()
        reason = "UnicodeEncodeError" if source in NOT_UTF8 else "character_map" if source in MAPPED else ""
        expected = [(f"irods::automated_ingest::{reason}", path, UNITS)] if reason else []
        assert [(avu.name, avu.value, avu.units) for avu in metadata.items()] == expected


@OPERATIONS
def test_content_and_changes_arrive(named: Named, operation: Operation) -> None:
    after = b"before" if operation is Operation.PUT else b"before, and after"
    for source in NAMES:
        name = objects_of(named, operation, source)
        for run, contents, text in zip(named.runs, named.contents, (b"before", after), strict=True):
            (replica,) = run[name]
            assert (replica.size, replica.status) == (len(text), "1")
            if operation.sends_content:
                assert contents[name] == text
            else:
                path = os.path.join(named.root, operation.name.encode(), source)
                assert replica.path == path.decode("latin-1" if source in NOT_UTF8 else "utf-8")
