import os

from irods.meta import iRODSMeta
from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import DeleteMode, Operation


class event_handler(Core):
    @staticmethod
    def post_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        status = os.stat(meta["path"])
        obj = session.data_objects.get(meta["target"])
        obj.metadata.add(iRODSMeta("filesystem::size", str(meta["size"])))
        obj.metadata.add(iRODSMeta("filesystem::links", str(status.st_nlink)))

    @staticmethod
    def pre_data_obj_delete(hdlr_mod, session, meta, **options):
        session.data_objects.get(meta["target"])

    @staticmethod
    def delete_mode(meta):
        return DeleteMode.DO_NOT_DELETE

    @staticmethod
    def operation(session, meta, **options):
        return Operation.PUT_APPEND
