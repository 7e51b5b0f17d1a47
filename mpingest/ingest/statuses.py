"""Status numbers of iRODS servers: their names, and what a client should make of them.

Source: rodsErrorTable.h of the iRODS server. python-irodsclient has exception classes for most of its numbers, but
raises a bare KeyError for the others; so numbers stay numbers here, and those not listed have a verdict by rule.
"""

from __future__ import annotations

import errno
import ssl
from dataclasses import dataclass
from enum import Enum, auto

import irods.exception
from irods.auth import REQUEST_IS_MISSING_KEY, ClientAuthError
from irods.auth.pam import PamLoginException
from irods.connection import PlainTextPAMPasswordError
from irods.exception import NetworkException, iRODSException


class Verdict(Enum):
    """What to do about a failed request."""

    TRANSIENT = auto()
    """Try again, on a new connection."""
    BUSY = auto()
    """Try again a few times, then report."""
    LOCKED = auto()
    """Likewise: somebody writes the object, or has died while writing it, and then a rodsadmin has to act."""
    ALREADY = auto()
    """What was asked for may be there already: look."""
    ABSENT = auto()
    """What was to be changed isn't there: make it."""
    NO_COLLECTION = auto()
    """Its collection is missing: make that first."""
    PERMANENT = auto()
    """Report."""


PASSING = (Verdict.BUSY, Verdict.LOCKED)
"""What may be over after a few tries."""


@dataclass(frozen=True, slots=True)
class Status:
    """An error number. name: its symbol; reason: what it mostly means here, for people."""

    name: str
    verdict: Verdict
    reason: str


NETWORK_FAILURE = -1
"""Our own number for a connection that broke or could not be made; real ones are below -999."""

SUCCESS = 0
ALREADY_HAS_ITEM = -809000
OVERWRITE_WITHOUT_FORCE = -312000
COPY_LENGTH_ERROR = -27000
NO_ROWS_FOUND = -808000
CHECKSUM_MISMATCH = -314000
LOCKED_DATA_OBJECT = -406000
COLLECTION_NOT_EMPTY = -821000
_AUTHENTICATION_ERROR = -178000
_CERTIFICATE_ERROR = -2105000

