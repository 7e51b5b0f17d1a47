"""What mpingest asks of a zone: a thin request layer, one method a request.

Numbers and messages: irods/apiNumber.h and rodsPackInstruct.h of the iRODS server.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from irods.exception import NetworkException

from mpingest.handler.declared import Avu, Permission
from mpingest.ingest.deadline import Deadline
from mpingest.ingest.messages import (
    SELECT_COUNT,
    SELECT_PLAIN,
    above,
    binary_content,
    change_message,
    collection_message,
    equals,
    extract_message,
    json_message,
    object_message,
    page_of,
    query_message,
    string_of,
)
from mpingest.ingest.statuses import (
    ALREADY_HAS_ITEM,
    COPY_LENGTH_ERROR,
    LOGIN_ERRORS,
    NETWORK_FAILURE,
    NO_ROWS_FOUND,
    SUCCESS,
    LoginRefused,
    NoConnection,
    RequestError,
    login_error,
)
from mpingest.ingest.traffic import MUCH_CONTENT, Gate, Kind, Traffic
from mpingest.ingest.wire import Reply, Streamed, exchange, exchange_all

DATA_OBJ_OPEN = 602
DATA_OBJ_PUT = 606
DATA_OBJ_UNLINK = 615
MOD_DATA_OBJ_META = 622
DATA_OBJ_RENAME = 627
DATA_OBJ_CHKSUM = 629
PHY_PATH_REG = 630
DATA_OBJ_TRIM = 632
STRUCT_FILE_EXT_AND_REG = 665
DATA_OBJ_CLOSE = 673
DATA_OBJ_LSEEK = 674
DATA_OBJ_WRITE = 676
RM_COLL = 679
COLL_CREATE = 681
GEN_QUERY = 702
DESCRIBE_OPENED = 20000
DATA_OBJECT_MODIFY_INFO = 20001
ATOMIC_METADATA = 20002
REPLICA_CLOSE = 20004
ATOMIC_ACL = 20005
REGISTER_PHYSICAL_PATH = 20008
CHANGING = frozenset(
    {
        DATA_OBJ_OPEN,
        DATA_OBJ_PUT,
        DATA_OBJ_UNLINK,
        DATA_OBJ_TRIM,
        RM_COLL,
        MOD_DATA_OBJ_META,
        DATA_OBJ_RENAME,
        DATA_OBJ_CHKSUM,
        PHY_PATH_REG,
        STRUCT_FILE_EXT_AND_REG,
        DATA_OBJECT_MODIFY_INFO,
        REGISTER_PHYSICAL_PATH,
        DATA_OBJ_CLOSE,
        COLL_CREATE,
        ATOMIC_METADATA,
        ATOMIC_ACL,
    }
)
"""Requests that change the catalog."""
_KINDS = {
    PHY_PATH_REG: Kind.REGISTER,
    REGISTER_PHYSICAL_PATH: Kind.REGISTER,
    DATA_OBJ_PUT: Kind.PUT,
    DATA_OBJ_OPEN: Kind.PUT,
    DATA_OBJ_CLOSE: Kind.PUT,
    STRUCT_FILE_EXT_AND_REG: Kind.EXTRACT,
}

SINGLE_MESSAGE_LIMIT = 32 * 1024 * 1024
"""Bytes up to which content travels with the request that makes the object (iput's limit too)."""
WRITE_SIZE = 8 * 1024 * 1024
"""Bytes a write of a larger file carries."""

STALE, GOOD, INTERMEDIATE = 0, 1, 2
REPLICA_STATES = ("stale", "good", "intermediate", "read-locked", "write-locked")
"""What the numbers of replica statuses mean."""

_DATA_ID, _COLLECTION_ID = 401, 500
_DATA_NAME, _REPLICA_NUMBER, _DATA_SIZE, _DATA_PATH = 403, 404, 407, 410
_REPLICA_STATUS, _CHECKSUM, _CREATE_TIME, _MODIFY_TIME, _COLLECTION_NAME, _PARENT_NAME = 413, 415, 419, 420, 501, 502
_LISTING_COLUMNS = (
    _DATA_ID,
    _DATA_NAME,
    _REPLICA_NUMBER,
    _DATA_SIZE,
    _DATA_PATH,
    _REPLICA_STATUS,
    _CHECKSUM,
    _MODIFY_TIME,
    _CREATE_TIME,
)
_AVU_COLUMNS = (600, 601, 602)

_ARCHIVES_A_CONNECTION = 15
"""An agent of the server has room for so many that it extracts, and never makes room again."""
_PIECE = 64 * 1024
"""Bytes of content that are sent together where there is a limit on them."""
_ARCHIVE_TYPE = "tar file"
PUT_OPERATION = 1
_RENAME_OBJECT_OPERATION, _RENAME_COLLECTION_OPERATION = 11, 12
_UNREGISTER_OPERATION = 26

logging.getLogger("irods").setLevel(logging.CRITICAL + 1)  # its failures come back as exceptions and are reported


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of a data object. size: bytes; status: see ``REPLICA_STATES``.

    mtime, created: seconds since the epoch; created is when by the server's clock
    object_id: that of the data object; whatever is made later has a higher one
    """

    object_id: int
    name: str
    number: int
    size: int
    path: str
    status: int
    checksum: str
    mtime: int
    created: int

    @property
    def good(self) -> bool:
        """Whether it holds what the object is."""
        return self.status == GOOD

    @property
    def has_mtime_of_file(self) -> bool:
        """Whether ``mtime`` is for sure not the time of its writing, but that of a file, and was over by then."""
        return self.mtime < self.created


@dataclass(frozen=True, slots=True)
class NewReplica:
    """A file that is to be registered as a data object.

    path: logical; physical: the file, as the server sees it; size: bytes; mtime: seconds since the epoch
    """

    path: str
    physical: str
    size: int
    mtime: int


@dataclass(frozen=True, slots=True)
class Catalog:
    """The requests of one session. Safe for several threads: each request has a connection of its own.

    Every method raises RequestError, and TookTooLong once the deadline is over.

    session: an iRODSSession
    traffic: of all catalogs that belong together
    administrator: the catalog of the rodsadmin who acts for the session's user; None where the user acts alone
    deadline: until when requests are sent, and replies awaited
    """

    session: Any
    traffic: Traffic = field(default_factory=Traffic)
    administrator: Catalog | None = None
    deadline: Deadline | None = None

    def for_client(self, session: Any) -> Catalog:
        """The catalog of a session that this one's user, a rodsadmin, has for someone else."""
        return Catalog(session, self.traffic, administrator=self)

    def until(self, deadline: Deadline) -> Catalog:
        """The same with a deadline."""
        administrator = self.administrator.until(deadline) if self.administrator else None
        return Catalog(self.session, self.traffic, administrator, deadline)

    def log_in(self) -> None:
        """Have at least one connection that is logged in."""
        with self.lease():
            pass

    def close_idle(self, seconds: float) -> None:
        """Close connections that nobody has used for that long."""
        pool = self.session.pool
        oldest = datetime.now() - timedelta(seconds=seconds)
        with pool._lock:
            idle = [connection for connection in pool.idle if connection.last_used_time < oldest]
            pool.idle.difference_update(idle)
        for connection in idle:
            with suppress(NetworkException, OSError):
                connection.disconnect()

    def collection_exists(self, path: str) -> bool:
        """Whether there is such a collection."""
        message = query_message((_COLLECTION_NAME,), {_COLLECTION_NAME: equals(path)})
        return self._request(GEN_QUERY, message, accept=(NO_ROWS_FOUND,)).status >= SUCCESS

    def collection_holds_anything(self, path: str) -> bool:
        """Whether there are objects or collections in a collection."""
        inside = ((_DATA_ID, _COLLECTION_NAME), (_COLLECTION_ID, _PARENT_NAME))
        return any(self._count(column, {condition: equals(path)}) for column, condition in inside)

    def make_collection(self, path: str) -> bool:
        """Create a collection whose parent exists; False if it was there already."""
        reply = self._request(COLL_CREATE, collection_message(path, {}), accept=(ALREADY_HAS_ITEM,))
        return reply.status >= SUCCESS

    def make_collections(self, path: str) -> None:
        """Create a collection and whatever parents it lacks; nothing is wrong where it exists."""
        self._request(COLL_CREATE, collection_message(path, {"recursiveOpr": ""}))

    def register(self, new: NewReplica, resource: str | None, *, checksum: bool = False) -> None:
        """Register a file as a new data object.

        checksum: have the server read the file and keep its checksum
        """
        self._request(PHY_PATH_REG, self._registration(new, resource, checksum=checksum))

    def register_all(self, new: Sequence[NewReplica], resource: str | None) -> list[int]:
        """Register files by requests that go out together: the statuses of those that were answered, the first ones."""
        messages = [self._registration(one, resource, checksum=False) for one in new]
        with self.lease() as lease:
            return list(self.send_all(lease, PHY_PATH_REG, messages))

    def _registration(self, new: NewReplica, resource: str | None, *, checksum: bool) -> str:
        keywords = {
            "filePath": new.physical,
            "dataSize": str(new.size),
            "dataModify": f"{new.mtime:011d}",
            "dataType": "generic",
        }
        keywords |= self._path_permission() | destination(resource)
        keywords |= {"regChksum": ""} if checksum else {}
        return object_message(new.path, keywords)

    def register_replica(self, path: str, physical: str, size: int, mtime: int, resource: str) -> int:
        """Register the file ``physical`` as one more replica of a data object; the replica's number."""
        keywords = {"filePath": physical, "dataSize": str(size), "regRepl": "", "dataType": "generic"}
        keywords |= self._path_permission() | destination(resource)
        reply = self._request(REGISTER_PHYSICAL_PATH, object_message(path, keywords))
        number = int(json.loads(binary_content(reply.message))["data_repl_num"])
        # Registering a replica leaves its mtime at that of the object.
        self.update(path, number, size, mtime)
        return number

    def _path_permission(self) -> dict[str, str]:
        """Servers let nobody but a rodsadmin say where a file is."""
        return {"noChkFilePerm": ""} if self.administrator else {}

    def put(
        self,
        path: str,
        content: bytes,
        resource: str | None,
        *,
        overwrite: bool,
        included: Mapping[str, str] | None = None,
    ) -> None:
        """Make or overwrite a data object with ``content`` (at most SINGLE_MESSAGE_LIMIT bytes).

        included: keywords metadataIncluded and aclIncluded, for what a new object is to have, and verifyChksum
        """
        keywords = {"dataIncluded": "", "dataType": "generic"} | destination(resource) | dict(included or {})
        if overwrite:
            keywords["forceFlag"] = ""
        message = object_message(path, keywords, size=len(content), operation=PUT_OPERATION)
        self._store(message, content)

    def put_archive(self, path: str, archive: Streamed, resource: str | None) -> None:
        """Make or overwrite a data object that is a tar file."""
        keywords = {"dataIncluded": "", "dataType": _ARCHIVE_TYPE, "forceFlag": ""} | destination(resource)
        self._store(object_message(path, keywords, size=archive.size, operation=PUT_OPERATION), archive)

    def extract(self, path: str, collection: str, members: int) -> None:
        """Have the ``members`` of a tar file that was put become objects of a collection, on the same resource.

        A name that is taken there fails (-46000), when all others are done. Success says little: what could not be
        extracted is missing, or, where the vault is full, has its size and not its content.
        """
        message = extract_message(path, collection, {"dataType": _ARCHIVE_TYPE, "bulkOpr": ""})
        with self.lease() as lease:
            lease.connection.archives = getattr(lease.connection, "archives", 0) + 1
            lease.clean = lease.connection.archives < _ARCHIVES_A_CONNECTION
            self.send(lease, STRUCT_FILE_EXT_AND_REG, message, amount=members)

    def _store(self, message: str, content: bytes | Streamed) -> None:
        status = self._request(DATA_OBJ_PUT, message, content).status
        # A positive status is a size that the server did not expect: the replica is stale.
        if status != SUCCESS:
            raise RequestError(COPY_LENGTH_ERROR, f"the server stored {status} bytes")

    def update(self, path: str, replica: int, size: int, mtime: int, *, physical: str = "") -> None:
        """Set size and mtime of one replica whose file changed in place: it is the good one now, others are stale.

        Its checksum is no longer known. For administrators: who acts for a user sends it in the own name.
        physical: the file's path, where that has changed, too
        """
        changes = {"dataSize": str(size), "dataModify": f"{mtime:011d}", "chksum": "", "allReplStatus": ""}
        self._modify(path, replica, changes | ({"filePath": physical} if physical else {}))

    def relocate(self, path: str, replica: int, physical: str, mtime: int) -> None:
        """Say that the file of one replica has another path now, and is else as it was. For administrators, as above.

        mtime: of the file; a move to another collection has made it that of the move
        """
        self._modify(path, replica, {"filePath": physical, "dataModify": f"{mtime:011d}"})

    def release(self, path: str, replica: int) -> None:
        """Say that one replica that nobody writes any more is stale, so that it can be overwritten.

        For administrators, as above.
        """
        self._modify(path, replica, {"replStatus": str(STALE)})

    def _modify(self, path: str, replica: int, changes: dict[str, str]) -> None:
        if self.administrator:
            self.administrator._modify(path, replica, changes | {"irodsAdmin": ""})
            return
        self._request(MOD_DATA_OBJ_META, change_message(path, replica, changes))

    def set_mtime(self, path: str, mtime: int) -> None:
        """Set the modify time of all replicas of a data object, in seconds since the epoch."""
        changes = {"dataModify": f"{mtime:011d}", "all": ""}
        self._request(DATA_OBJECT_MODIFY_INFO, change_message(path, 0, changes))

    def rename(self, source: str, target: str, *, collection: bool = False) -> None:
        """Give a data object, or a collection with all below it, another path; its parent exists.

        Files in vaults move with their objects, registered ones stay where they are.
        """
        operation = _RENAME_COLLECTION_OPERATION if collection else _RENAME_OBJECT_OPERATION
        paths = "".join(object_message(path, {}, operation=operation) for path in (source, target))
        self._request(DATA_OBJ_RENAME, f"<DataObjCopyInp_PI>{paths}</DataObjCopyInp_PI>")

    def checksum(self, path: str, *, compute: bool = False, replica: int | None = None) -> str:
        """The checksum of a data object, as "sha2:" and base64 or MD5 in hex; the server computes it if it has none.

        compute: have it computed anew; replica: number of the one meant, otherwise the server chooses
        """
        keywords = {"forceChksum": ""} if compute else {}
        if replica is not None:
            keywords["replNum"] = str(replica)
        reply = self._request(DATA_OBJ_CHKSUM, object_message(path, keywords))
        return string_of(reply.message)

    def metadata(self, path: str) -> set[Avu]:
        """The metadata of a data object."""
        return {Avu(*row) for row in self._rows(_AVU_COLUMNS, _named(path))}

    def change_metadata(self, path: str, kind: str, added: Sequence[Avu], removed: Sequence[Avu]) -> None:
        """Change metadata of a "data_object" or "collection": all of it, or none."""
        changes = [("add", avu) for avu in added] + [("remove", avu) for avu in removed]
        operations = [{"operation": operation, **avu._asdict()} for operation, avu in changes]
        request = {"entity_name": path, "entity_type": kind, "operations": operations}
        self._request(ATOMIC_METADATA, json_message(request))

    def permit(self, path: str, permissions: Sequence[Permission]) -> None:
        """Set levels of access to a data object or collection: all of them, or none."""
        operations = [{"entity_name": user, "acl": level} for level, user in permissions]
        self._request(ATOMIC_ACL, json_message({"logical_path": path, "operations": operations}))

    def unlink(self, path: str, *, force: bool) -> None:
        """Delete a data object with all its replicas; without ``force``, into the trash."""
        self._request(DATA_OBJ_UNLINK, object_message(path, {"forceFlag": ""} if force else {}))

    def unregister(self, path: str) -> None:
        """Take a data object out of the catalog, leaving its files."""
        self._request(DATA_OBJ_UNLINK, object_message(path, {}, operation=_UNREGISTER_OPERATION))

    def unregister_replica(self, path: str, number: int) -> None:
        """Take one of several replicas out of the catalog, leaving its file; the last good one stays."""
        keywords = {"replNum": str(number), "copies": "1"}
        self._request(DATA_OBJ_TRIM, object_message(path, keywords, operation=_UNREGISTER_OPERATION))

    def remove_collection(self, path: str) -> None:
        """Remove an empty collection."""
        self._request(RM_COLL, collection_message(path, {}))

    def listing(self, collection: str, *, above_id: int = 0) -> Iterator[Replica]:
        """Every replica of every data object directly in ``collection``. above_id: only of those with higher ids."""
        younger = {_DATA_ID: above(above_id)} if above_id else {}
        return self._replicas({_COLLECTION_NAME: equals(collection)} | younger)

    def subcollections(self, collection: str) -> set[str]:
        """Names of the collections directly in ``collection``."""
        rows = self._rows((_COLLECTION_NAME,), {_PARENT_NAME: equals(collection)})
        return {path.rpartition("/")[2] for (path,) in rows}

    def replicas(self, path: str) -> list[Replica]:
        """The replicas of one data object; empty if there is none."""
        return list(self._replicas(_named(path)))

    def _replicas(self, conditions: dict[int, str]) -> Iterator[Replica]:
        for row in self._rows(_LISTING_COLUMNS, conditions):
            object_id, name, number, size, path, status, checksum, *times = row
            yield Replica(int(object_id), name, int(number), int(size), path, int(status), checksum, *map(int, times))

    def _count(self, column: int, conditions: dict[int, str]) -> int:
        return sum(int(count) for (count,) in self._rows((column,), conditions, SELECT_COUNT))

    def _rows(
        self, selected: Sequence[int], conditions: dict[int, str], selector: int = SELECT_PLAIN
    ) -> Iterator[tuple[str, ...]]:
        with self.lease() as lease:
            continuation = 0
            while True:
                message = query_message(selected, conditions, continuation, selector)
                reply = self.send(lease, GEN_QUERY, message, accept=(NO_ROWS_FOUND,))
                if reply.status < SUCCESS:
                    return
                rows, continuation = page_of(reply.message, selected)
                yield from rows
                if continuation <= 0:
                    return

    def _request(self, api: int, message: str, stream: bytes | Streamed = b"", accept: tuple[int, ...] = ()) -> Reply:
        with self.lease() as lease:
            return self.send(lease, api, message, stream, accept=accept)

    def lease(self, *, waits: bool = True) -> Lease:
        """A connection for requests that belong together. Entering it raises Interrupted, and Full: see ``Gate``."""
        if self.deadline:
            self.deadline.left()
        return Lease(self.session, self.traffic.gate, waits=waits)

    def send(
        self,
        lease: Lease,
        api: int,
        message: str,
        stream: bytes | Streamed = b"",
        *,
        accept: tuple[int, ...] = (),
        amount: int = 1,
    ) -> Reply:
        """One request over a connection that was leased.

        accept: statuses < 0 that are no errors; amount: how much it asks for, in the unit of its kind, where that isn't
        its content.
        """
        traffic, size = self.traffic, stream.size if isinstance(stream, Streamed) else len(stream)
        kind = _KINDS.get(api, Kind.OTHER)
        if size >= MUCH_CONTENT:
            kind, amount = Kind.CONTENT, size
        traffic.requests.spend(1)
        traffic.counts.sent(changes=api in CHANGING)
        began, status = time.monotonic(), NETWORK_FAILURE
        try:
            if self.deadline:
                lease.connection.socket.settimeout(self.deadline.left())
            reply = exchange(lease.connection, api, message, self._paced(stream))
            status = reply.status
        except OSError as error:
            lease.clean = False
            raise RequestError(NETWORK_FAILURE, str(error)) from error
        except BaseException:
            lease.clean = False  # the request may have been sent in part
            raise
        finally:
            traffic.counts.answered(status, kind, amount, time.monotonic() - began)
        if reply.status < SUCCESS and reply.status not in accept:
            raise RequestError(reply.status, reply.error_text)
        return reply

    def send_all(self, lease: Lease, api: int, messages: Sequence[str]) -> Iterator[int]:
        """Small requests that go out together, as far as their rate allows: the status of each, as it comes.

        Where the connection breaks, or nobody may send any more, those of the rest don't come.
        """
        while messages and lease.clean and (count := self.traffic.requests.take(len(messages))):
            yield from self._send_batch(lease, api, messages[:count])
            messages = messages[count:]

    def _send_batch(self, lease: Lease, api: int, messages: Sequence[str]) -> Iterator[int]:
        counts, kind = self.traffic.counts, _KINDS.get(api, Kind.OTHER)
        for _ in messages:
            counts.sent(changes=api in CHANGING)
        lease.clean = False  # until the last reply is read
        began = time.monotonic()
        try:
            if self.deadline:
                lease.connection.socket.settimeout(self.deadline.left())
            for reply in exchange_all(lease.connection, api, messages):
                now = time.monotonic()
                counts.answered(reply.status, kind, 1, now - began)
                began = now
                yield reply.status
        except OSError:
            counts.answered(NETWORK_FAILURE, kind, 1, time.monotonic() - began)
            return
        lease.clean = True

    def _paced(self, stream: bytes | Streamed) -> bytes | Streamed:
        """The same, piece by piece as the limit allows."""
        if not (stream and self.traffic.content.limited):
            return stream
        whole = stream if isinstance(stream, Streamed) else Streamed(len(stream), (stream,))
        return Streamed(whole.size, self._pieces(whole.chunks))

    def _pieces(self, chunks: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                piece, rest = rest[:_PIECE], rest[_PIECE:]
                self.traffic.content.spend(len(piece))
                yield piece


class Lease:
    """A slot, and a connection of the session's pool, for one exchange: a context manager.

    One that is not ``clean`` in the end is closed: it broke, or the server still holds an open object for it.
    """

    __slots__ = ("_gate", "_session", "_waits", "clean", "connection")

    def __init__(self, session: Any, gate: Gate, *, waits: bool) -> None:
        self.clean = True
        self._session = session
        self._gate = gate
        self._waits = waits

    def __enter__(self) -> Lease:
        self._gate.enter(self._session, waits=self._waits)
        try:
            self.connection = _connection_of(self._session)
        except BaseException:
            self._gate.connected(self._session)
            self._gate.leave()
            raise
        self._gate.connected(self._session)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.connection.last_used_time = datetime.now()
            self.connection.release(destroy=not self.clean)
            if not self.clean:
                with suppress(NetworkException, OSError):
                    self.connection.disconnect()
        finally:
            self._gate.leave()


def _connection_of(session: Any) -> Any:
    try:
        connection = session.pool.get_connection()
    except LOGIN_ERRORS as error:
        refused = login_error(error)
        kind = LoginRefused if session.pool.account.client_user == session.username else NoConnection
        raise kind(refused.status, refused.message) from error
    # Without it the content of a small put waits 40 ms for the acknowledgement of its header.
    connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _named(path: str) -> dict[int, str]:
    """Conditions of a query about one data object."""
    collection, _, name = path.rpartition("/")
    return {_COLLECTION_NAME: equals(collection), _DATA_NAME: equals(name)}


def destination(resource: str | None) -> dict[str, str]:
    """resource: a name, or a hierarchy down to a leaf, for which the server doesn't ask the resources in between."""
    if not resource:
        return {}
    return {"resc_hier" if ";" in resource else "destRescName": resource}
