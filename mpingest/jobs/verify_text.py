"""A verification: as JSON for programs, as a table for people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mpingest.jobs.differences import MEANINGS, Kind
from mpingest.jobs.text import one_line, partial_lines, shown_path, stalled_to_json
from mpingest.jobs.verify import Verification


def to_json(verification: Verification) -> dict[str, Any]:
    """All but the list of differences. Paths that are not UTF-8 have surrogate escapes (PEP 383).

    job, run:     name, root and target; number of the last run
    way:          what decides about each entry
    directories, compared, excluded: directories and files that were looked at, names left out
    checksums:    null, or how many were compared and how many files have none in the catalog
    differences:  in all and by kind: count, and the first examples with paths relative to the root
    repairable:   differences that the next run puts right once they are marked;  marked: whether they are
    commands:     differences that a rodsadmin has to see to
    list:         path of the file that names all differences, a JSON object a line
    """
    totals = verification.totals
    checksums = {"compared": totals.summed, "missing": totals.unsummed} if verification.checksum else None
    return {
        "job": verification.spec.to_json(),
        "run": verification.run,
        "way": verification.way,
        "seconds": round(verification.seconds, 3),
        "exit_code": int(verification.exit_code),
        "directories": totals.directories,
        "compared": totals.compared,
        "excluded": totals.excluded,
        "checksums": checksums,
        "total": totals.total,
        "differences": {
            kind.name.lower(): {
                "count": count,
                "examples": [{"path": os.fsdecode(path) or ".", "says": says} for path, says in totals.first(kind)],
            }
            for kind, count in totals.differences.items()
            if count
        },
        "repairable": totals.repairable,
        "marked": verification.repair,
        "commands": totals.commands,
        "list": verification.listed,
        "stalled": stalled_to_json(verification.stalled),
        "notes": verification.notes,
    }


def lines(verification: Verification) -> Iterator[str]:
    """For the terminal."""
    totals = verification.totals
    run = f"after run {verification.run}, {verification.way}"
    yield f"job {verification.spec.name}, {run}: {verification.seconds:.1f} s"
    yield from partial_lines(verification.stalled)
    yield f"  compared     {totals.compared:,} files in {totals.directories:,} directories"
    if totals.excluded:
        yield f"  excluded     {totals.excluded:,} names, with all below them"
    if verification.checksum:
        yield f"  checksums    {totals.summed:,} compared" + _unsummed(totals.unsummed)
    if not totals.total:
        yield "  agreed       file system, record and catalog" + (" so far" if verification.stalled else "")
    for kind in Kind:
        yield from _kind(verification, kind)
    if totals.total:
        yield ""
        yield f"  differences  {totals.total:,}; all of them: {verification.listed}"
        yield from _what_next(verification)
    yield from (f"  note         {note}" for note in verification.notes)


def _unsummed(count: int) -> str:
    advice = "with --repair the server computes them"
    return f"; {count:,} files have none in the catalog: {advice}" if count else ""


def _kind(verification: Verification, kind: Kind) -> Iterator[str]:
    count = verification.totals.differences[kind]
    if not count:
        return
    yield ""
    yield f"{kind.name.lower():<13}{count:>10,}  {MEANINGS[kind]}"
    yield from (f"    {shown_path(path)}: {one_line(says)}" for path, says in verification.totals.first(kind))


def _what_next(verification: Verification) -> Iterator[str]:
    totals = verification.totals
    if totals.commands:
        yield f"  rodsadmin    {totals.commands:,} need the commands named, unless someone is writing them just now"
    if totals.repairable and verification.repair:
        yield f"  marked       {totals.repairable:,} for the next run to put right: run mpingest start again as before"
    elif totals.repairable:
        yield f"  repairable   {totals.repairable:,}: verify --repair marks them for the next run to put right"
