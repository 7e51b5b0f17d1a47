from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import Operation


class event_handler(Core):
    @staticmethod
    def as_user(meta, **options):
        zone = meta["target"].split("/")[1]
        return zone, "carol"

    @staticmethod
    def post_data_obj_create(hdlr_mod, logger, session, meta, *args, **options):
        session.data_objects.get(meta["target"]).metadata.add("made_by", session.username)

    @staticmethod
    def operation(session, meta, **options):
        if meta["path"].endswith(".reg"):
            return Operation.REGISTER_SYNC
        return Operation.PUT
