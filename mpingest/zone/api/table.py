"""Which function answers which API."""

from __future__ import annotations

from mpingest.zone.api import (
    access,
    administration,
    archives,
    attributes,
    collections,
    copying,
    metadata,
    put,
    queries,
    registration,
    removal,
    rename,
    transfer,
)
from mpingest.zone.numbers import Api
from mpingest.zone.session import Handler

HANDLERS: dict[int, Handler] = {
    Api.DATA_OBJ_CREATE_AN: transfer.create_object,
    Api.DATA_OBJ_OPEN_AN: transfer.open_object,
    Api.DATA_OBJ_PUT_AN: put.put,
    Api.DATA_OBJ_UNLINK_AN: removal.unlink,
    Api.MOD_DATA_OBJ_META_AN: attributes.modify,
    Api.DATA_OBJ_RENAME_AN: rename.rename,
    Api.DATA_OBJ_CHKSUM_AN: attributes.checksum,
    Api.PHY_PATH_REG_AN: registration.register,
    Api.DATA_OBJ_TRIM_AN: removal.trim,
    Api.DATA_OBJ_TRUNCATE_AN: attributes.truncate,
    Api.STRUCT_FILE_EXT_AND_REG_AN: archives.extract_and_register,
    Api.DATA_OBJ_CLOSE_AN: transfer.close,
    Api.DATA_OBJ_LSEEK_AN: transfer.seek,
    Api.DATA_OBJ_READ_AN: transfer.read,
    Api.DATA_OBJ_WRITE_AN: transfer.write,
    Api.RM_COLL_AN: collections.remove,
    Api.COLL_CREATE_AN: collections.create,
    Api.BULK_DATA_OBJ_REG_AN: registration.register_bulk,
    Api.DATA_OBJ_REPL_AN: copying.replicate,
    Api.DATA_OBJ_COPY_AN: copying.copy,
    Api.GENERAL_ADMIN_AN: administration.administer,
    Api.GEN_QUERY_AN: queries.run,
    Api.MOD_AVU_METADATA_AN: metadata.modify,
    Api.MOD_ACCESS_CONTROL_AN: access.modify,
    Api.USER_ADMIN_AN: administration.administer_own,
    Api.REPLICA_TRUNCATE_AN: attributes.truncate,
    Api.GET_FILE_DESCRIPTOR_INFO_APN: transfer.describe,
    Api.DATA_OBJECT_MODIFY_INFO_APN: attributes.modify_info,
    Api.ATOMIC_APPLY_METADATA_OPERATIONS_APN: metadata.modify_atomically,
    Api.REPLICA_CLOSE_APN: transfer.close_replica,
    Api.ATOMIC_APPLY_ACL_OPERATIONS_APN: access.modify_atomically,
    Api.TOUCH_APN: attributes.touch,
    Api.REGISTER_PHYSICAL_PATH_APN: registration.register_with_answer,
    Api.SWITCH_USER_APN: administration.switch_user,
}
