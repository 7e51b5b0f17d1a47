"""Loading handler scripts and calling them as they are written to be called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mpingest.errors import MpingestError
from mpingest.handler.calls import Defaults, Handler, HandlerFailure
from mpingest.handler.load import load_handler
from mpingest.handler.operations import Operation

IMPORTS = """\
from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation
"""


def load(tmp_path: Path, body: str) -> Handler:
    script = tmp_path / "handler.py"
    script.write_text(IMPORTS + "calls = []\nclass event_handler(Core):\n" + body)
    return load_handler(str(script), Defaults())


def calls_of(handler: Handler) -> list[Any]:
    assert handler.module is not None
    calls: list[Any] = handler.module.calls
    return calls


def test_without_a_script_everything_has_its_default() -> None:
    handler = Handler(Defaults(Operation.PUT))
    assert handler.operation(None, {}) is Operation.PUT
    assert handler.to_resource(None, {}) is None
    assert handler.target_path(None, {}) is None
    handler.hook("pre_data_obj_create", None, None, {})


def test_methods_are_called_with_the_signatures_of_the_framework(tmp_path: Path) -> None:
    handler = load(
        tmp_path,
        """
    @staticmethod
    def operation(session, meta, **options):
        calls.append(("operation", session, meta, options))
        return Operation.PUT
    @staticmethod
    def to_resource(session, meta, **options):
        return "resc of " + meta["path"]
    @staticmethod
    def target_path(session, meta, **options):
        return "/mounted" + meta["path"]
    @staticmethod
    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        calls.append((hdlr_mod.__name__, logger, session, meta["path"], args, options))
    @staticmethod
    def post_coll_create(hdlr_mod, logger, session, meta, **options):
        calls.append((hdlr_mod.__name__, logger, session, meta["path"], options))
""",
    )
    meta = {"path": "/p"}
    assert handler.operation("S", meta) is Operation.PUT
    assert handler.to_resource("S", meta) == "resc of /p"
    assert handler.target_path("S", meta) == "/mounted/p"
    handler.hook("pre_data_obj_create", "L", "S", meta, Operation.PUT, allow_redirect=False)
    handler.hook("post_coll_create", "L", "S", meta)
    handler.hook("post_data_obj_create", "L", "S", meta)
    module = handler.module.__name__
    assert calls_of(handler) == [
        ("operation", "S", meta, {}),
        (module, "L", "S", "/p", (Operation.PUT,), {"allow_redirect": False}),
        (module, "L", "S", "/p", {}),
    ]


def test_a_hook_cannot_change_the_meta_of_others(tmp_path: Path) -> None:
    handler = load(
        tmp_path,
        """
    @staticmethod
    def pre_data_obj_create(hdlr_mod, logger, session, meta, **options):
        meta["path"] = "elsewhere"
""",
    )
    meta = {"path": "/p"}
    handler.hook("pre_data_obj_create", None, None, meta)
    assert meta == {"path": "/p"}


@pytest.mark.parametrize(
    ("method", "call", "message"),
    [
        ("def operation(session, meta, **options):\n        return None", "operation", "not an Operation"),
        ("def operation(session, meta, **options):\n        raise ValueError('no')", "operation", "ValueError: no"),
        ("def to_resource(session, meta, **options):\n        return 7", "to_resource", "not a string"),
        ("def target_path(session, meta, **options):\n        import sys; sys.exit(4)", "target_path", "SystemExit"),
        ("def to_resource(meta):\n        return 7", "to_resource", "TypeError"),
    ],
)
def test_nonsense_of_a_method_is_a_failure_of_the_entry(tmp_path: Path, method: str, call: str, message: str) -> None:
    handler = load(tmp_path, f"    @staticmethod\n    {method}\n")
    with pytest.raises(HandlerFailure, match=message):
        getattr(handler, call)(None, {})


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("missing.py", None, "no such file"),
        ("handler.py", "def broken(:\n", "syntax error in line 1"),
        ("handler.py", "x = 1\n", "defines no class 'event_handler'"),
        ("handler.py", "event_handler = 5\n", "defines no class 'event_handler'"),
        ("handler.py", "import nothing_of_that_name\n", "No module named 'nothing_of_that_name'"),
        ("handler.py", "import sys; sys.exit(3)\n", "SystemExit"),
        ("handler.txt", "class event_handler: pass\n", "must end in .py"),
    ],
)
def test_a_script_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(MpingestError, match=message) as caught:
        load_handler(str(path), Defaults())
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_loading_leaves_nothing_behind(tmp_path: Path) -> None:
    before = sys.dont_write_bytecode
    load(tmp_path, "    pass\n")
    assert [path.name for path in tmp_path.iterdir()] == ["handler.py"]
    assert sys.dont_write_bytecode == before
