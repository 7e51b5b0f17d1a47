"""Stats that take as long as on a parallel file system, or hang: an LD_PRELOAD shim for any program."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")


def build_shim(directory: Path) -> Path | None:
    """The shim, compiled into ``directory``; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    target = directory / "latency.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", target, SOURCE, "-ldl"], check=True)
    return target


def delayed(shim: Path, microseconds: int = 0, hang: str | None = None, report: Path | None = None) -> dict[str, str]:
    """Variables for the environment of a program whose stats are to take so much longer.

    hang:   stats of paths with that suffix never return
    report: file that gets the number of stats, and how many there were at once at most
    """
    variables = {"LD_PRELOAD": str(shim), "LATENCY_US": str(microseconds)}
    if hang is not None:
        variables["LATENCY_HANG"] = hang
    if report is not None:
        variables["LATENCY_REPORT"] = str(report)
    return variables


def stats_and_peak(report: Path) -> tuple[int, int]:
    """What was reported."""
    count, peak = report.read_text().split()
    return int(count), int(peak)
