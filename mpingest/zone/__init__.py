"""The embedded zone: a small iRODS server for the demo and the tests.

Stands alone: imports nothing of mpingest but ``errors``; only cli, demo and tests import it. From the outside in::

    embedded      the server process as an object: start, stop, kill, count, inject faults
    server        port, directory, signals; one thread a connection
    agent         one connection: startup, login (auth), then request and reply
    frame, pack   bytes on the wire; XML messages          messages   what requests carry, as data classes
    api/          what each request does, by api/table
    catalog/      SQLite: users, resources, collections, objects, rights, metadata
    query         GenQuery to SQL, over columns             vault      the files of replicas
    control       the private socket: counts out, faults in

What a killed server leaves behind is put right at the next start, because of the order of things: a replica is
marked intermediate, in a transaction of its own, before its file is touched; and a file is removed only after the
transaction that no longer needs it. What is in the vaults and not in the catalog then is removed (``recovery``).
"""
