"""One landing directory for all instruments: each one's files go to a collection and a resource of its own.

A file such as ``landing/mri3_2026-11-24_patient7.dcm`` goes to ``instruments/mri3`` below the target. What doesn't look
like any instrument's goes to ``unsorted``. Collections are made when their first file comes.

Use:    mpingest start --event-handler route_by_instrument.py /landing /tempZone/home/lab
Change: the pattern and the resources. Names must not occur twice in what becomes one collection.
"""

import os
import re

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation

INSTRUMENT = re.compile(r"(?P<name>[a-z]+\d+)_")
RESOURCES = {"mri3": "secondResc"}  # all others: the default resource


def instrument_of(meta):
    match = INSTRUMENT.match(os.path.basename(meta["path"]))
    return match["name"] if match else None


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC

    @staticmethod
    def to_resource(session, meta, **options):
        return RESOURCES.get(instrument_of(meta))

    @staticmethod
    def collection_for(meta):
        name = instrument_of(meta)
        return f"instruments/{name}" if name else "unsorted"
