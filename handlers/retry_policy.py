"""Try entries again that fail, at growing intervals, and give none of them more than a quarter of an hour.

mpingest itself repeats requests while the zone doesn't answer. This is for everything else: a checksum service that
is down for a minute, a file that is still being copied. While an entry waits, others go on.

Use:    mpingest start --event-handler retry_policy.py /data/incoming /tempZone/home/lab/incoming
"""

from mpingest.handler.core import Core
from mpingest.handler.operations import Operation


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC

    @staticmethod
    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        with open(meta["path"], "rb") as file:
            if file.read(1) == b"":
                raise RuntimeError("still empty: its instrument has not written it yet")

    @staticmethod
    def max_retries(hdlr_cls, logger, meta):
        return 5

    @staticmethod
    def delay(hdlr_cls, logger, meta, retries):
        return min(60, 0.5 * 2**retries)  # seconds: 1, 2, 4, …

    @staticmethod
    def timeout(hdlr_cls, logger, meta):
        return 900