_STATUSES: dict[Verdict, dict[int, tuple[str, str]]] = {
    Verdict.TRANSIENT: {
        NETWORK_FAILURE: ("NETWORK_FAILURE", "the connection broke or could not be made"),
        -4000: ("SYS_HEADER_READ_LEN_ERR", "the connection broke"),
        -5000: ("SYS_HEADER_WRITE_LEN_ERR", "the connection broke"),
        -18000: ("SYS_OUT_OF_FILE_DESC", "the server has too many open files"),
        -25000: ("SYS_CONFIG_FILE_ERR", "the server got no further database connection"),
        -38000: ("SYS_AGENT_INIT_ERR", "the server could not start an agent"),
        -43000: ("SYS_NO_RCAT_SERVER_ERR", "the catalog provider does not answer"),
        -49000: ("SYS_FORK_ERROR", "the server could not start an agent"),
        -115000: ("SYS_SOCK_READ_TIMEDOUT", "the connection broke"),
        -116000: ("SYS_SOCK_READ_ERR", "the connection broke"),
        -118000: ("SYS_MAX_CONNECT_COUNT_EXCEEDED", "the server takes no more connections"),
        -155000: ("SYS_SOCK_SELECT_ERR", "the connection broke"),
        -161000: ("SYS_SOCK_WRITE_ERR", "the connection broke"),
        -162000: ("SYS_SOCK_CONNECT_ERR", "the server does not answer"),
        -179000: ("SOCKET_ERROR", "the connection broke"),
        -181000: ("SHUTDOWN_SEQUENCE_INITIATED", "the server was shutting down"),
        -185000: ("CONNECTION_REFUSED", "the server takes no more connections"),
        -305000: ("USER_SOCK_CONNECT_ERR", "the server does not answer"),
        -347000: ("USER_SOCK_CONNECT_TIMEDOUT", "the server does not answer"),
        -801000: ("CATALOG_NOT_CONNECTED", "the server has lost its database"),
        -802000: ("CAT_ENV_ERR", "the server has lost its database"),
        -803000: ("CAT_CONNECT_ERR", "the server has lost its database"),
    },
    Verdict.BUSY: {
        -7000: ("SYS_CAUGHT_SIGNAL", "the agent was killed"),
        -9000: ("SYS_EXCEED_CONNECT_CNT", "the server does not reach that of the resource"),
        -16000: ("SYS_MALLOC_ERR", "the server was out of memory"),
        -22000: ("SYS_SVR_TO_SVR_CONNECT_FAILED", "the server does not reach that of the resource"),
        COPY_LENGTH_ERROR: ("SYS_COPY_LEN_ERR", "the file changed while it was read, or the vault is full"),
        -91000: ("SYS_READ_MSG_BODY_LEN_ERR", "a message broke off"),
        -105000: ("SYS_RESC_IS_DOWN", "the resource is down: iadmin modresc … status up"),
        -123000: ("SYS_FS_LOCK_ERR", "a file of the vault is locked"),
        -154000: ("SYS_INTERNAL_ERR", "the server failed: see its log; or who wrote it was killed: irm, or restart it"),
        -157000: ("SYS_THREAD_RESOURCE_ERR", "the server was out of threads"),
        -163000: ("SYS_OPERATION_IN_PROGRESS", "someone is at the same object"),
        -167000: ("SYS_LIBRARY_ERROR", "the server failed; its log tells more"),
        CHECKSUM_MISMATCH: ("USER_CHKSUM_MISMATCH", "the content changed on its way, or the file while it was read"),
        -540000: ("UNIX_FILE_OPR_TIMEOUT_ERR", "the vault did not answer in time"),
        -721000: ("REPLICA_IS_BEING_STAGED", "the object is being staged"),
        -806000: ("CAT_SQL_ERR", "the database refused: mostly two that wanted the same rows"),
        -1803000: ("HIERARCHY_ERROR", "no resource of the hierarchy takes the object: one is down, or it is locked"),
    },
    Verdict.LOCKED: {
        -168000: ("SYS_REPLICA_INACCESSIBLE", "the object is being written, or its writer died"),
        -405000: ("INTERMEDIATE_REPLICA_ACCESS", "the object is being written, or its writer died"),
        LOCKED_DATA_OBJECT: ("LOCKED_DATA_OBJECT_ACCESS", "the object is being written, or its writer died"),
    },
    Verdict.ALREADY: {
        -46000: ("SYS_COPY_ALREADY_IN_RESC", "the resource has a replica of the object already"),
        OVERWRITE_WITHOUT_FORCE: ("OVERWRITE_WITHOUT_FORCE_FLAG", "an object of that name is there already"),
        ALREADY_HAS_ITEM: ("CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME", "something of that name is there already"),
    },
    Verdict.NO_COLLECTION: {
        -814000: ("CAT_UNKNOWN_COLLECTION", "the collection was removed meanwhile"),
    },
    Verdict.ABSENT: {
        -164000: ("SYS_REPLICA_DOES_NOT_EXIST", "the replica was removed meanwhile"),
        -310000: ("USER_FILE_DOES_NOT_EXIST", "the object was removed meanwhile"),
        -358000: ("OBJ_PATH_DOES_NOT_EXIST", "the object was removed meanwhile"),
        NO_ROWS_FOUND: ("CAT_NO_ROWS_FOUND", "the object was removed meanwhile"),
        -817000: ("CAT_UNKNOWN_FILE", "the object was removed meanwhile"),
        -819000: ("CAT_SUCCESS_BUT_WITH_NO_INFO", "the replica was removed meanwhile"),
        -863000: ("CAT_NO_ROWS_UPDATED", "the object was removed meanwhile"),
    },
    Verdict.PERMANENT: {
        -10000: ("SYS_USER_NOT_ALLOWED_TO_CONN", "the server lets this user not connect"),
        -13000: ("SYS_NO_API_PRIV", "the user may not send such a request"),
        -36000: ("SYS_NO_PATH_PERMISSION", "the user has no permission there: ichmod"),
        -40000: ("SYS_NO_DATA_OBJ_PERMISSION", "the user has no permission there: ichmod"),
        -78000: ("SYS_RESC_DOES_NOT_EXIST", "there is no such resource: --resource, to_resource()"),
        -110000: ("SYS_RESC_QUOTA_EXCEEDED", "the quota of the resource is used up"),
        -128000: ("CANT_REG_IN_VAULT_FILE", "the file lies in a vault, where only a rodsadmin registers"),
        -129000: ("PATH_REG_NOT_ALLOWED", "the zone lets only a rodsadmin register files there"),
        -166000: ("SYS_NO_GOOD_REPLICA", "no replica of the object is good: mpingest verify"),
        -169000: ("SYS_NOT_ALLOWED", "a policy of the zone forbids it"),
        -170000: ("NOT_A_COLLECTION", "a data object has the name of the collection"),
        -171000: ("NOT_A_DATA_OBJECT", "a collection has the name of the data object"),
        -172000: ("JSON_VALIDATION_ERROR", "the server takes no such request"),
        -174000: ("RESOLUTION_ERROR", "the server could not find out who is to do it"),
        -176000: ("DOES_NOT_EXIST", "it is not there"),
        -177000: ("TYPE_NOT_SUPPORTED", "the server takes no such request"),
        _AUTHENTICATION_ERROR: ("AUTHENTICATION_ERROR", "login refused: iinit"),
        -180000: ("CONFIGURATION_ERROR", "the server is not set up for it"),
        -186000: ("LOGICAL_QUOTA_EXCEEDED", "the quota of the collection is used up"),
        -306000: ("USER_STRLEN_TOOLONG", "a name or path is longer than iRODS can hold"),
        -317000: ("USER_INPUT_PATH_ERR", "the path is none that iRODS takes"),
        -346000: ("USER_PATH_EXCEEDS_MAX", "a name or path is longer than iRODS can hold"),
        -350000: ("USER_ACCESS_DENIED", "the user has no permission there: ichmod"),
        -401000: ("USER_FILE_SIZE_MISMATCH", "the file changed while it was read"),
        -402000: ("USER_INCOMPATIBLE_PARAMS", "the server takes no such request"),
        -403000: ("USER_INVALID_REPLICA_INPUT", "there is no such replica"),
        -404000: ("USER_INCOMPATIBLE_OPEN_FLAGS", "the server takes no such request"),
        -407000: ("CHECK_VERIFICATION_RESULTS", "a checksum does not agree"),
        -722000: ("REPLICA_STAGING_FAILED", "the object could not be staged"),
        -818000: ("CAT_NO_ACCESS_PERMISSION", "the user has no permission there: ichmod"),
        COLLECTION_NOT_EMPTY: ("CAT_COLLECTION_NOT_EMPTY", "the collection is not empty"),
        -826000: ("CAT_INVALID_AUTHENTICATION", "wrong password: iinit"),
        -827000: ("CAT_INVALID_USER", "the zone has no such user"),
        -830000: ("CAT_INSUFFICIENT_PRIVILEGE_LEVEL", "it takes a rodsadmin"),
        -831000: ("CAT_INVALID_RESOURCE", "there is no such resource: --resource, to_resource()"),
        -833000: ("CAT_NAME_EXISTS_AS_COLLECTION", "a collection has the name of the data object"),
        -834000: ("CAT_NAME_EXISTS_AS_DATAOBJ", "a data object has the name of the collection"),
        -840000: ("CAT_PASSWORD_EXPIRED", "the password has expired: iinit"),
        -862000: ("CAT_NO_CHECKSUM_FOR_REPLICA", "the catalog has no checksum of the object"),
        -910000: ("REMOTE_SERVER_AUTHENTICATION_FAILURE", "servers of the zone do not trust each other"),
        -993000: ("PAM_AUTH_PASSWORD_FAILED", "wrong password: iinit"),
        -1805000: ("NO_NEXT_RESC_FOUND", "no resource of the hierarchy takes the object"),
        -1807000: ("INVALID_LOCATION", "the resource is on a host that the server does not know"),
        -1816000: ("DIRECT_CHILD_ACCESS", "the resource is part of a hierarchy: name the one at its top"),
        -1824000: ("CLIENT_NEGOTIATION_ERROR", "client and server do not agree about TLS"),
        -1825000: ("SERVER_NEGOTIATION_ERROR", "client and server do not agree about TLS"),
        -1828000: ("RULE_ENGINE_ERROR", "a policy of the zone failed; the server's log tells more"),
        -2103000: ("SSL_HANDSHAKE_ERROR", "client and server do not agree about TLS"),
        _CERTIFICATE_ERROR: ("SSL_CERT_ERROR", "the server's certificate is not trusted"),
    },
}

