"""The catalogs of a rank: that of the user who runs the job, and one for each user that ``as_user`` names."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mpingest.handler.calls import User
from mpingest.ingest.catalog import Catalog

MOST_USERS = 8
"""Users of whom a rank keeps sessions; the one longest unused makes room. Each has a connection a thread at most."""


@dataclass(slots=True)
class _Member:
    catalog: Catalog
    uses: int = 0


@dataclass
class Users:
    """Safe for several threads.

    own: of the user who runs the job, who has to be rodsadmin to act for others
    open_session: an iRODSSession for (zone, user); it logs in with its first request
    """

    own: Catalog
    open_session: Callable[[User], Any]
    _members: OrderedDict[User, _Member] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def borrow(self, user: User) -> Catalog:
        """The catalog as that user, until it is given back. Raises MpingestError where no session can be set up."""
        zone, name = user
        if (zone or self.own.session.zone, name) == (self.own.session.zone, self.own.session.username):
            return self.own
        with self._lock:
            member = self._members.get(user)
            if member is None:
                member = self._members[user] = _Member(self.own.for_client(self.open_session(user)))
            self._members.move_to_end(user)
            member.uses += 1
            leaving = self._leaving()
        for one in leaving:
            one.catalog.session.cleanup()
        return member.catalog

    def give_back(self, user: User) -> None:
        """The inverse of ``borrow``."""
        with self._lock:
            if (member := self._members.get(user)) is not None:
                member.uses -= 1

    def close_idle(self, seconds: float) -> None:
        """Close the connections of all sessions that nobody has used for that long."""
        with self._lock:
            catalogs = [self.own, *(member.catalog for member in self._members.values())]
        for catalog in catalogs:
            catalog.close_idle(seconds)

    def close(self) -> None:
        """Close the sessions of all others."""
        with self._lock:
            members = list(self._members.values())
            self._members.clear()
        for member in members:
            member.catalog.session.cleanup()

    def _leaving(self) -> list[_Member]:
        unused = [user for user, member in self._members.items() if not member.uses]
        surplus = max(0, len(self._members) - MOST_USERS)
        return [self._members.pop(user) for user in unused[:surplus]]
