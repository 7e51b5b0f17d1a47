"""Ingest against other ways of doing it: ``python -m tests.bench.ingest [--env FILE] [--files N] [--json FILE] ...``.

Without ``--env`` a zone of its own is started, and requests are counted. Every figure is of one run of everything, on
fresh files and collections, the whole command's time, medians over ``--repeats``. What is not installed is left out:
``iput``, ``ireg``, ``irsync`` (icommands, real zones only); the iRODS Automated Ingest Framework, where there is
``redis-server`` and ``--framework PYTHON`` names an interpreter that has it. ``--cpu`` measures the client's processor
time for each file instead: what a run of 3 n files costs more than one of n, by 2 n.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from irods.session import iRODSSession

from mpingest.farm.world import find_mpiexec
from mpingest.zone.embedded import EmbeddedZone

KB, MB = 1024, 1024 * 1024
SETTLED = 0.1
"""Seconds after which timestamps are older than their tick."""
FRAMEWORK_TIMEOUT = 1800
HANDLER = """
from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.{operation}
"""


@dataclass(frozen=True)
class Case:
    """operation: of the framework's names; size: of each file, bytes; share: of ``--files``; again: what happens to the

    files before the run that is measured, which is the second one then.
    """

    name: str
    operation: str
    size: int
    share: float = 1.0
    again: Callable[[Path], None] | None = None


def grow(root: Path) -> None:
    for path in root.rglob("file*"):
        with open(path, "ab") as file:
            file.write(b"more")


def nothing(_: Path) -> None:
    """They stay as they are."""


CASES = (
    Case("register", "REGISTER_SYNC", KB),
    Case("update", "REGISTER_SYNC", KB, again=grow),
    Case("no change", "REGISTER_SYNC", KB, again=nothing),
    Case("put 1 kB", "PUT", KB),
    Case("put 100 kB", "PUT", 100 * KB, 0.2),
    Case("put 64 MB", "PUT", 64 * MB, 0.004),
)


@dataclass
class Place:
    """Where a bench runs. zone: None for a real one; directory: readable for the server."""

    environment: Path
    session: iRODSSession
    directory: Path
    zone: EmbeddedZone | None
    made: list[str] = field(default_factory=list)

    def tree(self, files: int, size: int) -> Path:
        """A fresh tree, a hundred files a directory."""
        root = self.directory / uuid.uuid4().hex
        content = os.urandom(size)
        for number in range(files):
            path = root / f"dir{number // 100}" / f"file{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return root

    def target(self) -> str:
        """A collection that isn't there yet, removed in the end."""
        path = f"/{self.session.zone}/home/{self.session.username}/bench-{uuid.uuid4().hex[:8]}"
        self.made.append(path)
        return path

    def run(self, command: Sequence[str | Path], timeout: float | None = None, **more: str) -> None:
        """Run a command in the zone's environment. Ends the bench with what it said where it fails."""
        environment = os.environ | {"IRODS_ENVIRONMENT_FILE": str(self.environment)} | more
        done = subprocess.run([*map(str, command)], env=environment, capture_output=True, timeout=timeout, check=False)
        if done.returncode:
            sys.exit(f"{command}: {done.stdout.decode()}{done.stderr.decode()}")

    def clear(self) -> None:
        """Remove the collections that were made."""
        for path in self.made:
            if self.session.collections.exists(path):
                self.session.collections.remove(path, recurse=True, force=True)
        self.made.clear()


@dataclass(frozen=True)
class Way:
    """A way to do it. run: called with place, case, root and target, again for the second run; fits: what it can do."""

    name: str
    run: Callable[[Place, Case, Path, str], None]
    fits: Callable[[Case], bool] = lambda _: True


def mpingest(ranks: int, *options: str) -> Callable[[Place, Case, Path, str], None]:
    launcher = [find_mpiexec() or "mpiexec", "-n", str(ranks)] if ranks > 1 else []

    def run(place: Place, case: Case, root: Path, target: str) -> None:
        operation = ("--operation", case.operation.lower())
        jobs = f"{root}.jobs-{ranks}"
        command = [*launcher, sys.executable, "-m", "mpingest", "start", *operation, *options, root, target]
        place.run(command, MPINGEST_JOBS_DIR=jobs)

    return run


