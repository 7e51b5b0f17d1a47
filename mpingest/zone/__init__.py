"""The embedded zone: a small iRODS server for the demo and the tests.

Stands alone: imports nothing of mpingest but ``errors``; only cli, demo and tests import it.
"""
