"""On the cluster: a Slurm of our own on loopback, and what users do with it.

cluster   its daemons, as processes of the test session
"""
