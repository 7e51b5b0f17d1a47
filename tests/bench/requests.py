"""Requests an entry costs, counted by the zone: ``python -m tests.bench.requests [CASE ...]``.

Each case is run with n entries and with 2 n; what the second run costs more, divided by n, is what an entry costs.
So neither logging in nor the look at target and resource before a run counts, nor does what a directory costs once.
A run is of one process with one connection, so that it logs in as often for n as for 2 n.

The column "framework" holds round trips of the iRODS Automated Ingest Framework 0.7.0 (commit d15b750) with
python-irodsclient 3.3.0, counted over a fake connection and in part read in its source. They were not measured here.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import CommandLine

MIB = 1024 * 1024
SETTLED = 0.1
"""Seconds after which timestamps are older than their tick."""
Tree = Callable[[Path, int], None]


def files(root: Path, count: int, content: bytes = b"x" * 1024) -> None:
    for number in range(count):
        (root / f"file{number}").write_bytes(content)


def of_size(size: int) -> Tree:
    return lambda root, count: files(root, count, b"x" * size)


def directories(root: Path, count: int) -> None:
    for number in range(count):
        (root / f"dir{number}").mkdir()


def directories_of_one(root: Path, count: int) -> None:
    directories(root, count)
    for directory in list(root.iterdir()):
        files(directory, 1)


def links(root: Path, count: int) -> None:
    for number in range(count):
        (root / f"link{number}").symlink_to("file")


def not_utf8(root: Path, count: int) -> None:
    for number in range(count):
        with open(os.path.join(os.fsencode(root), b"\xff%d" % number), "wb") as file:
            file.write(b"x")


def spaced(root: Path, count: int) -> None:
    for number in range(count):
        (root / f"file {number}").write_bytes(b"x")


def nothing(_: Path) -> None:
    """They stay as they are."""


def grow(root: Path) -> None:
    for path in root.iterdir():
        with open(path, "ab") as file:
            file.write(b"more")


def touch_mode(root: Path) -> None:
    for path in root.iterdir():
        path.chmod(0o600)


def remove(root: Path) -> None:
    for path in root.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (root / "kept").write_bytes(b"")


def put_before(session: iRODSSession, root: Path, target: str) -> None:
    session.collections.create(target)
    for path in root.iterdir():
        session.data_objects.put(str(path), f"{target}/{path.name}")


def made_before(session: iRODSSession, root: Path, target: str) -> None:
    for path in root.iterdir():
        session.collections.create(f"{target}/{path.name}")


@dataclass(frozen=True)
class Case:
    """What n entries are and what happens to them; the last run is the one that is counted.

    framework: its number, "" where there is none; options: of every run; script: the body of its event_handler
    make: the entries; before: what else is in the zone; change: what happens before the counted run, None where it is
    the first one; entries: n; forget: whether the counted run starts without a checkpoint
    """

    name: str
    framework: str
    options: tuple[str, ...] = ()
    script: str = ""
    make: Tree = files
    before: Callable[[iRODSSession, Path, str], None] | None = None
    change: Callable[[Path], None] | None = None
    entries: int = 5
    forget: bool = False


SINGLY = ("--bundle", "never")
PUT = ("--operation", "put", *SINGLY)
SYNC = ("--operation", "put_sync", *SINGLY)
APPEND = ("--operation", "put_append", *SINGLY)
NO_OP = ("--operation", "no_op")
AS_REPLICA = ("--operation", "register_as_replica_sync", "--resource", "secondResc")
DELETE = ("--max-delete", "1000", "--delete-mode")


def method(name: str, parameters: str, answer: str) -> str:
    return f"    @staticmethod\n    def {name}({parameters}):\n        {answer}\n"


TARGET_PATH = method("target_path", "session, meta, **options", "return ascii(meta['path'])")
CHARACTER_MAP = method("character_map", "", "return {' ': '_'}")
DECLARED = method("metadata", "meta", "return [('a', '1'), ('b', '2')]") + method(
    "acl", "meta", "return [('read', 'public')]"
)
COLLECTION_HOOK = method("pre_coll_create", "hdlr_mod, logger, session, meta, **options", "pass")
RESOURCE = method("to_resource", "session, meta, **options", "return 'secondResc'")

CASES = (
    Case("register new", "6"),
    Case("register new, initial ingest", "2", ("--initial-ingest",)),
    Case("register new, to_resource()", "6", script=RESOURCE),
    Case("register new with its collection", "12", make=directories_of_one),
    Case("update: size or mtime changed", "3", change=grow),
    Case("update, to_resource()", "4 to 8", script=RESOURCE, change=grow),
    Case("ctime changed", "2", change=touch_mode),
    Case("unchanged", "0", change=nothing),
    Case("put new, 1 kB", "12", PUT),
    Case("put new, 1 kB, initial ingest", "8", (*PUT, "--initial-ingest")),
    Case("put new, 32 MiB", "15", PUT, make=of_size(32 * MIB), entries=1),
    Case("put new, 33 MiB", "parallel", PUT, make=of_size(33 * MIB), entries=1),
    Case("put: changed, left alone", "2", PUT, change=grow),
    Case("put_sync: changed, 1 kB", "9", SYNC, change=grow),
    Case("put_sync: unchanged", "0", SYNC, change=nothing),
    Case("put_append: grown by 4 bytes", "10", APPEND, change=grow),
    Case("as replica, new", "6", AS_REPLICA),
    Case("as replica, added to an object", "5 and more", AS_REPLICA, before=put_before),
    Case("as replica, update", "6", AS_REPLICA, before=put_before, change=grow),
    Case("no_op, new", "4", NO_OP),
    Case("no_op, changed", "2", NO_OP, change=grow),
    Case("symbolic link registered", "11", make=links),
    Case("name not UTF-8, registered", "11", script=TARGET_PATH, make=not_utf8),
    Case("name not UTF-8, put", "17", PUT, make=not_utf8),
    Case("character map, registered", "11", script=CHARACTER_MAP, make=spaced),
    Case("character map, put", "17", PUT, CHARACTER_MAP, make=spaced),
    Case("register new, metadata() and acl()", "", script=DECLARED),
    Case("put new, metadata() and acl()", "", PUT, DECLARED),
    Case("delete object, unregister", "3", (*DELETE, "unregister"), change=remove),
    Case("delete object, trash", "3", (*SYNC, *DELETE, "trash"), change=remove),
    Case("delete object, no_trash", "3", (*SYNC, *DELETE, "no_trash"), change=remove),
    Case("delete collection", "", (*DELETE, "unregister"), make=directories, change=remove),
    Case("new collection", "9", make=directories),
    Case("new collection, pre_coll_create()", "9", script=COLLECTION_HOOK, make=directories),
    Case("existing collection adopted", "1", make=directories, before=made_before),
    Case("equal object adopted, no checkpoint", "3", change=nothing, forget=True),
    Case("equal object adopted, put_sync", "9", SYNC, change=nothing, forget=True),
)
BY_NAME = {case.name: case for case in CASES}


@dataclass
class Bench:
    """Runs cases in a zone, each in a directory and a collection of its own."""

    zone: EmbeddedZone
    session: iRODSSession
    directory: Path
    _runs: int = 0

    def cost(self, case: Case) -> Counter[str]:
        """Requests an entry of the case costs, by kind. Raises ValueError where entries don't cost the same."""
        once, twice = (self._count(case, count) for count in (case.entries, 2 * case.entries))
        more = Counter({kind: twice[kind] - once[kind] for kind in {*once, *twice} if twice[kind] != once[kind]})
        if any(number % case.entries for number in more.values()):
            raise ValueError(f"{case.name}: {case.entries} entries more cost {dict(more)}")
        return Counter({kind: number // case.entries for kind, number in more.items()})

    def _count(self, case: Case, count: int) -> Counter[str]:
        self._runs += 1
        place = self.directory / f"requests{self._runs}"
        root = place / "root"
        target = f"/{self.zone.zone}/home/{self.zone.user}/{self.directory.name}-{self._runs}"
        root.mkdir(parents=True)
        case.make(root, count)
        if case.before:
            case.before(self.session, root, target)
        options = list(case.options)
        if case.script:
            script = place / "handler.py"
            script.write_text(f"class event_handler:\n{case.script}")
            options += ["--event-handler", str(script)]
        mpingest = self._command_line(place / "jobs")
        time.sleep(SETTLED)
        if case.change:
            run(mpingest, root, target, options)
            case.change(root)
            time.sleep(SETTLED)
            if case.forget:
                shutil.rmtree(mpingest.jobs)
        self.zone.reset_counts()
        run(mpingest, root, target, options)
        return self.zone.counts()

    def _command_line(self, jobs: Path) -> CommandLine:
        environment = {"IRODS_ENVIRONMENT_FILE": str(self.zone.environment_file), "MPINGEST_JOBS_DIR": str(jobs)}
        return CommandLine(os.environ | environment, jobs)


def run(mpingest: CommandLine, root: Path, target: str, options: Sequence[str]) -> None:
    done = mpingest("start", *options, "--sessions-per-rank", "1", root, target)
    if done.returncode:
        raise RuntimeError(f"{done.stdout}{done.stderr}")


def spelt(cost: Counter[str]) -> str:
    """By kind, as in "PHY_PATH_REG 1"."""
    return ", ".join(f"{kind.removesuffix('_AN').removesuffix('_APN')} {cost[kind]}" for kind in sorted(cost))


def main() -> None:
    chosen = [BY_NAME[name] for name in sys.argv[1:]] or CASES
    print(f"{'an entry of':36} {'mpingest':>8}  {'framework':>10}  requests of mpingest")
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        zone = stack.enter_context(EmbeddedZone())
        session = stack.enter_context(iRODSSession(irods_env_file=str(zone.environment_file)))
        bench = Bench(zone, session, Path(directory))
        for case in chosen:
            cost = bench.cost(case)
            print(f"{case.name:36} {cost.total():8}  {case.framework:>10}  {spelt(cost)}", flush=True)
    print("framework: round trips of its version 0.7.0, from its source: not measured here")


if __name__ == "__main__":
    main()
