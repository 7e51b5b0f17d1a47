"""Handlers that misbehave: their entry fails with the reason, the run goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.session import iRODSSession

from tests.conftest import CommandLine
from tests.e2e.checking import objects_below

MakeTree = Callable[[dict[str, bytes]], Path]
TREE = {"bad": b"bad", "good": b"good", "dir/good": b"good"}
HOOK = "def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):"


def write_handler(tmp_path: Path, signature: str, body: str, more: str = "") -> Path:
    """A script whose one method does ``body`` for the entry ``bad``."""
    script = tmp_path / "handler.py"
    lines = [
        "import os, signal, sys, time, threading",
        more,
        "class event_handler:",
        "    @staticmethod",
        f"    {signature}",
        "        if meta['path'].endswith('/bad'):",
        f"            {body}",
    ]
    script.write_text("\n".join(lines) + "\n        " + DEFAULTS.get(signature, "return None") + "\n")
    return script


OPERATION = "def operation(session, meta, **options):"
DEFAULTS = {
    OPERATION: "from mpingest.handler.operations import Operation; return Operation.PUT_SYNC",
    "def max_retries(cls, logger, meta):": "return 0",
}


@pytest.mark.parametrize(
    ("signature", "body", "reason"),
    [
        (HOOK, "raise KeyError('sample')", "pre_data_obj_create() raised KeyError: 'sample'"),
        (HOOK, "sys.exit('enough')", "pre_data_obj_create() raised SystemExit: enough"),
        (HOOK, "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "pre_data_obj_create() raised ValueError: signal only"),
        (OPERATION, "return 'PUT'", "operation() returned 'PUT', not an Operation"),
        ("def to_resource(session, meta, **options):", "return 7", "to_resource() returned 7"),
        ("def target_path(session, meta, **options):", "return chr(0xdcff)", "target_path() returned"),
        ("def target_path(session, meta, **options):", "return b'/x'", "target_path() returned b'/x'"),
        ("def as_user(meta, **options):", "return 'alice'", "as_user() returned 'alice', not a zone and a user"),
        ("def as_user(meta, **options):", "return ('tempZone', 'nobody-of-that-name')", "login refused"),
        ("def metadata(meta):", "return [('a',)]", "metadata(): ('a',) has not 2 or 3 parts"),
        ("def metadata(meta):", "return {'a': 'b'}", "metadata(): {'a': 'b'} is not a list"),
        ("def metadata(meta):", "return [('a', 5)]", "metadata(): ('a', 5, '') is not an attribute"),
        ("def acl(meta):", "return [('read', 'nobody-of-that-name')]", "Invalid entity"),
        ("def collection_for(meta):", "return '/otherZone/x'", "no collection of zone tempZone"),
        ("def collection_for(meta):", "return '../../elsewhere'", "no collection of zone tempZone"),
        ("def timeout(cls, logger, meta):", "return -1", "timeout() returned -1"),
        ("def timeout(cls, logger, meta):", "return 'soon'", "timeout() returned 'soon'"),
    ],
)
def test_one_entry_fails_and_says_why(
    mpingest: CommandLine,
    make_tree: MakeTree,
    session: iRODSSession,
    tmp_path: Path,
    target: str,
    signature: str,
    body: str,
    reason: str,
) -> None:
    root = make_tree(TREE)
    script = write_handler(tmp_path, signature, body)
    assert mpingest("start", "--event-handler", script, root, target).returncode == 3, mpingest.last.stderr
    (failure,) = mpingest.failures()
    assert failure["path"] == "bad"
    assert reason in failure["reason"]
    # What collection_for says nothing of stays where it belongs.
    assert {"good", "dir/good"} <= set(objects_below(session, target))


def test_what_it_prints_and_where_it_goes_harms_nobody(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    root = make_tree(TREE)
    body = "os.write(1, b'\\x1b[2J garbage' * 1000); print('garbage', file=sys.stderr); os.chdir('/')"
    at_import = "os.chdir('/tmp'); signal.signal(signal.SIGTERM, signal.SIG_IGN); sys.stdout.write('garbage')"
    script = write_handler(tmp_path, HOOK, body, at_import)
    done = mpingest("start", "--event-handler", script, root, target, ranks=2)
    assert done.returncode == 0
    assert set(objects_below(session, target)) == set(TREE)


def test_what_is_stuck_costs_its_timeout_and_not_more(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    """More entries are stuck than threads may be: those beyond fail at once, all others are ingested."""
    script = tmp_path / "handler.py"
    script.write_text(
        "import time\n"
        "class event_handler:\n"
        "    @staticmethod\n"
        "    def timeout(cls, logger, meta):\n"
        "        return 0.05\n"
        "    @staticmethod\n"
        "    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):\n"
        "        if 'stuck' in meta['path']:\n"
        "            time.sleep(600)\n"
    )
    root = make_tree({f"good{number}": b"" for number in range(5)} | {f"stuck{number}": b"" for number in range(50)})
    began = time.monotonic()
    assert mpingest("start", "--event-handler", script, root, target).returncode == 3
    assert time.monotonic() - began < 60
    reasons = {failure["path"]: failure["reason"] for failure in mpingest.failures()}
    assert {name for name in reasons if name.startswith("stuck")} == {f"stuck{number}" for number in range(50)}
    assert {reason.split(" of ")[0].split(":")[0] for reason in reasons.values()} == {
        "took longer than its timeout",
        "not tried",
    }


def test_entries_that_wait_to_be_tried_again_hold_up_nobody(
    mpingest: CommandLine, make_tree: MakeTree, session: iRODSSession, tmp_path: Path, target: str
) -> None:
    script = tmp_path / "handler.py"
    script.write_text(
        "class event_handler:\n"
        "    @staticmethod\n"
        "    def max_retries(cls, logger, meta):\n"
        "        return 1\n"
        "    @staticmethod\n"
        "    def delay(cls, logger, meta, retries):\n"
        "        return 2\n"
        "    @staticmethod\n"
        "    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):\n"
        "        if 'bad' in meta['path']:\n"
        "            raise RuntimeError('never')\n"
    )
    root = make_tree({f"dir{number}/{name}": b"" for number in range(20) for name in ("bad", "good")})
    began = time.monotonic()
    mpingest("start", "--event-handler", script, root, target)
    # One after the other they would take 40 s.
    assert time.monotonic() - began < 20
    assert len(mpingest.failures()) == 20
    assert len(objects_below(session, target)) == 20
