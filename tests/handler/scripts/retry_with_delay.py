import os

from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation


class event_handler(Core):
    @staticmethod
    def max_retries(hdlr_cls, logger, meta):
        logger.debug("asked for retries")
        return 3 if issubclass(hdlr_cls, Core) else 0

    @staticmethod
    def delay(hdlr_cls, logger, meta, retries):
        return 0.2 * retries

    @staticmethod
    def pre_data_obj_create(hdlr_mod, logger, session, meta, **options):
        # fails the first two times for each file
        with open(os.environ["CALLS"], "a+") as calls:
            calls.seek(0)
            tries = calls.read().count(meta["path"] + "\n")
            calls.write(meta["path"] + "\n")
        if tries < 2:
            raise RuntimeError("Error! retry!")

    @staticmethod
    def operation(session, meta, **options):
        return Operation.REGISTER_SYNC
