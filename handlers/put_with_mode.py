"""Put files, and keep each file's permissions as metadata (attribute ``filesystem::mode``) on its data object.

Use:    mpingest start --event-handler put_with_mode.py /data/incoming /tempZone/home/lab/incoming
Cost:   nothing for a new file: its metadata travels with its content. A chmod costs two requests.
"""

import os

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC

    @staticmethod
    def metadata(meta):
        mode = os.stat(meta["path"]).st_mode
        return [("filesystem::mode", f"{mode & 0o7777:04o}")]
