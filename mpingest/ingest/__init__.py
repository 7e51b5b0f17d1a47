"""Change -> action: what is asked of the zone about each entry, and what becomes of it.

``entry``                one entry, from what is known of it to its outcome
``subject``              an entry with all that the handler says of it
``actions``              the table of operations and situations
``costs``                how many requests each of them takes
``register``, ``put``    the steps of bringing something in; ``compare``: what is there already
``rename``               an object that follows its file to another name
``delete``               the step of taking something out
``attributes``           metadata and permissions
``names``, ``routes``    names of the catalog, and collections that the handler chooses
``catalog``, ``wire``    the thin request layer, and its framing
``fingerprint``          the checksum of a file, as the catalog has it
``statuses``, ``retry``  what error numbers mean, and when a request is tried again
``deadline``             the time that an entry may take
``session``, ``users``   logging in, and on whose behalf
"""
