"""Put files, keep each one's SHA-256 as metadata, and let everybody read the objects.

The checksum is that of the file as it was read for this; compare it with the object's own (``ichksum``) whenever you
like. Both metadata and permissions travel with the content of a new file.

Use:    mpingest start --event-handler checksum_and_share.py /data/release /tempZone/home/lab/release
Cost:   every file is read twice.
"""

import hashlib

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC

    @staticmethod
    def metadata(meta):
        with open(meta["path"], "rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        return [("checksum", digest.hexdigest(), "sha256")]

    @staticmethod
    def acl(meta):
        return [("read", "public")]
