"""Runs in chaos, drawn by seeds, and whether in the end all is as it should be.

scenario        what a seed means: a job, and the troubles of its runs
tree            the job's tree, how it changes, and the journal of that
program         ``mpingest`` whose files change just before it looks back at them, and that may lack a safeguard
job             a scenario as it happens
check           whether it came out right: by the plain client, os.walk and the journal alone
test_seeds      all of that
test_mutations  the harness itself: it finds what a missing safeguard leads to
"""
