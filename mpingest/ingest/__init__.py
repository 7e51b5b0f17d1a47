"""Change -> action: operations, handler calls, retry, session pool, iRODS requests."""
