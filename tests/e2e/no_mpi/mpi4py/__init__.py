raise ImportError("there is no MPI here")
