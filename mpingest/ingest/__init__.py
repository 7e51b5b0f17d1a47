"""Change -> action: what is asked of the zone about each entry, and what becomes of it.

``entry``                one entry, from what is known of it to its outcome
``subject``              an entry with all that the handler says of it
``actions``              the table of operations and situations
``costs``                how many requests each of them takes
``register``, ``put``    the steps of bringing something in; ``compare``: what is there already
``rename``               an object that follows its file to another name
``delete``               the step of taking something out
``proof``                whether the zone holds what a file does
``bundles``, ``archive`` many small new files as one tar file
``content``              bytes of files; ``checksums``: as iRODS writes them
``attributes``           metadata and permissions
``names``, ``routes``    names of the catalog, and collections that the handler chooses
``catalog``              the thin request layer; ``messages``, ``wire``: its messages, and their framing
``resources``            hierarchies of resources
``statuses``, ``retry``  what error numbers mean, and when a request is tried again
``deadline``             the time that an entry may take
``session``, ``users``   logging in, and on whose behalf
"""
