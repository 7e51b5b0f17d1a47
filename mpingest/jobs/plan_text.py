"""A plan: as JSON for programs, as tables for people."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from mpingest.jobs import tally
from mpingest.jobs.forecast import Forecast, Step, Total
from mpingest.jobs.plan import Plan
from mpingest.jobs.text import human_bytes, partial_lines, shown_path, stalled_to_json
from mpingest.manifest.states import Change

_ORDER = (Change.NEW, Change.MODIFIED, Change.METADATA, Change.RETRY, Change.UNCHANGED, Change.DELETED)


def to_json(plan: Plan) -> dict[str, Any]:
    """Everything. Paths that are not UTF-8 have surrogate escapes (PEP 383); those of names are relative to the root.

    job:          name, root, target; name and target are "" where no job has the root and none was named
    run:          number of the last run, 0 before the first
    way:          what decides about each entry
    seconds, exit_code: of the plan
    partial:      whether the scan did not come to its end;  stalled: ranks that made no progress, and what each was at
    changes:      by change: files, bytes (of deleted ones as recorded) and the first names, in order of path
    directories:  scanned, new (their collections are to be made), gone
    steps:        what would be done: operation, change, request, and of it files, bytes, requests
    left_alone:   files about which nothing would be done: reason, files, bytes
    deletions:    objects and collections that would be deleted, and the requests for that;  refusal: why none would be
    excluded:     names left out;  not_ready: directories without the marker of --ready-file, or still written to
    unforeseen:   files of which only the zone would tell what is done
    failing:      entries and directories that can't be read, or are known to fail;  failures: the first, with reasons
    requests:     in all and by what they are for, if the collections hold only what the job has brought there;
                  listings_besides: of collections to be made, if they are there already
    notes:        what to know besides
    """
    forecast, counts = plan.forecast, plan.forecast.counts
    return {
        "job": plan.spec.to_json(),
        "run": plan.run,
        "way": plan.way,
        "seconds": round(plan.seconds, 3),
        "exit_code": int(plan.exit_code),
        "partial": bool(plan.stalled),
        "stalled": stalled_to_json(plan.stalled),
        "changes": {
            change.name.lower(): {
                "files": tally.of_change(counts, change),
                "bytes": forecast.bytes[change],
                "names": [os.fsdecode(path) for path in forecast.first[change].paths],
            }
            for change in _ORDER
        },
        "directories": {
            "scanned": int(counts[tally.DIRECTORIES]),
            "new": forecast.collections,
            "gone": forecast.directories_gone,
        },
        "steps": [
            dict(zip(("operation", "change", "request"), _words(step), strict=True)) | _total(total)
            for step, total in _steps(forecast)
        ],
        "left_alone": [
            {"reason": reason, "files": total.files, "bytes": total.bytes} for reason, total in _left_alone(forecast)
        ],
        "deletions": {
            "objects": forecast.objects_deleted.files,
            "bytes": forecast.objects_deleted.bytes,
            "collections": forecast.collections_deleted,
            "requests": forecast.deletion_requests,
        },
        "refusal": plan.refusal,
        "excluded": int(counts[tally.EXCLUDED]),
        "not_ready": int(counts[tally.NOT_READY]),
        "unforeseen": forecast.unforeseen,
        "failing": forecast.failing,
        "failures": [{"path": os.fsdecode(path) or ".", "reason": reason} for path, reason in forecast.failures],
        "requests": {
            "total": forecast.requests + forecast.deletion_requests,
            "files": forecast.requests - forecast.collection_requests,
            "collections": forecast.collection_requests,
            "deletions": forecast.deletion_requests,
            "listings_besides": plan.listings,
        },
        "notes": plan.notes,
    }


def lines(plan: Plan) -> Iterator[str]:
    """Tables for the terminal."""
    forecast, counts = plan.forecast, plan.forecast.counts
    target = f" to {plan.spec.target}" if plan.spec.target else ""
    yield f"{shown_path(plan.spec.root)}{target}: {_which_run(plan)}"
    yield from partial_lines(plan.stalled)
    size, directories = human_bytes(int(counts[tally.BYTES])), int(counts[tally.DIRECTORIES])
    yield (
        f"  scanned      {int(counts[tally.ENTRIES]):,} files ({size}) in {directories:,} directories "
        f"in {plan.seconds:.1f} s"
    )
    if excluded := int(counts[tally.EXCLUDED]):
        yield f"  excluded     {excluded:,} names, with all below them"
    if not_ready := int(counts[tally.NOT_READY]):
        yield f"  not ready    {not_ready:,} directories (--ready-file), with all below them"
    if gone := forecast.directories_gone:
        yield f"  gone         {gone:,} directories"
    yield from _changes(forecast)
    yield from _actions(plan)
    yield ""
    yield from (f"  failing      {shown_path(path)}: {reason}" for path, reason in forecast.failures)
    if more := forecast.failing - len(forecast.failures):
        yield f"  failing      {more:,} more"
    if plan.refusal:
        yield f"  refused      {plan.refusal}"
    yield from (f"  note         {note}" for note in plan.notes)
    yield "  nothing was asked of a zone, and nothing written"


def _which_run(plan: Plan) -> str:
    if not plan.run:
        return f"a first run, {plan.way}"
    return f"run {plan.run + 1} of job {plan.spec.name}, {plan.way}"


def _changes(forecast: Forecast) -> Iterator[str]:
    yield ""
    yield f"{'change':<40}{'files':>14}{'bytes':>12}"
    for change in _ORDER:
        if count := tally.of_change(forecast.counts, change):
            yield f"{change.name.lower():<40}{count:>14,}{human_bytes(forecast.bytes[change]):>12}"
            if change is not Change.UNCHANGED:
                yield from (f"    {shown_path(path)}" for path in forecast.first[change].paths)


def _actions(plan: Plan) -> Iterator[str]:
    forecast = plan.forecast
    yield ""
    yield f"{'to do':<40}{'files':>14}{'bytes':>12}{'requests':>14}"
    for step, total in _steps(forecast):
        operation, change, request = _words(step)
        what = f"{operation}, {change}: {request}"
        yield f"{what:<40}{total.files:>14,}{human_bytes(total.bytes):>12}{total.requests:>14,}"
    if forecast.collections or forecast.collection_requests:
        yield f"{'make collections':<40}{forecast.collections:>14,}{'':>12}{forecast.collection_requests:>14,}"
    gone = forecast.objects_deleted
    if gone.files:
        yield f"{'delete objects':<40}{gone.files:>14,}{human_bytes(gone.bytes):>12}{gone.requests:>14,}"
    if deleted := forecast.collections_deleted:
        yield f"{'delete collections':<40}{deleted:>14,}{'':>12}{forecast.collection_deletions:>14,}"
    yield f"{'in all':<40}{'':>14}{'':>12}{forecast.requests + forecast.deletion_requests:>14,}"
    if plan.listings:
        yield f"{'besides, if these collections are there':<40}{plan.listings:>14,}{'':>12}{plan.listings:>14,}"
    for reason, total in _left_alone(forecast):
        yield f"left alone: {total.files:,} files ({human_bytes(total.bytes)}): {reason}"


def _steps(forecast: Forecast) -> list[tuple[Step, Total]]:
    """In an order that doesn't depend on who found what."""
    return sorted(
        forecast.steps.items(), key=lambda item: (item[0][0].value, _ORDER.index(item[0][1]), item[0][2].value)
    )


def _left_alone(forecast: Forecast) -> list[tuple[str, Total]]:
    return sorted(forecast.left_alone.items())


def _words(step: Step) -> tuple[str, str, str]:
    operation, change, request = (part.name.lower() for part in step)
    return operation, change, request


def _total(total: Total) -> dict[str, int]:
    return {"files": total.files, "bytes": total.bytes, "requests": total.requests}
