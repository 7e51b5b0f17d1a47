"""Batch scripts for Slurm: what ``mpingest submit`` hands over, as a user would have written it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

END_SECONDS = 10
"""How long ranks have to end after the first of them has: in order, they all do at once."""


@dataclass(frozen=True, slots=True)
class BatchScript:
    """A script.

    name: of the job.  directives: options of sbatch(1), name and value, or None where they take none.
    mpi: how srun starts the ranks.  command: what each rank runs.
    tries: how often it may begin in all; beyond the first, Slurm is asked to requeue it when it was stopped early.
    """

    name: str
    directives: Sequence[tuple[str, str | None]]
    mpi: str
    command: Sequence[str]
    tries: int = 1

    def text(self) -> str:
        """The script. It is printable ASCII, whatever bytes stand in names."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "#!/bin/bash"
        yield f"# Made by mpingest submit for job {self.name}."
        for name, value in self.directives:
            yield f"#SBATCH --{name}" + (f"={value}" if value is not None else "")
        yield ""
        yield "# --wait: when a rank has died, the others are ended too."
        yield f"srun --mpi={self.mpi} --wait={END_SECONDS} \\"
        yield "    " + " ".join(map(quoted, self.command))
        if self.tries > 1:
            yield "code=$?"
            yield "# Stopped early: the same line again does the rest."
            yield f'if [ "$code" -eq 75 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {self.tries - 1} ]; then'
            yield '    exec scontrol requeue "$SLURM_JOB_ID"'
            yield "fi"
            yield 'exit "$code"'


def quoted(word: str) -> str:
    """A word for bash, as printable ASCII. Bytes that are not UTF-8 are surrogates in ``word`` (PEP 383)."""
    if word.isascii() and word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, os.fsencode(word))) + "'"


def _escaped(byte: int) -> str:
    character = chr(byte)
    if character in "\\'":
        return f"\\{character}"
    return character if 0x20 <= byte < 0x7F else f"\\{byte:03o}"
