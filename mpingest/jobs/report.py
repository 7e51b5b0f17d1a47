"""The summary of a run that has come to its end, read again."""

from __future__ import annotations

import json

from mpingest.errors import MpingestError
from mpingest.jobs.directory import JobDirectory
from mpingest.jobs.summary import Summary


def report_of(job: JobDirectory, number: int | None) -> Summary:
    """The summary of a run, the last one where no number is given. Raises MpingestError."""
    run = job.run(number)
    path = run.file("summary.json")
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return Summary.from_json(json.load(file), run.file("failures.jsonl"))
    except FileNotFoundError as error:
        raise MpingestError(
            f"job {job.name}: run {run.number} has no summary: it was cut off, or goes on; "
            "mpingest failures says what has failed in it so far"
        ) from error
    except OSError as error:
        raise MpingestError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise MpingestError(f"{path}: is damaged; failures.jsonl and log/ beside it say what the run did") from error