LISTED = {
    code: Status(name, verdict, reason)
    for verdict, statuses in _STATUSES.items()
    for code, (name, reason) in statuses.items()
}
"""The numbers that mean something of their own, by number."""

_PASSING_ERRNOS = {errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT}
"""What the storage of a resource says when the same may work in a moment."""
_RANGES = (
    (range(-799_999, -499_999), "the storage of the resource refused"),
    (range(-899_999, -799_999), "the catalog refused"),
    (range(-999_999, -920_000), "login refused: iinit"),
    (range(-1_399_999, -999_999), "a policy of the zone refused or failed; the server's log tells more"),
    (range(-2_199_999, -2_099_999), "client and server do not agree about TLS"),
)
"""What all numbers of a range mean that are not listed."""


def nominal(status: int) -> int:
    """The status without the errno that servers add in its last three digits."""
    return status if status > -1000 else -(-status // 1000) * 1000


def status_of(code: int) -> Status:
    """What a failed request's ``code`` (< 0) means. There is none that means nothing."""
    number = nominal(code)
    if listed := LISTED.get(number):
        return listed
    reason = next((reason for numbers, reason in _RANGES if number in numbers), "the server refused")
    if number in _RANGES[0][0] and -code % 1000 in _PASSING_ERRNOS:
        return Status(_client_name(number), Verdict.BUSY, reason)
    return Status(_client_name(number), Verdict.PERMANENT, reason)


def verdict(status: int) -> Verdict:
    """What to make of a failed request's ``status`` (< 0)."""
    return status_of(status).verdict


_OVERLOADS = frozenset(
    {
        -18000,  # SYS_OUT_OF_FILE_DESC
        -25000,  # SYS_CONFIG_FILE_ERR: what an extra database connection that fails looks like
        -38000,  # SYS_AGENT_INIT_ERR
        -49000,  # SYS_FORK_ERROR
        -115000,  # SYS_SOCK_READ_TIMEDOUT
        -118000,  # SYS_MAX_CONNECT_COUNT_EXCEEDED
        -162000,  # SYS_SOCK_CONNECT_ERR
        -305000,  # USER_SOCK_CONNECT_ERR
        -347000,  # USER_SOCK_CONNECT_TIMEDOUT
        -803000,  # CAT_CONNECT_ERR
        NETWORK_FAILURE,
    }
)


def is_overload(status: int) -> bool:
    """Whether a request failed for want of what fewer requests at a time would leave, as far as that can be told."""
    return nominal(status) in _OVERLOADS


def status_name(status: int) -> str:
    """The symbol of a status, such as CAT_NO_ACCESS_PERMISSION."""
    return status_of(status).name


def _client_name(code: int) -> str:
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


class NoConnection(RequestError):
    """There is none, so nothing was sent."""


class LoginRefused(NoConnection):
    """The zone lets the user who runs the job in no more: no entry's fault, so all wait, whatever the status says."""

    @property
    def verdict(self) -> Verdict:  # noqa: D102
        return Verdict.TRANSIENT


LOGIN_ERRORS = (
    NetworkException,
    OSError,
    iRODSException,
    KeyError,
    ClientAuthError,
    PamLoginException,
    PlainTextPAMPasswordError,
    REQUEST_IS_MISSING_KEY,
    RuntimeError,
    ValueError,
)
"""What python-irodsclient raises where it can't connect or log in."""


def login_error(error: Exception) -> RequestError:
    """One of LOGIN_ERRORS as a status."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return RequestError(_CERTIFICATE_ERROR, str(error))
    if isinstance(error, (NetworkException, OSError)):
        return RequestError(NETWORK_FAILURE, str(error))
    code = getattr(error, "code", None) or next(iter(error.args), None)  # a KeyError is a code without a class
    if isinstance(code, int) and code < 0:
        return RequestError(code, "login refused")
    return RequestError(_AUTHENTICATION_ERROR, f"{type(error).__name__}: {error}")
