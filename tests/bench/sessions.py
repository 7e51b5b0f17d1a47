"""Requests in flight: a sweep of fixed numbers against auto: ``python -m tests.bench.sessions [--env FILE] ...``.

Registers files with each of ``--fixed`` and with ``auto``, every one on fresh collections, the ways by turns, medians
over ``--repeats`` of objects registered a second from the first to the last, startup left out. Without ``--env`` a zone
of its own is started that does ``--slots`` requests at a time and takes ``--delay`` seconds for each; ``--halved``
doubles that once half of the files are there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from irods.session import iRODSSession

from mpingest.zone.embedded import EmbeddedZone
from tests.bench.ingest import SETTLED, Case, Place, mpingest

CASE = Case("register", "REGISTER_SYNC", 0)
PHY_PATH_REG = 630


def slow(zone: EmbeddedZone, slots: int, delay: float) -> None:
    """Have the zone do so many requests at a time, and register in so many seconds."""
    zone.clear_faults()
    zone.limit(max_parallel=slots)
    zone.inject("delay", PHY_PATH_REG, seconds=delay, times=None)


def halve_later(zone: EmbeddedZone, files: int, slots: int, delay: float, done: threading.Event) -> None:
    """Once half of the files are registered it takes twice as long."""
    while not done.wait(0.1):
        if zone.counts()["PHY_PATH_REG_AN"] >= files / 2:
            slow(zone, slots, 2 * delay)
            return


def measure(place: Place, root: Path, files: int, ranks: int, sessions: str) -> tuple[float, list[str]]:
    """Files a second between the logs' "rank started" and "rank ended", and the trail."""
    target = place.target()
    jobs = Path(f"{root}.jobs-{ranks}")
    shutil.rmtree(jobs, ignore_errors=True)
    mpingest(ranks, "--sessions", sessions)(place, CASE, root, target)
    place.clear()
    lines = [json.loads(line) for log in jobs.glob("*/runs/*/log/*") for line in log.read_text().splitlines()]
    times = {line["event"]: line["@timestamp"] for line in lines}
    began, ended = (
        time.mktime(time.strptime(times[event][:19], "%Y-%m-%dT%H:%M:%S")) + float("0" + times[event][19:-1])
        for event in ("rank started", "rank ended")
    )
    trail = [f"{line['before']}>{line['limit']} ({line['why']})" for line in lines if line["event"] == "sessions"]
    return files / (ended - began), trail


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", type=Path, help="irods_environment.json of a real zone, on this host")
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--fixed", type=lambda text: text.split(","), default=["1", "2", "4", "8", "16"])
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--delay", type=float, default=0.012)
    parser.add_argument("--halved", action="store_true")
    wanted = parser.parse_args()
    with ExitStack() as stack:
        zone = None if wanted.env else stack.enter_context(EmbeddedZone())
        environment = wanted.env or zone.environment_file
        session = stack.enter_context(iRODSSession(irods_env_file=str(environment)))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mpingest-bench-")))
        directory.chmod(0o755)
        place = Place(environment, session, directory, zone)
        stack.callback(place.clear)
        root = place.tree(wanted.files, 0)
        time.sleep(SETTLED)
        rates: dict[str, list[float]] = {}
        for _ in range(wanted.repeats):
            for sessions in [*wanted.fixed, "auto"]:
                done = threading.Event()
                if zone:
                    zone.reset_counts()
                    slow(zone, wanted.slots, wanted.delay)
                    if wanted.halved:
                        arguments = (zone, wanted.files, wanted.slots, wanted.delay, done)
                        threading.Thread(target=halve_later, args=arguments).start()
                rate, trail = measure(place, root, wanted.files, wanted.ranks, sessions)
                done.set()
                rates.setdefault(sessions, []).append(rate)
                print(f"{sessions}: {rate:.0f}/s {' '.join(trail)}", file=sys.stderr, flush=True)
                if zone:
                    zone.clear_faults()
    medians = {sessions: statistics.median(found) for sessions, found in rates.items()}
    best = max(rate for sessions, rate in medians.items() if sessions != "auto")
    print(f"{'sessions':>8} {'files/s':>8} {'ratio':>6}")
    for sessions, rate in medians.items():
        print(f"{sessions:>8} {rate:8.0f} {rate / best:6.2f}")
    print("ratio: to the best of the fixed numbers")


if __name__ == "__main__":
    main()
