"""The task farm: coordinator and worker as pure state machines, and the MPI transport that drives them."""
