"""On the cluster: a Slurm of our own on loopback, and what users do with it.

cluster             its daemons, as processes of the test session
conftest            the command line on a login node; runs that last as long as they are to
test_submit         jobs that are handed over, listed, stopped and queued again
test_stopping       time limits, scancel, jobs that queue themselves again, a landing zone
test_accidents      ranks that are killed, two runs at once, worlds that a launcher made wrong
test_doctor         which srun fits the MPI library
test_jobscripts     every script of jobscripts/
test_documentation  the commands of README.md and jobscripts/README.md

What takes minutes is only run with MPINGEST_TEST_FULL=1. Without Slurm (Debian: slurm-wlm and munge) all is skipped.
"""
