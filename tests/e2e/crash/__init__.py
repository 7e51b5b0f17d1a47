"""Runs that are cut off anywhere, and what the next one makes of it.

accident          ``mpingest`` that ends itself at a given step, and seals and shares its merge often
conftest          a job that is run again after its tree has changed, and how it ends if nothing is in its way
test_each_step    an accident before and after everything that a run makes lasting
test_any_moment   SIGKILL at random moments
test_no_room      a job directory that is full, or takes nothing
"""
