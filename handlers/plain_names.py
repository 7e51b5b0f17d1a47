"""Register files under names that hold nothing but ASCII letters, digits, dots, dashes and underscores.

Every other character becomes an underscore. A changed name gets a suffix made of what was changed, so that ``a b`` and
``a?b`` remain two objects; its data object says in ``irods::automated_ingest::character_map`` where it comes from.

Use:    mpingest start --event-handler plain_names.py /data/old /tempZone/home/lab/old
"""

import re

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.REGISTER_SYNC

    @staticmethod
    def character_map():
        return {re.compile(r"[^A-Za-z0-9._-]"): "_"}