def plain_client(place: Place, case: Case, root: Path, target: str) -> None:
    """A loop over python-irodsclient as its documentation shows it."""
    session = place.session
    for path in sorted(root.rglob("file*")):
        collection = f"{target}/{path.parent.name}"
        session.collections.create(collection)
        if case.operation == "PUT":
            session.data_objects.put(str(path), f"{collection}/{path.name}")
        else:
            status = path.stat()
            options = {"dataSize": str(status.st_size), "dataModify": str(int(status.st_mtime))}
            session.data_objects.register(str(path), f"{collection}/{path.name}", **options)


def icommand(*command: str) -> Callable[[Place, Case, Path, str], None]:
    def run(place: Place, case: Case, root: Path, target: str) -> None:
        if command[0] != "ireg":
            place.run(["imkdir", "-p", target])
        where = {"iput": (root, target), "ireg": (root, target), "irsync": (root, f"i:{target}")}
        place.run([*command, *where[command[0]]])

    return run


def framework(python: str) -> Callable[[Place, Case, Path, str], None]:
    """The automated ingest framework with a Redis and Celery workers of its own; they are not timed."""

    def run(place: Place, case: Case, root: Path, target: str) -> None:
        handler = root.parent / f"{root.name}.py"
        handler.write_text(HANDLER.format(operation=case.operation))
        start = ["-m", "irods_capability_automated_ingest.irods_sync", "start", root, target]
        options = ["--event_handler", handler, "--job_name", root.name, "--synchronous"]
        place.run([python, *start, *options], FRAMEWORK_TIMEOUT, CELERY_BROKER_URL=os.environ["CELERY_BROKER_URL"])

    return run


