"""``pre_job`` and ``post_job``: called once a run, on one rank."""

from __future__ import annotations

from typing import Any

from mpingest.errors import MpingestError
from mpingest.handler.calls import HandlerFailure
from mpingest.handler.load import process_state_kept
from mpingest.jobs.log import open_log
from mpingest.jobs.spec import RunOptions
from mpingest.jobs.tools import OpenRun, handler_of, job_facts


def call_job_hook(name: str, opened: OpenRun, options: RunOptions, **facts: Any) -> None:
    """Call a method of the script if it has it. facts: more keys of its ``meta``.

    Raises MpingestError where the method fails.
    """
    handler = handler_of(options)
    if not handler.has(name):
        return
    meta = job_facts(opened.spec, options).meta | {"run": opened.run.number} | facts
    try:
        with (
            open_log(opened.run.log, options.log, 0, opened.spec.name, opened.run.number) as logger,
            process_state_kept(),
        ):
            handler.job_hook(name, logger, meta)
    except HandlerFailure as error:
        raise MpingestError(f"event handler {options.handler}: {error}") from error
