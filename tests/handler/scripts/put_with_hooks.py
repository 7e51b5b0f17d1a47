import os

from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation


def note(name, *values):
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(" ".join([name] + [str(value) for value in values]) + "\n")


class event_handler(Core):
    @staticmethod
    def pre_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        logger.info("pre_data_obj_create:[" + meta["path"] + "]")
        hdlr_mod.note("pre_data_obj_create", meta["target"], *args, sorted(options))

    @staticmethod
    def post_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        hdlr_mod.note("post_data_obj_create", meta["target"], *args, sorted(options))

    @staticmethod
    def pre_data_obj_modify(hdlr_mod, logger, session, meta, *args, **options):
        hdlr_mod.note("pre_data_obj_modify", meta["target"], *args, sorted(options))

    @staticmethod
    def post_data_obj_modify(hdlr_mod, logger, session, meta, *args, **options):
        hdlr_mod.note("post_data_obj_modify", meta["target"], *args, sorted(options))

    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_SYNC
