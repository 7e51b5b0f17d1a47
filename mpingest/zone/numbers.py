"""API numbers, by the names that clients know them under."""

from __future__ import annotations

from enum import IntEnum


class Api(IntEnum):
    """Requests that the zone answers."""

    DATA_OBJ_CREATE_AN = 601
    DATA_OBJ_OPEN_AN = 602
    DATA_OBJ_PUT_AN = 606
    DATA_OBJ_UNLINK_AN = 615
    MOD_DATA_OBJ_META_AN = 622
    DATA_OBJ_RENAME_AN = 627
    DATA_OBJ_CHKSUM_AN = 629
    PHY_PATH_REG_AN = 630
    DATA_OBJ_TRIM_AN = 632
    DATA_OBJ_TRUNCATE_AN = 652
    STRUCT_FILE_EXT_AND_REG_AN = 665
    DATA_OBJ_CLOSE_AN = 673
    DATA_OBJ_LSEEK_AN = 674
    DATA_OBJ_READ_AN = 675
    DATA_OBJ_WRITE_AN = 676
    RM_COLL_AN = 679
    COLL_CREATE_AN = 681
    BULK_DATA_OBJ_REG_AN = 688
    DATA_OBJ_REPL_AN = 695
    DATA_OBJ_COPY_AN = 696
    GENERAL_ADMIN_AN = 701
    GEN_QUERY_AN = 702
    AUTH_REQUEST_AN = 703
    AUTH_RESPONSE_AN = 704
    MOD_AVU_METADATA_AN = 706
    MOD_ACCESS_CONTROL_AN = 707
    USER_ADMIN_AN = 714
    REPLICA_TRUNCATE_AN = 802
    GET_FILE_DESCRIPTOR_INFO_APN = 20000
    DATA_OBJECT_MODIFY_INFO_APN = 20001
    ATOMIC_APPLY_METADATA_OPERATIONS_APN = 20002
    REPLICA_CLOSE_APN = 20004
    ATOMIC_APPLY_ACL_OPERATIONS_APN = 20005
    TOUCH_APN = 20007
    REGISTER_PHYSICAL_PATH_APN = 20008
    SWITCH_USER_APN = 20012
    AUTHENTICATION_APN = 110000


def api_name(number: int) -> str:
    """The name of an API, its number where it has none here."""
    try:
        return Api(number).name
    except ValueError:
        return str(number)
