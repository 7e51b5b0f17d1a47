"""Put files, and keep each file's permissions as metadata (attribute ``filesystem::mode``) on its data object.

Use:    mpingest start --event-handler put_with_mode.py /data/incoming /tempZone/home/lab/incoming
Cost:   two more requests for each file that goes (one to look the object up, one to set the metadata).
"""

import os

from irods.meta import iRODSMeta

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation

ATTRIBUTE = "filesystem::mode"


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC

    @staticmethod
    def post_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        keep_mode(session, meta)

    @staticmethod
    def post_data_obj_modify(hdlr_mod, logger, session, meta, *args, **options):
        keep_mode(session, meta)


def keep_mode(session, meta):
    mode = os.stat(meta["path"]).st_mode
    data_object = session.data_objects.get(meta["target"])
    data_object.metadata[ATTRIBUTE] = iRODSMeta(ATTRIBUTE, f"{mode & 0o7777:04o}")
