import os

from irods.meta import iRODSMeta
from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation


def mark(session, meta, name):
    if name.startswith("post") or name == "pre_coll_modify":
        session.collections.get(meta["target"]).metadata.add(iRODSMeta(name, meta["entry_type"], "called"))
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(name + " " + meta["target"] + "\n")


class event_handler(Core):
    @staticmethod
    def operation(session, meta, **options):
        return Operation.REGISTER_SYNC

    @staticmethod
    def pre_coll_create(hdlr_mod, logger, session, meta, **options):
        mark(session, meta, "pre_coll_create")

    @staticmethod
    def post_coll_create(hdlr_mod, logger, session, meta, **options):
        mark(session, meta, "post_coll_create")

    @staticmethod
    def pre_coll_modify(hdlr_mod, logger, session, meta, **options):
        mark(session, meta, "pre_coll_modify")

    @staticmethod
    def post_coll_modify(hdlr_mod, logger, session, meta, **options):
        mark(session, meta, "post_coll_modify")
