"""``mpingest submit``."""

from __future__ import annotations

import re
from typing import Any

import click

from mpingest.cli.start import run_options, start

_DIRECTIVES = ("nodes", "ntasks-per-node", "cpus-per-task", "time", "partition", "account", "qos", "mem", "begin")
"""Options that are sbatch's, as they stand in a script."""


def _word(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A value that stands in a line of a batch script as it is."""
    if value is not None and not re.fullmatch(r"[\w.,:@+=*/-]+", value, re.ASCII):
        raise click.BadParameter(f"{value!r} is nothing that sbatch takes there")
    return value


def _directive(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
    """Each NAME or NAME=VALUE as a pair."""
    for value in values:
        if not re.fullmatch(r"[a-z][a-z-]+(=[ -~]+)?", value):
            raise click.BadParameter(
                f"{value!r} is no option of sbatch: give NAME or NAME=VALUE, without dashes before"
            )
    pairs = (value.partition("=") for value in values)
    return tuple((name, text if equals else None) for name, equals, text in pairs)


@click.command(short_help="Hand a job to Slurm.")
@click.argument("root")
@click.argument("target")
@click.argument("start_options", nargs=-1, metavar="[-- START_OPTIONS...]")
@click.option("--nodes", type=click.IntRange(1), metavar="N", help="Nodes.")
@click.option(
    "--ntasks-per-node", type=click.IntRange(1), metavar="N", help="Ranks on each node; the first only hands out work."
)
@click.option("--cpus-per-task", type=click.IntRange(1), metavar="N", help="CPUs for each rank.")
@click.option("--time", metavar="TIME", callback=_word, help="Time limit, as for sbatch: 04:00:00.")
@click.option("--partition", metavar="NAME", callback=_word, help="Partition.")
@click.option("--account", metavar="NAME", callback=_word, help="Account to charge.")
@click.option("--qos", metavar="NAME", callback=_word, help="Quality of service.")
@click.option("--mem", metavar="SIZE", callback=_word, help="Memory on each node: 8G.")
@click.option("--begin", metavar="TIME", callback=_word, help="Not before: 22:00, now+1hour.")
@click.option(
    "--sbatch",
    "others",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_directive,
    help="Any other option of sbatch. May be given again.",
)
@click.option(
    "--mpi",
    metavar="TYPE",
    default="pmi2",
    show_default=True,
    callback=_word,
    help="How srun starts the ranks: pmi2 fits MPICH and Intel MPI, pmix fits Open MPI.",
)
@click.option(
    "--stop-before",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    metavar="SECONDS",
    help="Stop in order so long before the time limit.",
)
@click.option("--after", metavar="JOB", help="Begin only when the last batch job of JOB has ended, however it did.")
@click.option("--requeue", is_flag=True, help="As long as it was stopped early, queue it again.")
@click.option(
    "--max-tries",
    type=click.IntRange(2),
    default=10,
    show_default=True,
    metavar="N",
    help="With --requeue: begin no more than N times in all.",
)
@click.option("--print", "only_print", is_flag=True, help="Print the script; nothing is queued or written.")
@click.pass_context
def submit(
    context: click.Context,
    /,
    root: str,
    target: str,
    start_options: tuple[str, ...],
    others: tuple[tuple[str, str | None], ...],
    mpi: str,
    stop_before: int,
    after: str | None,
    requeue: bool,
    max_tries: int,
    only_print: bool,
    **chosen: Any,
) -> None:
    """Write a batch script that runs mpingest start ROOT TARGET, and hand it to sbatch.

    What follows -- are options of mpingest start (see its help); they are checked before anything is queued, and so are
    ROOT and TARGET as far as that goes without the zone. The environment of this shell goes with the batch job, as
    sbatch does it (--export); the script holds no secrets. What is not given is the site's default.

    The batch job's output goes to batch/ in the job's directory. mpingest status JOB says where it stands.

    \b
    Examples:
      mpingest submit --nodes 2 --ntasks-per-node 16 --time 04:00:00 /lustre/project /tempZone/home/project
      mpingest submit --time 08:00:00 --requeue /data /tempZone/home/lab -- --operation put_sync --job-name lab
      mpingest submit --after lab --begin 22:00 /data /tempZone/home/lab -- --operation put_sync --job-name lab
      mpingest submit --partition long --account ab123 --print /data /tempZone/home/lab > lab.sbatch

    \b
    Exit codes: 0 queued; 1 could not be: one line says why; 2 wrong usage.
    """
    from mpingest.jobs.submission import Request, script_of
    from mpingest.jobs.submission import submit as hand_over

    params = _checked_start(context, root, target, start_options)
    directives = [(name, str(value)) for name in _DIRECTIVES if (value := chosen[name.replace("-", "_")]) is not None]
    if chosen["time"] is not None and stop_before:
        directives.append(("signal", f"USR1@{stop_before}"))
    request = Request(
        root,
        target,
        params["job_name"],
        params["jobs_dir"],
        params["allow_empty"],
        ("--stop-before", str(stop_before), *start_options),
        context.obj,
        [*directives, *others],
        mpi,
        after,
        max_tries if requeue else 1,
    )
    if only_print:
        click.echo(script_of(request).text(), nl=False)
        return
    submitted = hand_over(request)
    for note in submitted.notes:
        click.echo(f"mpingest: note: {note}", err=True)
    click.echo(f"job {submitted.job}: batch job {submitted.batch_job}, output in {submitted.log}")


def _checked_start(context: click.Context, root: str, target: str, options: tuple[str, ...]) -> dict[str, Any]:
    """The parameters of ``mpingest start`` with these options. Raises UsageError where it would not take them."""
    params = start.make_context("start", [*options, "--", root, target], parent=context.parent).params
    run_options(dict(params))
    return params
