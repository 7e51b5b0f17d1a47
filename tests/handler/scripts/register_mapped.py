from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation


class event_handler(Core):
    @staticmethod
    def to_resource(session, meta, **options):
        return "secondResc"

    @staticmethod
    def target_path(session, meta, **options):
        return "/mnt/on_server" + meta["path"]

    @staticmethod
    def operation(session, meta, **options):
        return Operation.REGISTER_SYNC
