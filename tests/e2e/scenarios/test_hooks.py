"""Which methods of a handler are called under each operation, with what, and what they find in ``meta``."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from irods.session import iRODSSession

from mpingest.handler.operations import Operation
from tests.conftest import CommandLine
from tests.e2e.scenarios.bench import settle

RECORDING = Path(__file__).with_name("recording.py")
FILES = ("existing/same", "made/changed", "made/touched", "made/gone", "made/flaky", "leaves/file")
SENT = {Operation.PUT, Operation.PUT_SYNC, Operation.PUT_APPEND}
DELETING = set(Operation) - {Operation.PUT, Operation.NO_OP}
OPERATIONS = pytest.mark.parametrize("operation", Operation, ids=lambda operation: operation.name)

Hooks = Counter[tuple[str, str]]
"""What hook is called around and where, below the directory of the operation."""


@dataclass(frozen=True)
class Run:
    """calls: of methods, in order; annotated: (hook, logical path, operation) of every AVU that hooks left."""

    calls: list[dict[str, Any]]
    annotated: Counter[tuple[str, str, str]]


@dataclass(frozen=True)
class Recorded:
    """Two runs of ``RECORDING``. Between them, all happens that the names of the files say."""

    root: Path
    target: str
    first: Run
    second: Run


@pytest.fixture(scope="module")
def recorded(
    command_line: CommandLine, module_session: iRODSSession, module_directory: Path, module_target: str, ranks: int
) -> Iterator[Recorded]:
    root, target, calls = module_directory / "root", f"{module_target}/ingested", module_directory / "calls"
    command_line.environment["CALLS"] = str(calls)
    for operation in Operation:
        for name in FILES:
            path = root / operation.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"before")
        (root / operation.name / "empty").mkdir()
        module_session.collections.create(f"{target}/{operation.name}/existing")
    replica = f"{Operation.REGISTER_AS_REPLICA_SYNC.name}/existing/replica"
    (root / replica).write_bytes(b"before")
    module_session.data_objects.put(str(root / "PUT/made/gone"), f"{target}/{replica}")
    runs = []
    for run in range(2):
        if run:
            for operation in Operation:
                change(root / operation.name)
        settle()
        calls.write_text("")
        excludes = ("--exclude-file-type", "socket", "--exclude-file-name", "/no/file")
        command_line.start(root, target, "--event-handler", RECORDING, *excludes, ranks=ranks)
        assert command_line.failures() == []
        metadata = module_session.collections.get(module_target).metadata
        annotated = Counter((avu.name, avu.value, avu.units) for avu in metadata.items())
        metadata.remove_all()
        runs.append(Run([json.loads(line) for line in calls.read_text().splitlines()], annotated))
    yield Recorded(root, target, *runs)


def change(directory: Path) -> None:
    (directory / "made/changed").write_bytes(b"before, and changed since")
    (directory / "made/touched").chmod(0o640)
    (directory / "made/gone").unlink()
    shutil.rmtree(directory / "leaves")
    (directory / "existing/added").write_bytes(b"")


def hooks(what: str, *names: str) -> Hooks:
    return Counter((f"{when}_{what}", name) for when in ("pre", "post") for name in names)


def expected_first(operation: Operation) -> Hooks:
    files = hooks("data_obj_create", *FILES) + Counter([("pre_data_obj_create", "made/flaky")])
    if operation is Operation.REGISTER_AS_REPLICA_SYNC:
        files += hooks("data_obj_create", "existing/replica")
    return files + hooks("coll_create", "made", "leaves", "empty") + hooks("coll_modify", "", "existing")


def expected_second(operation: Operation) -> Hooks:
    called = hooks("data_obj_create", "existing/added") + hooks("data_obj_modify", "made/touched")
    if operation is not Operation.PUT:
        called += hooks("data_obj_modify", "made/changed")
    if operation in DELETING:
        called += hooks("data_obj_delete", "made/gone", "leaves/file") + hooks("coll_delete", "leaves")
    return called + hooks("coll_modify", "", "existing", "made")


def called(run: Run, target: str, operation: Operation) -> Hooks:
    """Hooks of one operation."""
    base = f"{target}/{operation.name}"
    paths = ((call["method"], call["meta"].get("target", "")) for call in run.calls)
    return Counter(
        (method, path.removeprefix(base).removeprefix("/"))
        for method, path in paths
        if method.startswith(("pre_", "post_")) and f"{path}/".startswith(f"{base}/")
    )


@OPERATIONS
def test_around_what_hooks_are_called(recorded: Recorded, operation: Operation) -> None:
    assert called(recorded.first, recorded.target, operation) == expected_first(operation)
    assert called(recorded.second, recorded.target, operation) == expected_second(operation)


@OPERATIONS
def test_hooks_can_annotate(recorded: Recorded, operation: Operation) -> None:
    base = f"{recorded.target}/{operation.name}"
    for run in (recorded.first, recorded.second):
        annotated = {avu for avu in run.annotated if f"{avu[1]}/".startswith(f"{base}/")}
        hooks_called = called(run, recorded.target, operation)
        assert annotated == {(hook, f"{base}/{name}".rstrip("/"), operation.name) for hook, name in hooks_called}


def test_the_first_sync_of_the_target_is_a_change_of_it(recorded: Recorded) -> None:
    root_calls = [call["method"] for call in recorded.first.calls if call["meta"].get("target") == recorded.target]
    assert {"pre_coll_modify", "post_coll_modify"} <= set(root_calls)


MODULE, CLASS = "mpingest_event_handler", "event_handler"
WHEN = ("pre", "post")
AROUND = ("data_obj_create", "data_obj_modify", "coll_create", "coll_modify")
AROUND_DELETIONS = ("data_obj_delete", "coll_delete")
SIGNATURES = {
    **{f"{when}_{what}": [MODULE, "logger", "session", "dict"] for when in WHEN for what in AROUND},
    **{f"{when}_{what}": [MODULE, "session", "dict"] for when in WHEN for what in AROUND_DELETIONS},
    **{f"{when}_job": [CLASS, "logger", "dict"] for when in WHEN},
    **{name: ["session", "dict"] for name in ("operation", "to_resource", "target_path")},
    **{name: ["dict"] for name in ("as_user", "delete_mode")},
    **{name: [CLASS, "logger", "dict"] for name in ("max_retries", "timeout")},
    "delay": [CLASS, "logger", "dict", "int"],
    "character_map": [],
}


def test_every_method_is_called_as_it_is_written(recorded: Recorded) -> None:
    calls = recorded.first.calls + recorded.second.calls
    assert {call["method"] for call in calls} == set(SIGNATURES)
    for call in calls:
        extra = [name for name in call["args"] if name in Operation.__members__]
        assert call["args"] == SIGNATURES[call["method"]] + extra
        assert extra == expected_operation(call), call


def expected_operation(call: dict[str, Any]) -> list[str]:
    """The operation, around what a put is about to send; not for a file of which only ctime has changed."""
    method, meta = call["method"], call["meta"]
    if not method.endswith(("data_obj_create", "data_obj_modify")):
        return []
    if method.endswith("modify") and meta["path"].endswith("touched"):
        return []
    name = str(Path(meta["path"]).relative_to(meta["root"])).split("/")[0]
    return [name] if Operation[name] in SENT else []


def test_options(recorded: Recorded) -> None:
    for call in recorded.first.calls + recorded.second.calls:
        if not call["method"].endswith(("data_obj_create", "data_obj_modify")) or "/NO_OP/" in call["meta"]["path"]:
            assert call["options"] == {}
        elif call["meta"]["path"].endswith("replica"):
            assert call["options"] == {"allow_redirect": False, "regRepl": ""}
        else:
            assert call["options"] == {"allow_redirect": False}


NOTHING = dict.fromkeys(
    (
        *("interval", "synchronous", "append_json"),
        *("s3_keypair", "s3_endpoint_domain", "s3_region_name", "s3_proxy_url", "s3_secure_connection", "s3_prefix"),
        *("s3_multipart_chunksize_in_mib", "s3_access_key", "s3_secret_key", "event_handler_key"),
    )
)
LOGGING = {"filename": None, "when": None, "interval": None, "level": None}


def test_what_meta_says_of_the_job(recorded: Recorded) -> None:
    root = str(recorded.root)
    expected = NOTHING | {
        **dict.fromkeys(("root", "src_path"), root),
        "root_target_collection": recorded.target,
        **dict.fromkeys(("initial_ingest", "ignore_cache"), False),
        "event_handler": str(RECORDING),
        **dict.fromkeys(("profile", "progress"), False),
        "files_per_task": 1000,
        "idle_disconnect_seconds": 60.0,
        **dict.fromkeys(("restart_queue", "path_queue", "file_queue", "queue_name"), ""),
        "exclude_file_type": ["socket"],
        "exclude_file_name": ["/no/file"],
        "exclude_directory_name": [],
        "config": {"log": LOGGING, "profile": LOGGING, "redis": {"host": None, "port": None, "db": None}},
    }
    names = set()
    for call in recorded.first.calls:
        if call["method"] != "character_map":
            assert {key: call["meta"][key] for key in expected} == expected
            names.add(call["meta"]["job_name"])
        if call["method"] in ("pre_job", "post_job"):
            assert {key: call["meta"][key] for key in ("path", "target")} == {"path": root, "target": recorded.target}
    assert len(names) == 1


def test_what_meta_says_of_a_file(recorded: Recorded) -> None:
    for operation in set(Operation) - {Operation.PUT}:
        path = recorded.root / operation.name / "made/changed"
        (meta,) = (call["meta"] for call in recorded.second.calls if is_hook(call, "post_data_obj_modify", path))
        status = path.stat()
        facts = {
            "is_link": False,
            "is_socket": False,
            "mtime": status.st_mtime,
            "ctime": status.st_ctime,
            "size": status.st_size,
        }
        expected = facts | {
            "path": str(path),
            "target": f"{recorded.target}/{operation.name}/made/changed",
            "entry_type": "file",
            "task": "sync_file",
            "is_empty_dir": None,
            "chunk": {str(path): facts},
        }
        assert {key: meta[key] for key in expected} == expected


def is_hook(call: dict[str, Any], method: str, path: Path) -> bool:
    return call["method"] == method and call["meta"]["path"] == str(path)


def test_what_meta_says_of_a_directory(recorded: Recorded) -> None:
    path = recorded.root / "PUT_SYNC/made"
    (meta,) = (call["meta"] for call in recorded.first.calls if is_hook(call, "post_coll_create", path))
    expected = {
        "path": str(path),
        "target": f"{recorded.target}/PUT_SYNC/made",
        "entry_type": "dir",
        "task": "filesystem_sync_dir",
    }
    assert {key: meta[key] for key in expected} == expected
    assert "chunk" not in meta
    assert {"mtime", "ctime"} <= set(meta)


def test_what_meta_says_of_what_is_gone(recorded: Recorded) -> None:
    base, collection = recorded.root / "REGISTER_SYNC", f"{recorded.target}/REGISTER_SYNC"
    (of_file,) = (
        call["meta"] for call in recorded.second.calls if is_hook(call, "pre_data_obj_delete", base / "made/gone")
    )
    expected = {
        "target": f"{collection}/made/gone",
        "entry_type": "file",
        "task": "delete_data_object",
        "target_collection": f"{collection}/made",
        "delete_empty_parent_collection": f"{collection}/made",
        "data_objects_to_delete": [f"{collection}/made/gone"],
    }
    assert {key: of_file[key] for key in expected} == expected
    (of_directory,) = (
        call["meta"] for call in recorded.second.calls if is_hook(call, "post_coll_delete", base / "leaves")
    )
    expected = {
        "target": f"{collection}/leaves",
        "entry_type": "dir",
        "task": "delete_collection",
        "target_collection": f"{collection}/leaves",
    }
    assert {key: of_directory[key] for key in expected} == expected
