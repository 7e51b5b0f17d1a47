import os

from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation


class event_handler(Core):
    @staticmethod
    def pre_job(hdlr_cls, logger, meta):
        logger.info("pre_job for " + meta["job_name"])
        hdlr_cls.note("pre_job", meta)

    @staticmethod
    def post_job(hdlr_cls, logger, meta):
        hdlr_cls.note("post_job", meta)

    @staticmethod
    def note(name, meta):
        with open(os.environ["CALLS"], "a") as calls:
            calls.write(name + " " + meta["root"] + " " + meta["root_target_collection"] + "\n")

    @staticmethod
    def operation(session, meta, **options):
        return Operation.NO_OP
