"""Change -> action: what is asked of the zone about each entry, and what becomes of it.

``entry``       one entry from what is known of it to its outcome; ``subject``: with all that the handler says of it
``actions``     the table of operations and situations
``register``, ``put``, ``delete``, ``compare``   the steps
``attributes``, ``routes``, ``names``            metadata and permissions, collections by the handler, names in the catalog
``catalog``     the thin request layer; ``wire``: framing; ``statuses``: what error numbers mean
``session``, ``users``, ``retry``, ``deadline``  logging in, on whose behalf, for how long
"""
