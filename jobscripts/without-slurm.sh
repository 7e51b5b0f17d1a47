#!/bin/bash
# On hosts without a batch system: ranks here, or on the hosts of a file with a name a line (mpirun --hostfile).
# A cron job may run it: the job's lock keeps two at a time apart.
ROOT=/data/incoming
TARGET=/tempZone/home/lab/incoming
RANKS=4
HOSTS=() # HOSTS=(--hostfile "$HOME/hosts")

# The mpirun must belong to the MPI library that mpi4py uses: mpingest doctor names it.
exec mpirun "${HOSTS[@]}" -n "$RANKS" mpingest start --operation put_sync "$ROOT" "$TARGET"