@contextmanager
def framework_workers(python: str, workers: int, environment: Path) -> Iterator[None]:
    """A Redis, and Celery workers that listen to it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["CELERY_BROKER_URL"] = f"redis://127.0.0.1:{port}/0"
    queues = ("-l", "error", "-Q", "restart,path,file", "-c", str(workers))
    celery = [python, "-m", "celery", "-A", "irods_capability_automated_ingest"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    redis = subprocess.Popen(["redis-server", "--port", str(port), "--save", ""], **quiet)
    try:
        variables = os.environ | {"IRODS_ENVIRONMENT_FILE": str(environment)}
        worker = subprocess.Popen([*celery, "worker", *queues], env=variables, **quiet)
        try:
            while subprocess.run([*celery, "inspect", "ping"], env=variables, check=False, **quiet).returncode:
                if worker.poll() is not None:
                    sys.exit(f"{python}: no Celery workers can be started with it")
            yield
        finally:
            worker.terminate()
            worker.wait()
    finally:
        redis.terminate()
        redis.wait()


@dataclass
class Figure:
    """seconds: median of the runs; requests: of one run, None where nobody counts."""

    case: str
    way: str
    files: int
    size: int
    seconds: float
    requests: int | None

    @property
    def rate(self) -> float:
        return self.files / self.seconds


def measure(place: Place, case: Case, way: Way, files: int, repeats: int) -> Figure:
    seconds, requests = [], None
    for _ in range(repeats):
        root, target = place.tree(files, case.size), place.target()
        time.sleep(SETTLED)
        if case.again:
            way.run(place, case, root, target)
            case.again(root)
            time.sleep(SETTLED)
        if place.zone:
            place.zone.reset_counts()
        began = time.monotonic()
        way.run(place, case, root, target)
        seconds.append(time.monotonic() - began)
        if place.zone:
            requests = place.zone.counts().total()
        place.clear()
        for leftover in place.directory.glob(f"{root.name}*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    return Figure(case.name, way.name, files, case.size, statistics.median(seconds), requests)


def ways(place: Place, ranks: Sequence[int], framework_python: str | None) -> list[Way]:
    found = [Way(f"mpingest, {number} rank{'s' * (number > 1)}", mpingest(number)) for number in ranks]
    found.append(Way("mpingest, 1 rank, no bundles", mpingest(1, "--bundle", "never"), lambda case: case.size == KB))
    found.append(Way("python-irodsclient", plain_client, lambda case: case.again is None))
    if not place.zone and shutil.which("iput"):
        found += [
            Way("iput -r", icommand("iput", "-r"), lambda case: case.operation == "PUT"),
            Way("ireg -r", icommand("ireg", "-r"), lambda case: case.operation != "PUT" and case.again is None),
            Way("irsync -r", icommand("irsync", "-r"), lambda case: case.operation == "PUT"),
        ]
    if framework_python and shutil.which("redis-server"):
        found.append(Way("automated ingest", framework(framework_python)))
    return found


def cpu_per_file(place: Place, case: Case, files: int) -> float:
    """Seconds of processor time of the client for each file, with one rank."""

    def cost(count: int) -> float:
        root, target = place.tree(count, case.size), place.target()
        time.sleep(SETTLED)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        mpingest(1)(place, case, root, target)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        place.clear()
        shutil.rmtree(root)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return (cost(3 * files) - cost(files)) / (2 * files)


def report(figures: Sequence[Figure]) -> None:
    best: dict[str, float] = {}
    for figure in figures:
        if not figure.way.startswith("mpingest"):
            best[figure.case] = max(best.get(figure.case, 0), figure.rate)
    print(f"{'':12} {'':30} {'files':>6} {'files/s':>9} {'MB/s':>8} {'ratio':>7} {'requests':>9}")
    for figure in figures:
        ratio = f"{figure.rate / best[figure.case]:.2f}" if figure.case in best else ""
        counted = "" if figure.requests is None else f"{figure.requests:,}"
        speed = figure.rate * figure.size / 1e6
        print(
            f"{figure.case:12} {figure.way:30} {figure.files:6} {figure.rate:9.1f} {speed:8.1f} {ratio:>7} {counted:>9}"
        )
    print("ratio: to the fastest of the other ways")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, help="irods_environment.json of a real zone, on this host")
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--ranks", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2, 4])
    parser.add_argument("--cases", nargs="*", choices=[case.name for case in CASES])
    parser.add_argument("--ways", nargs="*", help="only those whose names begin with one of these")
    parser.add_argument("--framework", metavar="PYTHON")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    chosen = [case for case in CASES if not wanted.cases or case.name in wanted.cases]
    with ExitStack() as stack:
        zone = None if wanted.env else stack.enter_context(EmbeddedZone())
        environment = wanted.env or zone.environment_file
        session = stack.enter_context(iRODSSession(irods_env_file=str(environment)))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mpingest-bench-")))
        directory.chmod(0o755)  # a server that runs as somebody else has to read what is registered
        place = Place(environment, session, directory, zone)
        stack.callback(place.clear)
        if wanted.cpu:
            for case in chosen:
                if case.again is None and case.size == KB:
                    print(
                        f"{case.name:12} {cpu_per_file(place, case, wanted.files) * 1e6:8.0f} us of client CPU a file"
                    )
            return
        if wanted.framework and shutil.which("redis-server"):
            stack.enter_context(framework_workers(wanted.framework, 4, environment))
        figures = []
        for case in chosen:
            for way in ways(place, wanted.ranks, wanted.framework):
                if way.fits(case) and (not wanted.ways or way.name.startswith(tuple(wanted.ways))):
                    files = max(2, int(wanted.files * case.share))
                    figures.append(measure(place, case, way, files, wanted.repeats))
                    print(f"{case.name}, {way.name}: {figures[-1].rate:.1f}/s", file=sys.stderr, flush=True)
    report(figures)
    if wanted.json:
        wanted.json.write_text(json.dumps([asdict(figure) | {"rate": figure.rate} for figure in figures], indent=1))


if __name__ == "__main__":
    main()
