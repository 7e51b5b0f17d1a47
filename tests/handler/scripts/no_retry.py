from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.redis_utils import get_redis
from irods_capability_automated_ingest.utils import Operation


class event_handler(Core):
    @staticmethod
    def max_retries(hdlr_cls, logger, meta):
        return 0

    @staticmethod
    def post_data_obj_create(hdlr_mod, logger, session, meta, **options):
        get_redis(meta["config"]).incr("failures:" + meta["path"])

    @staticmethod
    def operation(session, meta, **options):
        return Operation.REGISTER_SYNC
