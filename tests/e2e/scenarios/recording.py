"""A handler for all operations at once that writes down every call of every method."""

import contextlib
import json
import os

from irods.meta import iRODSMeta
from irods_capability_automated_ingest.core import Core
from irods_capability_automated_ingest.utils import DeleteMode, Operation

DELETE_MODES = {
    Operation.REGISTER_SYNC: DeleteMode.UNREGISTER,
    Operation.REGISTER_AS_REPLICA_SYNC: DeleteMode.UNREGISTER,
    Operation.PUT_SYNC: DeleteMode.TRASH,
    Operation.PUT_APPEND: DeleteMode.NO_TRASH,
}


def operation_of(meta):
    name = os.path.relpath(meta["path"], meta["root"]).split("/")[0]
    return Operation.__members__.get(name, Operation.REGISTER_SYNC)


def kind(argument):
    if isinstance(argument, Operation):
        return argument.name
    if hasattr(argument, "data_objects"):
        return "session"
    if hasattr(argument, "warning"):
        return "logger"
    return argument.__name__ if hasattr(argument, "__name__") else type(argument).__name__


def plain(value):
    return value.decode() if isinstance(value, bytes) else repr(value)


def note(method, *args, **options):
    meta = next((argument for argument in args if isinstance(argument, dict)), {})
    call = {"method": method, "args": [kind(argument) for argument in args], "options": options, "meta": meta}
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(json.dumps(call, default=plain) + "\n")


def annotate(method, session, meta):
    """Metadata of the target's parent collection, which is there whatever happens to the target."""
    collection = session.collections.get(os.path.dirname(meta["root_target_collection"]))
    collection.metadata.add(iRODSMeta(method, meta["target"], operation_of(meta).name))


def fail_once(meta):
    """What is named flaky fails when it is tried first."""
    if meta["path"].endswith("flaky"):
        os.close(os.open(os.environ["CALLS"] + meta["path"].replace("/", "-"), os.O_CREAT | os.O_EXCL))
        raise RuntimeError("the first time")


def hook(method):
    def call(hdlr_mod, logger, session, meta, *args, **options):
        hdlr_mod.note(method, hdlr_mod, logger, session, meta, *args, **options)
        with contextlib.suppress(FileExistsError):
            fail_once(meta)
        hdlr_mod.annotate(method, session, meta)

    return staticmethod(call)


def delete_hook(method):
    def call(hdlr_mod, session, meta, **options):
        hdlr_mod.note(method, hdlr_mod, session, meta, **options)
        hdlr_mod.annotate(method, session, meta)

    return staticmethod(call)


class event_handler(Core):
    pre_data_obj_create = hook("pre_data_obj_create")
    post_data_obj_create = hook("post_data_obj_create")
    pre_data_obj_modify = hook("pre_data_obj_modify")
    post_data_obj_modify = hook("post_data_obj_modify")
    pre_coll_create = hook("pre_coll_create")
    post_coll_create = hook("post_coll_create")
    pre_coll_modify = hook("pre_coll_modify")
    post_coll_modify = hook("post_coll_modify")
    pre_data_obj_delete = delete_hook("pre_data_obj_delete")
    post_data_obj_delete = delete_hook("post_data_obj_delete")
    pre_coll_delete = delete_hook("pre_coll_delete")
    post_coll_delete = delete_hook("post_coll_delete")

    @staticmethod
    def operation(session, meta, **options):
        note("operation", session, meta, **options)
        return operation_of(meta)

    @staticmethod
    def delete_mode(meta):
        note("delete_mode", meta)
        return DELETE_MODES.get(operation_of(meta), DeleteMode.DO_NOT_DELETE)

    @staticmethod
    def to_resource(session, meta, **options):
        note("to_resource", session, meta, **options)
        return "secondResc" if meta["path"].endswith("replica") else None

    @staticmethod
    def target_path(session, meta, **options):
        note("target_path", session, meta, **options)

    @staticmethod
    def as_user(meta, **options):
        note("as_user", meta, **options)

    @staticmethod
    def max_retries(hdlr_cls, logger, meta):
        note("max_retries", hdlr_cls, logger, meta)
        return 1

    @staticmethod
    def delay(hdlr_cls, logger, meta, retries):
        note("delay", hdlr_cls, logger, meta, retries)
        return 0

    @staticmethod
    def timeout(hdlr_cls, logger, meta):
        note("timeout", hdlr_cls, logger, meta)
        return 60

    @staticmethod
    def character_map():
        note("character_map")
        return {}

    @staticmethod
    def pre_job(hdlr_cls, logger, meta):
        note("pre_job", hdlr_cls, logger, meta)

    @staticmethod
    def post_job(hdlr_cls, logger, meta):
        note("post_job", hdlr_cls, logger, meta)
