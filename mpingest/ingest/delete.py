"""Taking out of the catalog what is gone from the file system, and never anything else.

An object goes only while it is what was recorded of it: our replica over our path, or our content by size; or while
it is what transfers of ours that broke off leave.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpingest.handler.operations import DeleteMode, Operation
from mpingest.ingest.catalog import Catalog, Replica
from mpingest.ingest.register import Conflict
from mpingest.ingest.statuses import RequestError, Verdict

COMPATIBLE = {
    Operation.REGISTER_SYNC: {DeleteMode.DO_NOT_DELETE, DeleteMode.UNREGISTER},
    Operation.REGISTER_AS_REPLICA_SYNC: {DeleteMode.DO_NOT_DELETE, DeleteMode.UNREGISTER},
    Operation.PUT: {DeleteMode.DO_NOT_DELETE},
    Operation.PUT_SYNC: {DeleteMode.DO_NOT_DELETE, DeleteMode.TRASH, DeleteMode.NO_TRASH},
    Operation.PUT_APPEND: {DeleteMode.DO_NOT_DELETE, DeleteMode.TRASH, DeleteMode.NO_TRASH},
    Operation.NO_OP: {DeleteMode.DO_NOT_DELETE},
}
"""Which delete modes fit which operation."""


@dataclass(slots=True)
class Deletion:
    """The data object ``logical``, recorded with ``size`` bytes, over the file ``physical`` where it was registered.

    was_ours: whether nothing is any more where a file was that only we can have registered
    unknown: it never was ours, and is to go all the same
    in_doubt: it was being brought in, or had failed to be, when the file was last seen
    announce: called once, when it is sure that the object is there and to go; announced: whether it was
    """

    catalog: Catalog
    mode: DeleteMode
    logical: str
    physical: str
    size: int
    announce: Callable[[], None]
    was_ours: Callable[[str], bool]
    unknown: bool = False
    in_doubt: bool = False
    announced: bool = False

    def perform(self) -> None:
        """Delete the object; that it is gone already is fine. Raises RequestError, Conflict, what ``announce`` does."""
        replicas = self.catalog.replicas(self.logical)
        if not replicas:
            return
        if self.mode is DeleteMode.UNREGISTER:
            self._unregister(replicas)
            return
        good = [replica for replica in replicas if replica.good]
        broke_off = self.in_doubt and not good
        if not broke_off and all(replica.size != self.size for replica in good):
            raise Conflict("the object has changed in the catalog since it was put: it is kept")
        self._announce()
        self._unlink()

    def _announce(self) -> None:
        if not self.announced:
            self.announce()
            self.announced = True

    def _unlink(self) -> None:
        force = self.mode is DeleteMode.NO_TRASH
        try:
            self.catalog.unlink(self.logical, force=force)
        except RequestError as error:
            if error.verdict is not Verdict.NO_COLLECTION:
                raise
            # Of two requests that need the same new collection in the trash, the server lets one lose.
            self.catalog.unlink(self.logical, force=force)

    def _unregister(self, replicas: list[Replica]) -> None:
        if self.unknown:
            self._announce()
            self.catalog.unregister(self.logical)
            return
        ours = next((replica for replica in replicas if replica.path == self.physical), None)
        if ours is None:  # gone from a directory that has been renamed, its replica has the path that it had before
            ours = next((replica for replica in replicas if self.was_ours(replica.path)), None)
        if ours is None:
            raise Conflict(f"the object is over the file {replicas[0].path!r} now: it is kept")
        self._announce()
        if len(replicas) == 1:
            self.catalog.unregister(self.logical)
        else:
            self.catalog.unregister_replica(self.logical, ours.number)
