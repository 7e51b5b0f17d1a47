"""Content that is too large for one message, written chunk by chunk into one replica.

Where slots are free, helpers join in, each over a connection of its own: the server gives who has opened a replica for
writing a token with which others may open it, too (iRODS 4.2.9 and later). All take the next chunk from the same source
in turn, so it is read once, from its beginning to its end, and no more is held of it than a chunk for each connection.
A helper leaves after its chunk when somebody else waits for a slot. Only the first connection's closing ends the
writing: all others close without a word to the catalog, before it does.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field

from mpingest.ingest.catalog import (
    DATA_OBJ_CLOSE,
    DATA_OBJ_LSEEK,
    DATA_OBJ_OPEN,
    DATA_OBJ_WRITE,
    DESCRIBE_OPENED,
    PUT_OPERATION,
    REPLICA_CLOSE,
    SINGLE_MESSAGE_LIMIT,
    WRITE_SIZE,
    Catalog,
    Lease,
    destination,
)
from mpingest.ingest.content import Source
from mpingest.ingest.messages import binary_content, json_message, object_message, opened_message
from mpingest.ingest.statuses import COPY_LENGTH_ERROR, NETWORK_FAILURE, SUCCESS, RequestError
from mpingest.ingest.traffic import Full

MOST_HELPERS = 3
"""Of one file."""
_O_WRONLY, _O_CREAT, _O_TRUNC = 0o1, 0o100, 0o1000
_SILENTLY = dict.fromkeys(("send_notification", "update_size", "update_status", "compute_checksum"), False)


def put_stream(catalog: Catalog, path: str, source: Source, resource: str | None) -> int:
    """Make or overwrite a data object with all that ``source`` has; the bytes sent.

    Raises RequestError, SourceError, Interrupted.
    """
    return _Writing(catalog, path, source, 0).run(_O_WRONLY | _O_CREAT | _O_TRUNC, resource)


def append(catalog: Catalog, path: str, source: Source, offset: int, resource: str | None) -> int:
    """Write all that ``source`` still has from byte ``offset`` of a data object on; the bytes sent.

    Raises as ``put_stream``.
    """
    return _Writing(catalog, path, source, offset).run(_O_WRONLY, resource)


@dataclass
class _Stream:
    """A connection that has the replica open. position: of the server's descriptor, in bytes."""

    catalog: Catalog
    lease: Lease
    descriptor: int
    position: int = 0

    def write(self, offset: int, chunk: bytes) -> None:
        """Raises RequestError."""
        send = self.catalog.send
        if offset != self.position:
            send(self.lease, DATA_OBJ_LSEEK, opened_message(self.descriptor, 0, offset))
        written = send(self.lease, DATA_OBJ_WRITE, opened_message(self.descriptor, len(chunk)), chunk).status
        if written != len(chunk):
            raise RequestError(COPY_LENGTH_ERROR, f"the server wrote {written} bytes of {len(chunk)}")
        self.position = offset + written


@dataclass
class _Writing:
    """One replica being written. offset: of the next chunk, in source and object."""

    catalog: Catalog
    path: str
    source: Source
    offset: int
    _error: BaseException | None = None
    _pass: dict[str, str] | None = None
    """With what helpers open the replica; empty where the server lets none in, None before it was asked."""
    _helpers: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, flags: int, resource: str | None) -> int:
        """The bytes sent."""
        begin, helpers = self.offset, MOST_HELPERS if self._left() > SINGLE_MESSAGE_LIMIT else 0
        with self.catalog.lease() as lease, self.catalog.traffic.gate.wanting(helpers):
            stream = self._open(lease, flags, {"dataType": "generic"} | destination(resource))
            try:
                while taken := self._take():
                    if helpers:
                        self._get_help(stream)
                    stream.write(*taken)
            except BaseException as error:
                self._fail(error)
            for helper in self._helpers:
                helper.join()
            if self._error is not None:
                raise self._error
            closed = self.catalog.send(lease, DATA_OBJ_CLOSE, opened_message(stream.descriptor, 0)).status
            lease.clean = True
        # A positive status of close is a size that the server did not expect: the replica is stale.
        if closed != SUCCESS:
            raise RequestError(COPY_LENGTH_ERROR, f"the server closed the object with {closed} bytes")
        return self.offset - begin

    def _left(self) -> int:
        return self.source.size - self.offset

    def _open(self, lease: Lease, flags: int, keywords: dict[str, str]) -> _Stream:
        message = object_message(self.path, keywords, size=-1, flags=flags, operation=PUT_OPERATION)
        descriptor = self.catalog.send(lease, DATA_OBJ_OPEN, message).status
        lease.clean = False
        return _Stream(self.catalog, lease, descriptor)

    def _take(self) -> tuple[int, bytes] | None:
        """The next chunk and where it goes; None where there is none, or somebody failed. Raises SourceError."""
        with self._lock:
            if self._error is not None:
                return None
            offset, chunk = self.offset, self.source.read(WRITE_SIZE)
            self.offset += len(chunk)
        return (offset, chunk) if chunk else None

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._error = self._error or error

    # Helpers.

    def _get_help(self, stream: _Stream) -> None:
        """Have one more helper, where there is a slot for it and something to do."""
        self._helpers = [helper for helper in self._helpers if helper.is_alive()]
        is_enough = len(self._helpers) == MOST_HELPERS or self._left() <= 0
        if is_enough or not self.catalog.traffic.gate.has_room:
            return
        if self._pass is None:
            self._pass = self._ask_for_pass(stream)
        if self._pass:
            helper = threading.Thread(target=self._help, args=(self._pass,), name="stream", daemon=True)
            self._helpers.append(helper)
            helper.start()

    def _ask_for_pass(self, stream: _Stream) -> dict[str, str]:
        try:
            reply = self.catalog.send(stream.lease, DESCRIBE_OPENED, json_message({"fd": stream.descriptor}))
            opened = json.loads(binary_content(reply.message))
            return {
                "replicaToken": opened["replica_token"],
                "resc_hier": opened["data_object_info"]["resource_hierarchy"],
            }
        except RequestError as error:
            if error.status == NETWORK_FAILURE:
                raise
        except (ValueError, KeyError):
            pass  # a server of another time
        return {}

    def _help(self, keywords: dict[str, str]) -> None:
        try:
            with self.catalog.lease(waits=False) as lease:
                self._help_over(lease, keywords)
        except Full:
            return
        except BaseException as error:
            self._fail(error)

    def _help_over(self, lease: Lease, keywords: dict[str, str]) -> None:
        try:
            stream = self._open(lease, _O_WRONLY, keywords)
        except RequestError:
            self._pass = {}  # it goes on without
            return
        while not self.catalog.traffic.gate.crowded and (taken := self._take()):
            stream.write(*taken)
        self.catalog.send(lease, REPLICA_CLOSE, json_message({"fd": stream.descriptor} | _SILENTLY))
        lease.clean = True
