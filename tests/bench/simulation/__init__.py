"""The farm on a virtual clock: its own state machines, with everything around them replaced by costs.

``costs``     what things cost, in seconds
``shapes``    trees that are grown from a seed, directory by directory, only when they are scanned
``executor``  a worker's threads: what is scanned and ingested when
``clock``     the event queue, when a sleeping rank notices something, and the ranks
"""
