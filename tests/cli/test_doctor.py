"""``mpingest doctor``: what is there is said, what is missing is named with a remedy."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from irods.session import iRODSSession

from mpingest.jobs.doctor import Verdict, _clocks, _versions
from mpingest.jobs.hosts import Host
from mpingest.zone.embedded import EmbeddedZone
from tests.conftest import CommandLine, mpiexec, powerless

MakeTree = Callable[[dict[str, bytes]], Path]
ALWAYS = ["python", "mpi", "slurm", "scan", "zone", "rights", "resource", "jobs", "hdf5"]


def findings(mpingest: CommandLine) -> dict[str, str]:
    """What was said, by subject."""
    return {line.split()[1]: line for line in mpingest.last.stdout.splitlines() if not line.startswith(" ")}


def test_all_is_well_on_one_rank(mpingest: CommandLine) -> None:
    done = mpingest("doctor")
    assert done.returncode == 0, done.stderr
    lines = findings(mpingest)
    assert list(lines) == ALWAYS
    assert "threads " in lines["mpi"]
    assert "a world of 1 on 1 host" in lines["mpi"]
    assert "rods on zone tempZone" in lines["zone"]
    assert "rods is a rodsadmin: may put and register" in lines["rights"]
    assert "resource demoResc" in lines["resource"]
    assert str(mpingest.jobs) in lines["jobs"]
    assert "writes and reads" in lines["hdf5"]
    assert not mpingest.jobs.exists(), "nothing is left behind"


def test_all_is_well_in_a_world(mpingest: CommandLine, make_tree: MakeTree, tmp_path: Path, target: str) -> None:
    root = make_tree({"dir/file": b"", "other": b""})
    done = mpingest("doctor", root, target, ranks=3)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = findings(mpingest)
    assert list(lines) == [*ALWAYS[:-2], "target", "root", *ALWAYS[-2:], "clocks"]
    assert "a world of 3 on 1 host" in lines["mpi"]
    assert f"rods may write to {target}" in lines["target"]
    assert f"root     {root} on " in lines["root"]
    assert lines["root"].endswith(", of 3")
    assert "all ranks have that of one host" in lines["clocks"]
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_what_is_wrong_is_named(mpingest: CommandLine, tmp_path: Path) -> None:
    mpingest.environment |= {
        "IRODS_ENVIRONMENT_FILE": str(tmp_path / "nowhere.json"),
        "MPINGEST_NATIVE": "0",
        "PATH": os.path.dirname(sys.executable),
    }
    done = mpingest("doctor", "--jobs-dir", "/proc/jobs", tmp_path / "root")
    assert done.returncode == 1
    assert f"failed  zone     no iRODS environment at {tmp_path}/nowhere.json: run iinit" in done.stdout
    assert f"failed  root     root {tmp_path}/root: no such directory" in done.stdout
    assert "failed  jobs     /proc/jobs: " in done.stdout
    assert "failed  hdf5 " in done.stdout
    assert "note    scan     directories are read in Python, which is slower (MPINGEST_NATIVE=0)" in done.stdout
    assert "note    slurm    no srun and no sbatch on PATH" in done.stdout


def test_who_may_not_is_told_so(
    mpingest: CommandLine, session: iRODSSession, zone: EmbeddedZone, make_tree: MakeTree, tmp_path: Path
) -> None:
    environment = zone.environment_file.read_text().replace('"demoResc"', '"nowhere"')
    (tmp_path / "environment.json").write_text(environment)
    mpingest.environment["IRODS_ENVIRONMENT_FILE"] = str(tmp_path / "environment.json")
    done = mpingest("doctor", make_tree({}), "/tempZone/nowhere/at/all", "--jobs-dir", tmp_path / "root" / "jobs")
    assert done.returncode == 1
    assert "failed  resource resource nowhere: zone tempZone has no such resource" in done.stdout
    assert "failed  target   target /tempZone/nowhere/at/all: " in done.stdout
    assert f"jobs directory {tmp_path}/root/jobs: lies in the root" in done.stdout


def test_worlds_of_one_rank_each_are_told_from_one_world(mpingest: CommandLine) -> None:
    """As where a launcher does not fit the MPI library."""
    mpingest.environment |= {"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "0"}
    done = mpingest("doctor")
    assert done.returncode == 1
    assert "the launcher started 4 processes" in findings(mpingest)["mpi"]
    mpingest.environment["OMPI_COMM_WORLD_RANK"] = "1"
    done = mpingest("doctor")
    assert (done.returncode, done.stdout) == (0, "")


def test_hosts_that_do_not_see_the_same_are_named(mpingest: CommandLine, make_tree: MakeTree, tmp_path: Path) -> None:
    """A rank with a host name and mounts of its own stands for another host."""
    unshare = shutil.which("unshare") or pytest.skip("no unshare: install util-linux")
    if subprocess.run([unshare, "--mount", "--uts", "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not make namespaces: run as root")
    root = make_tree({"file": b""})
    doctor = shlex.join([sys.executable, "-m", "mpingest", "doctor", str(root)])
    elsewhere = f"hostname elsewhere && mount -t tmpfs none {shlex.quote(str(tmp_path))} && exec {doctor}"
    command = [
        mpiexec(),
        "-n",
        "1",
        *shlex.split(doctor),
        ":",
        "-n",
        "2",
        unshare,
        "--mount",
        "--uts",
        "sh",
        "-c",
        elsewhere,
    ]
    mpingest.last = subprocess.run(
        command, env=mpingest.environment, cwd="/", capture_output=True, text=True, timeout=120, check=False
    )
    lines = findings(mpingest)
    assert mpingest.last.returncode == 1
    assert "a world of 3 on 2 hosts" in lines["mpi"]
    assert lines["root"].startswith("failed")
    assert "elsewhere cannot see it" in lines["root"]
    assert lines["jobs"].startswith("failed")
    assert "elsewhere cannot see what " in lines["jobs"]
    assert "those of all hosts are within " in lines["clocks"]


def host(name: str, ahead: float = 0.0, versions: str = "mpingest 1", uncertainty: float = 1e-4) -> Host:
    return Host(name, 1, (), versions, ahead, uncertainty)


def test_clocks_that_differ_are_told_unless_that_is_uncertain() -> None:
    assert _clocks([host("a"), host("b", 0.002), host("c", -0.003)])[:2] == (
        Verdict.OK,
        "those of all hosts are within 3.1 ms",
    )
    verdict, text, remedy = _clocks([host("a"), host("b", 0.1), host("c", -4.0)])
    assert (verdict, text) == (Verdict.NOTE, "that of c is -4.0 s off that of a")
    assert "NTP" in remedy
    assert _clocks([host("a"), host("b", 1.5, uncertainty=1.0)])[0] is Verdict.OK


def test_hosts_with_other_versions_are_named() -> None:
    hosts = [host("a"), host("b"), host("c", versions="mpingest 2")]
    assert _versions(hosts)[:2] == (Verdict.FAILED, "mpingest 2 on c; mpingest 1 on a")
    assert _versions(hosts[:2])[:2] == (Verdict.OK, "mpingest 1 on a, b")


def test_a_jobs_directory_that_may_not_be_written_to(mpingest: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "denied").mkdir(mode=0o500)
    mpingest.prefix = powerless()
    done = mpingest("doctor", "--jobs-dir", tmp_path / "denied")
    assert done.returncode == 1
    assert f"failed  jobs     {tmp_path}/denied: Permission denied" in done.stdout
    assert "give a --jobs-dir that you may write to" in done.stdout
