"""The task farm: spreads units over the ranks of an MPI world until no unit exists anywhere.

``units``        what is handed out or stolen, opaque to the farm
``messages``     what ranks say to one another, as flat byte buffers
``backlog``      the units of one worker that have not begun
``share``        what one rank did, counted
``worker``       state machine of a worker; why no unit travels for ever
``coordinator``  state machine of rank 0; why the end is exact
``executor``     what a caller implements to have its units run
``links``        how messages travel: over MPI, or within a world of one rank
``transport``    the loops that drive the state machines, and ``run_farm``
``collective``   what all ranks do together beside the farm
``world``        the MPI world: loading, sanity, ending it on an error

The state machines know no MPI, clock, file or thread. Knows nothing of directories or iRODS.

How far it goes: ``tests/bench/simulate.py`` drives these state machines with a virtual clock (20 us for each message at
rank 0, loops that notice messages up to 5 ms late, stats of 0.86 ms, requests of 14 ms, servers that do 544,000 stats a
second), and has the whole table and how it was made. With 1,000 entries a worker, over four shapes of trees, against
the least time that any schedule takes:

=======  ==============  ===========================
workers  efficiency      messages/s at rank 0
=======  ==============  ===========================
1,024    95.0 to 99.9 %  800 to 14,200
10,000   95.1 to 99.6 %  800 to 16,200, but for two
=======  ==============  ===========================

The two are trees that have less to do at a time than there are workers: one flat directory, and a hundred deep chains,
when they are ingested. There idle workers divide what others have begun, and rank 0 handles 25,400 and 22,000 messages
a second. Were the servers no limit, 10,000 workers would ingest a heavy-tailed tree with 88.9 %.
"""
