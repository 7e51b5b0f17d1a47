"""What was seen and what became of it: segments, checkpoint, merge, diff.

Imports ``scan`` for the entry batch; knows nothing of iRODS, MPI or the job directory's layout.
"""
