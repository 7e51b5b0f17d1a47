"""Batch scripts: what bash makes of them is what was meant."""

from __future__ import annotations

import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpingest.jobs.batch_script import BatchScript, quoted


def read_by_bash(text: str) -> list[bytes]:
    """The words of a line, as bash understands it."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True)
    return done.stdout.split(b"\0")[:-1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda name: name.replace(b"\0", b"")), min_size=1, max_size=8))
def test_bash_reads_every_name_as_it_is(names: list[bytes]) -> None:
    text = " ".join(quoted(os.fsdecode(name)) for name in names)
    assert text.isascii()
    assert text.isprintable()
    assert read_by_bash(text) == names


@pytest.mark.parametrize(
    "name", ["it's", "$(id)", "`id`", "a\nb", "\r\n", "\\", "'\n'", "-x", "é", "\udcff1", "!!", ""]
)
def test_awkward_names(name: str) -> None:
    assert read_by_bash(quoted(name)) == [os.fsencode(name)]


def test_a_script() -> None:
    directives = [("nodes", "2"), ("exclusive", None)]
    script = BatchScript("lab", directives, "pmix", ["mpingest", "start", "--", "/a b", "/zone/home"])
    assert script.text().splitlines() == [
        "#!/bin/bash",
        "# Made by mpingest submit for job lab.",
        "#SBATCH --nodes=2",
        "#SBATCH --exclusive",
        "",
        "# --wait: when a rank has died, the others are ended too.",
        "srun --mpi=pmix --wait=10 \\",
        "    mpingest start -- '/a b' /zone/home",
    ]


@pytest.mark.parametrize(("code", "restarts", "requeued"), [(75, "", 1), (75, "1", 1), (75, "2", 0), (3, "", 0)])
def test_what_is_queued_again(code: int, restarts: str, requeued: int) -> None:
    text = BatchScript("lab", [], "pmi2", ["mpingest"], tries=3).text()
    commands = f'srun() {{ return {code}; }}; exec() {{ echo "$@"; }}; SLURM_JOB_ID=7 SLURM_RESTART_COUNT={restarts}\n'
    done = subprocess.run(["bash", "-c", commands + text], capture_output=True, text=True, check=False)
    assert done.stdout == "scontrol requeue 7\n" * requeued
    assert done.returncode == code
