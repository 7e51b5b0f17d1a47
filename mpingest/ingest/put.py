"""Putting the content of a file into a vault."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from mpingest.ingest.actions import Request
from mpingest.ingest.catalog import SINGLE_MESSAGE_LIMIT, Catalog, Replica
from mpingest.ingest.checksums import digest_of, is_of_source, is_sha2, sha2
from mpingest.ingest.content import Source, Vanished, VanishedMidway, open_source
from mpingest.ingest.register import Conflict
from mpingest.ingest.retry import Interrupted, RetryPolicy
from mpingest.ingest.statuses import (
    CHECKSUM_MISMATCH,
    OVERWRITE_WITHOUT_FORCE,
    PASSING,
    NoConnection,
    RequestError,
    Verdict,
)
from mpingest.ingest.streams import append, put_stream
from mpingest.ingest.stuck import explained, stuck_replicas

_TAKE_BACK_SECONDS = 2.0


@dataclass(slots=True)
class Upload:
    """The data object ``logical`` with the content of the file ``path``.

    keeps_existing: a good object that turns out to be there already is left alone
    included:       see ``Catalog.put``; it is only sent with what makes a new object
    exclusive:      an object that turns out to be there already with other content is somebody else's
    known_size:     bytes that the object had when it was last written, as recorded
    checksum:       the catalog is to have a checksum of the object, equal to that of what was read
    written, sent:  whether content went, and its bytes
    holds:          bytes that the object has now; None where no content went
    made, carried:  whether there is a new object; whether ``included`` went with it
    """

    catalog: Catalog
    retry: RetryPolicy
    logical: str
    path: bytes
    resource: str | None
    keeps_existing: bool
    known_size: int
    checksum: bool = False
    included: Mapping[str, str] | None = None
    exclusive: bool = False
    written: bool = False
    sent: int = 0
    holds: int | None = None
    made: bool = False
    carried: bool = False
    _spoiled: bool = False
    """Whether this upload has left an object there with other content than the file's."""
    _broke_off: bool = False
    """Whether a transfer broke off, so that the object may be left as being written."""

    def perform(self, request: Request) -> None:
        """PUT, OVERWRITE or APPEND. Raises RequestError, SourceError, Conflict, ZoneGone, Interrupted."""
        try:
            self._perform(request)
        except Vanished as error:
            if self._broke_off:
                raise VanishedMidway(str(error)) from error
            raise
        except RequestError as error:
            if error.verdict not in PASSING:
                raise
            replicas = self.retry.run(lambda: self.catalog.replicas(self.logical))
            stuck = stuck_replicas(replicas)
            if not stuck:
                raise
            if not self._has_released(stuck):
                raise explained(error, self.logical, stuck) from error
            if request is Request.PUT and stuck == replicas:
                # A server may remember for good that an agent that was killed writes the object, but not a new one.
                self.retry.run(lambda: self.catalog.unlink(self.logical, force=True))
                self._perform(Request.PUT)
            else:
                self._perform(Request.OVERWRITE)

    def _perform(self, request: Request) -> None:
        if request is Request.APPEND:
            self._run(self._append)
            return
        try:
            self._run(lambda: self._transfer(overwrite=request is Request.OVERWRITE or self._spoiled))
            self.made = request is Request.PUT
        except RequestError as error:
            if error.verdict is not Verdict.ALREADY:
                raise
            self._run(self._settle)

    def _run(self, transfer: Callable[[], None]) -> None:
        def noted() -> None:
            try:
                transfer()
            except RequestError as error:
                self._broke_off |= error.verdict is Verdict.TRANSIENT and not isinstance(error, NoConnection)
                raise

        self.retry.run(noted)

    def _has_released(self, stuck: list[Replica]) -> bool:
        """Whether replicas that this upload has left stuck are stale now: else, somebody else may write them still."""
        if not self._broke_off:
            return False
        try:
            for replica in stuck:
                self.retry.run(partial(self.catalog.release, self.logical, replica.number))
        except RequestError:
            return False  # for want of privileges
        return True

    def _settle(self) -> None:
        """What is there may be good, and to be kept; or someone's, or what is left of a transfer that broke off."""
        good = [replica for replica in self.catalog.replicas(self.logical) if replica.good]
        if good and self.exclusive:
            if not self._is_held_by(good):
                raise Conflict("an object of that name is there already, with other content")
        elif good and self.keeps_existing:
            self.written = self._broke_off and self._is_held_by(good)  # by our transfer, of which no answer came
        else:
            self._transfer(overwrite=True)

    def _is_held_by(self, replicas: list[Replica]) -> bool:
        """Whether the object holds just what the file does."""
        with open_source(self.path, self.retry.ending) as source:
            same_size = any(replica.size == source.size for replica in replicas)
            return same_size and is_of_source(self.catalog.checksum(self.logical), source)

    def _append(self) -> None:
        """Sends the tail, where file and object are what they were but for it; else the whole file."""
        with open_source(self.path, self.retry.ending) as source:
            grown = source.size > self.known_size
            replicas = self.catalog.replicas(self.logical) if grown else []
            if any(replica.good and replica.size == self.known_size for replica in replicas):
                if self.checksum:
                    source.digest = digest_of(source, hashlib.sha256(), self.known_size)
                else:
                    source.seek(self.known_size)
                self.sent = append(self.catalog, self.logical, source, self.known_size, self.resource)
                self.holds = self.known_size + self.sent
                self.written = True
                self._verify(source)
                return
        self._transfer(overwrite=True)

    def _transfer(self, *, overwrite: bool) -> None:
        with open_source(self.path, self.retry.ending) as source:
            if source.size <= SINGLE_MESSAGE_LIMIT:
                content = source.read(SINGLE_MESSAGE_LIMIT)
                keywords = {} if overwrite else dict(self.included or {})
                if self.checksum:
                    keywords["verifyChksum"] = sha2(hashlib.sha256(content))
                self.catalog.put(self.logical, content, self.resource, overwrite=overwrite, included=keywords)
                self.sent, self.carried = len(content), not overwrite
            else:
                if not overwrite and self.catalog.replicas(self.logical):
                    raise RequestError(OVERWRITE_WITHOUT_FORCE)  # opening would not tell
                source.digest = hashlib.sha256() if self.checksum else None
                try:
                    self.sent = put_stream(self.catalog, self.logical, source, self.resource)
                except Interrupted:
                    if not overwrite:
                        self._take_back()
                    raise
                self._verify(source)
        self.written, self.holds = True, self.sent

    def _take_back(self) -> None:
        """Removes what a transfer that is not to go on has left of a new object."""
        end = time.monotonic() + _TAKE_BACK_SECONDS
        while time.monotonic() < end:
            try:
                replicas = self.catalog.replicas(self.logical)
                if replicas and not any(replica.good for replica in replicas):
                    self.catalog.unlink(self.logical, force=True)
                return
            except RequestError as error:
                if error.verdict not in PASSING:
                    return  # it stays behind as not good, and the next run overwrites it
            time.sleep(0.1)  # until the server has noticed that nobody writes to it any more

    def _verify(self, source: Source) -> None:
        """Has the server read the object and compares. Raises RequestError where it holds other bytes."""
        if source.digest is None:
            return
        self._spoiled = True
        stored = self.catalog.checksum(self.logical, compute=True)
        if is_sha2(stored):
            holds = stored == sha2(source.digest)
        else:  # the zone's default is MD5
            source.seek(0)
            holds = is_of_source(stored, source)
        if not holds:
            raise RequestError(CHECKSUM_MISMATCH, f"the object's checksum {stored} is not that of the file")
        self._spoiled = False
