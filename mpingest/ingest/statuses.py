"""Status numbers of iRODS servers: their names, and what a client should make of them.

Source: rodsErrorTable.h of the iRODS server, by way of the exception classes of python-irodsclient.
"""

from __future__ import annotations

from enum import Enum, auto

import irods.exception


class Verdict(Enum):
    """What to do about a failed request."""

    TRANSIENT = auto()
    """Try again, on a new connection."""
    BUSY = auto()
    """Try again a few times, then report."""
    ALREADY = auto()
    """What was asked for may be there already: look."""
    ABSENT = auto()
    """What was to be changed isn't there: make it."""
    NO_COLLECTION = auto()
    """Its collection is missing: make that first."""
    PERMANENT = auto()
    """Report."""


NETWORK_FAILURE = -1
"""Our own number for a connection that broke or could not be made; real ones are below -999."""

SUCCESS = 0
ALREADY_HAS_ITEM = -809000
OVERWRITE_WITHOUT_FORCE = -312000
COPY_LENGTH_ERROR = -27000
NO_ROWS_FOUND = -808000
CHECKSUM_MISMATCH = -314000
COLLECTION_NOT_EMPTY = -821000

_VERDICTS: dict[Verdict, tuple[int, ...]] = {
    Verdict.TRANSIENT: (
        NETWORK_FAILURE,
        -4000,  # SYS_HEADER_READ_LEN_ERR
        -5000,  # SYS_HEADER_WRITE_LEN_ERR
        -18000,  # SYS_OUT_OF_FILE_DESC
        -25000,  # SYS_CONFIG_FILE_ERR: what an extra database connection that fails looks like
        -38000,  # SYS_AGENT_INIT_ERR
        -43000,  # SYS_NO_RCAT_SERVER_ERR
        -49000,  # SYS_FORK_ERROR
        -115000,  # SYS_SOCK_READ_TIMEDOUT
        -116000,  # SYS_SOCK_READ_ERR
        -118000,  # SYS_MAX_CONNECT_COUNT_EXCEEDED
        -162000,  # SYS_SOCK_CONNECT_ERR
        -305000,  # USER_SOCK_CONNECT_ERR
        -347000,  # USER_SOCK_CONNECT_TIMEDOUT
        -801000,  # CATALOG_NOT_CONNECTED
        -802000,  # CAT_ENV_ERR
        -803000,  # CAT_CONNECT_ERR
    ),
    Verdict.BUSY: (
        COPY_LENGTH_ERROR,  # SYS_COPY_LEN_ERR: the file changed while it was read
        -105000,  # SYS_RESC_IS_DOWN
        -154000,  # SYS_INTERNAL_ERR
        -167000,  # SYS_LIBRARY_ERROR
        -168000,  # SYS_REPLICA_INACCESSIBLE
        CHECKSUM_MISMATCH,  # USER_CHKSUM_MISMATCH: the content changed on its way
        -405000,  # INTERMEDIATE_REPLICA_ACCESS
        -406000,  # LOCKED_DATA_OBJECT_ACCESS
        -806000,  # CAT_SQL_ERR: a deadlock or serialisation failure, the server doesn't try again
        -1803000,  # HIERARCHY_ERROR
    ),
    Verdict.ALREADY: (
        -46000,  # SYS_COPY_ALREADY_IN_RESC
        OVERWRITE_WITHOUT_FORCE,
        ALREADY_HAS_ITEM,
    ),
    Verdict.NO_COLLECTION: (-814000,),  # CAT_UNKNOWN_COLLECTION
    Verdict.ABSENT: (
        -310000,  # USER_FILE_DOES_NOT_EXIST
        NO_ROWS_FOUND,
        -817000,  # CAT_UNKNOWN_FILE
        -819000,  # CAT_SUCCESS_BUT_WITH_NO_INFO: no such replica
    ),
}
_VERDICT_OF = {code: verdict for verdict, codes in _VERDICTS.items() for code in codes}

_OWN_NAMES = {
    NETWORK_FAILURE: "NETWORK_FAILURE",
    -116000: "SYS_SOCK_READ_ERR",
    -118000: "SYS_MAX_CONNECT_COUNT_EXCEEDED",
    -129000: "PATH_REG_NOT_ALLOWED",
    -154000: "SYS_INTERNAL_ERR",
    -162000: "SYS_SOCK_CONNECT_ERR",
    -186000: "LOGICAL_QUOTA_EXCEEDED",
    -405000: "INTERMEDIATE_REPLICA_ACCESS",
}


def nominal(status: int) -> int:
    """The status without the errno that servers add in its last three digits."""
    return status if status > -1000 else -(-status // 1000) * 1000


def verdict(status: int) -> Verdict:
    """What to make of a failed request's ``status`` (< 0)."""
    return _VERDICT_OF.get(nominal(status), Verdict.PERMANENT)


def status_name(status: int) -> str:
    """The symbol of a status, such as CAT_NO_ACCESS_PERMISSION."""
    code = nominal(status)
    if code in _OWN_NAMES:
        return _OWN_NAMES[code]
    known = irods.exception.iRODSExceptionMeta.codes.get(code)
    return known.__name__ if known else f"IRODS_ERROR_{-code}"


class RequestError(Exception):
    """A request that the zone refused, or that never reached it. ``message`` is what the server said, if anything."""

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self) -> str:
        text = f"{status_name(self.status)} ({self.status})"
        return f"{text}: {self.message}" if self.message else text

    @property
    def verdict(self) -> Verdict:
        """What to do about it."""
        return verdict(self.status)
