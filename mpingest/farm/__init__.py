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
"""
