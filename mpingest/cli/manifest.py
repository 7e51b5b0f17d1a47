"""``mpingest manifest``: looking into manifests and checkpoints. Only ``merge`` needs MPI, nothing needs a zone."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, TypeVar

import click

from mpingest.cli.manifest_merge import merge
from mpingest.cli.options import jobs_dir_option
from mpingest.errors import ExitCode, MpingestError
from mpingest.manifest.states import Change, Outcome

FORMATS = ("csv", "jsonl", "parquet", "paths0")

_State = TypeVar("_State", bound=IntEnum)


def _words(states: type[_State]) -> Any:
    """A callback that makes members of an enumeration of words with commas between them."""
    by_word = {state.name.lower(): state for state in states}

    def chosen(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[_State, ...]:
        words = [word for value in values for word in value.split(",")]
        for word in words:
            if word not in by_word:
                raise click.BadParameter(f"{word!r} is none of {', '.join(by_word)}")
        return tuple(by_word[word] for word in words) or tuple(states)

    return chosen


@contextmanager
def _printing() -> Iterator[None]:
    """Signals end the block in order, and so does a reader of stdout that has seen enough."""
    from mpingest.jobs.output import until_closed
    from mpingest.jobs.signals import stops_as_errors

    with stops_as_errors(), until_closed():
        yield


@click.group()
def manifest() -> None:
    """Look into manifests and checkpoints, get them out, merge what runs have left.

    JOB is the name of a job in --jobs-dir: its checkpoint is meant. FILE is a checkpoint, a segment, or a manifest that
    mpingest scan -o has written. Where a file has the name of a job, the file is meant.
    """


manifest.add_command(merge)


@manifest.command(short_help="Where a table comes from and what it holds; one directory, one file.")
@click.argument("source", metavar="FILE|JOB")
@click.argument("path", required=False)
@jobs_dir_option
def show(source: str, path: str | None, jobs_dir: str) -> None:
    """Where it comes from and what it holds; with PATH, what is recorded of that directory or file.

    PATH is absolute, or relative to the root; "." is the root. In paths that are printed a backslash is written \\\\, a
    control character or a byte that is not UTF-8 \\xHH.

    \b
    Examples:
      mpingest manifest show project
      mpingest manifest show project raw/2026-11
      mpingest manifest show scan.h5 /lustre/project/raw/2026-11/frame0001.h5
    """
    from mpingest.jobs.inspection import path_lines, table_lines
    from mpingest.jobs.output import print_lines
    from mpingest.jobs.tables import Source

    named = Source.named(source, jobs_dir)
    with _printing(), named.open() as table:
        if path is None:
            print_lines(table_lines(named, table))
        else:
            _tell(named.note())
            print_lines(path_lines(table, path))


@manifest.command(short_help="Read all and check all.")
@click.argument("sources", metavar="FILE|JOB...", nargs=-1, required=True)
@jobs_dir_option
def verify(sources: tuple[str, ...], jobs_dir: str) -> None:
    """Read all of it and check all of it; of a job also the segments that no merge has taken in yet.

    One line for each file: what it holds, on stdout, or what is wrong with it, on stderr.

    \b
    Examples:
      mpingest manifest verify project
      mpingest manifest verify ~/.mpingest/jobs/*/checkpoint.h5

    Exit code 1 if anything is damaged or can't be read.
    """
    from mpingest.jobs.inspection import verified_lines
    from mpingest.jobs.output import print_lines
    from mpingest.jobs.tables import Source

    named = [Source.named(each, jobs_dir) for each in sources]
    damaged: list[MpingestError] = []

    def note(error: MpingestError) -> None:
        damaged.append(error)
        _tell(str(error))

    with _printing():
        print_lines(verified_lines(named, note))
    raise SystemExit(ExitCode.CANNOT_RUN if damaged else ExitCode.DONE)


@manifest.command(short_help="How two of them differ.")
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--list", "listed", is_flag=True, help="List the entries that differ: a mark, a space, the path.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --list an object a line, the last with the counts."
)
@jobs_dir_option
def diff(old: str, new: str, listed: bool, as_json: bool, jobs_dir: str) -> None:
    """How the entries of NEW differ from those of OLD, both a FILE or a JOB.

    \b
    Marks:
      +  added
      -  removed
      M  modified: another type or, of a file, another size, mtime or inode
      m  metadata only: another mode, owner or ctime
      o  the same, but another outcome; not counted where one of the two is a scan

    Paths are relative to the root, which may be another in each. What is gone from the file system counts as removed,
    whether or not it is still in the catalog.

    \b
    Examples:
      mpingest scan -o now.h5 /lustre/project && mpingest manifest diff project now.h5
      mpingest manifest diff --list monday.h5 tuesday.h5 | grep '^-'

    Exit code 0 also where they differ.
    """
    from mpingest.jobs.inspection import Comparison
    from mpingest.jobs.output import print_lines
    from mpingest.jobs.tables import Source

    tables = [Source.named(each, jobs_dir) for each in (old, new)]
    for table in tables:
        _tell(table.note())
    with _printing(), tables[0].open() as old_table, tables[1].open() as new_table:
        comparison = Comparison(old_table, new_table)
        if listed:
            print_lines(comparison.listed_json() if as_json else comparison.listed())
        else:
            comparison.count()
        if as_json:
            print_lines([json.dumps(comparison.to_json(), indent=None if listed else 1)])
        else:
            print_lines(["", *comparison.lines()] if listed else comparison.lines())


@manifest.command(short_help="CSV, JSON lines, Parquet, NUL-terminated paths.")
@click.argument("source", metavar="FILE|JOB")
@click.option("--format", type=click.Choice(FORMATS), default="csv", show_default=True, help="See below.")
@click.option("-o", "--output", "output_", metavar="FILE", help="Write to FILE, which appears whole. [default: stdout]")
@click.option(
    "--outcome",
    "outcomes",
    metavar="WORDS",
    multiple=True,
    callback=_words(Outcome),
    help=f"Only entries with one of these, a comma between them: {', '.join(each.name.lower() for each in Outcome)}.",
)
@click.option(
    "--change",
    "changes",
    metavar="WORDS",
    multiple=True,
    callback=_words(Change),
    help=f"Only entries with one of these: {', '.join(each.name.lower() for each in Change)}.",
)
@click.option(
    "--below", metavar="PATH", default=".", help="Only entries below this directory, absolute or relative to the root."
)
@jobs_dir_option
def export(
    source: str,
    format: str,
    output_: str | None,
    outcomes: tuple[Outcome, ...],
    changes: tuple[Change, ...],
    below: str,
    jobs_dir: str,
) -> None:
    """Write all entries, or those that are wanted, for other programs.

    \b
    Formats:
      csv      RFC 4180 with a header. In paths a backslash is written \\\\, a control character or a byte that is
               not UTF-8 \\xHH: an entry is a line.
      jsonl    a JSON object a line; a byte of a path that is not UTF-8 is a lone surrogate \\udcHH (PEP 383).
      parquet  needs pip install 'mpingest[parquet]'; paths as in csv, times with nanoseconds in UTC.
      paths0   absolute paths as they are, each followed by NUL, for xargs -0.

    Columns: path (absolute), type, size (bytes), mtime, ctime (ISO 8601, UTC, nanoseconds), uid, gid, mode, nlink,
    inode, outcome, change, code (an iRODS error if negative, else the number of the replica), error (its name).

    \b
    Examples:
      mpingest manifest export project --outcome failed
      mpingest manifest export project --format parquet -o project.parquet
      mpingest manifest export scan.h5 --format paths0 --below raw | xargs -0 ls -ld
    """
    from mpingest.ingest.statuses import status_name
    from mpingest.jobs.output import output
    from mpingest.jobs.tables import Source, recorded_below
    from mpingest.manifest.export import Selection, export

    named = Source.named(source, jobs_dir)
    named.check_output(output_)
    if format == "parquet" and output_ is None and sys.stdout.isatty():
        raise click.UsageError("Parquet is nothing to look at: give -o FILE")
    _tell(named.note())
    with _printing(), named.open() as table:
        selection = Selection(outcomes, changes, recorded_below(table, below))
        with output(output_) as stream:
            export(table, selection, format, stream, status_name)


def _tell(note: str) -> None:
    if note:
        click.echo(f"mpingest: {note}", err=True)
