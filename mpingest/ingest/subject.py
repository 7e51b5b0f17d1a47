"""An entry with what the handler says of it before anything is done: its name, its user, the time that it may take."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from mpingest.errors import MpingestError
from mpingest.handler.calls import Handler, Logger, User
from mpingest.handler.meta import JobFacts, entry_meta
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.deadline import Deadline, Watch
from mpingest.ingest.names import Name, Naming, UnusableName
from mpingest.ingest.routes import routed_path
from mpingest.ingest.users import Users

Answer = TypeVar("Answer")


class UnusableUser(Exception):
    """No session can be had for the user whose object it is to be."""


@dataclass(frozen=True, slots=True)
class Entry:
    """path: absolute; row: its lstat; meta: empty without a script; catalog: of the user whose entry it is."""

    path: bytes
    name: Name
    row: np.void
    meta: dict[str, Any]
    catalog: Catalog

    @property
    def logical(self) -> str:
        """Its logical path."""
        return self.name.path

    @property
    def session(self) -> Any:
        """What handler methods get."""
        return self.catalog.session


@dataclass(frozen=True, slots=True)
class Subjects:
    """The entries of one job. Safe for several threads."""

    job: JobFacts
    handler: Handler
    naming: Naming
    users: Users
    logger: Logger
    watch: Watch = field(default_factory=Watch)

    def path(self, relative: bytes) -> bytes:
        """The absolute path of an entry."""
        return os.path.join(self.job.root, relative) if relative else self.job.root

    def logical_path(self, relative: bytes) -> str:
        """Where an entry belongs if the handler doesn't say otherwise; "" where it has no possible name."""
        try:
            return self.naming.of(relative).path
        except UnusableName:
            return ""

    def work_on(self, relative: bytes, row: np.void, work: Callable[[Entry], Answer]) -> Answer:
        """The answer of ``work``. Raises what it raises, UnusableName, HandlerFailure, UnusableUser, TookTooLong."""

        def within(deadline: Deadline | None) -> Answer:
            with self.entry(relative, row, deadline) as entry:
                return work(entry)

        if not self.handler.has("timeout"):
            return within(None)
        seconds = self.handler.timeout(self.logger, self.meta(relative, row))
        return self.watch.run(seconds, within) if seconds else within(None)

    @contextmanager
    def entry(self, relative: bytes, row: np.void, deadline: Deadline | None = None) -> Iterator[Entry]:
        """The entry, whose requests end with the deadline. Raises UnusableName, HandlerFailure, UnusableUser."""
        path, name = self.path(relative), self.naming.of(relative)
        meta = entry_meta(self.job, path, name.path, row) | name.meta if self.handler.module else {}
        if meta and not stat.S_ISDIR(int(row["mode"])) and (collection := self.handler.collection_for(meta)):
            name = replace(name, path=routed_path(self.job.target, collection, name.path.rpartition("/")[2]))
            meta["target"] = name.path
        with self.catalog_of(self.handler.as_user(meta)) as catalog:
            yield Entry(path, name, row, meta, catalog.until(deadline) if deadline else catalog)

    @contextmanager
    def catalog_of(self, user: User | None) -> Iterator[Catalog]:
        """The catalog of a user, None for the one who runs the job. Raises UnusableUser."""
        if user is None:
            yield self.users.own
            return
        try:
            catalog = self.users.borrow(user)
        except MpingestError as error:
            raise UnusableUser(f"no session can be had as user {'#'.join(reversed(user))}: {error}") from error
        try:
            yield catalog
        finally:
            self.users.give_back(user)

    def meta(self, relative: bytes, row: np.void) -> dict[str, Any]:
        """``meta`` of an entry, as far as no method of the script is asked. Raises UnusableName."""
        name = self.naming.of(relative)
        return entry_meta(self.job, self.path(relative), name.path, row) | name.meta
