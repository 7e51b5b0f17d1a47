import re

from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation


class event_handler(Core):
    @staticmethod
    def character_map():
        return [(("#", " "), "_"), (re.compile("[^ -~]"), "-")]

    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC
