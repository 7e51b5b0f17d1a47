"""MPI-parallel scanner that brings data on parallel file systems under iRODS management.

One direction of flow: ``cli -> jobs -> farm``, and in each worker ``scan -> diff -> ingest -> manifest``.
A lower package never imports a higher one; the order stands in pyproject.toml (import-linter).
"""

__version__ = "0.1.0"
