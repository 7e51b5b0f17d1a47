"""What belongs to one connection: who it is, its open replicas and its queries; and what a handler gets and gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mpingest.zone.catalog.database import Row
from mpingest.zone.catalog.objects import Replica
from mpingest.zone.catalog.users import User
from mpingest.zone.messages import Keywords
from mpingest.zone.pack import Element, PackError
from mpingest.zone.statuses import Status, ZoneError
from mpingest.zone.writers import Writer
from mpingest.zone.zone import Zone

_FIRST_DESCRIPTOR, _MAX_DESCRIPTORS = 3, 1024
_MAX_STATEMENTS = 50


@dataclass
class OpenReplica:
    """A replica open for reading or, where it has a writer, for writing.

    file: descriptor of the file; expected_size: what the client announced, None where it didn't;
    keywords: of the open request; changed: whether its content is new; copies: the sibling whose content it gets
    """

    path: str
    replica: Replica
    file: int
    writer: Writer | None = None
    expected_size: int | None = None
    keywords: Keywords = field(default_factory=dict)
    changed: bool = False
    copies: Replica | None = None


class Descriptors:
    """The open replicas of a connection, by the numbers that the client knows."""

    def __init__(self) -> None:
        self._open: dict[int, OpenReplica] = {}

    def require_room(self) -> None:
        """Raises ZoneError where no number is free."""
        if len(self._open) >= _MAX_DESCRIPTORS - _FIRST_DESCRIPTOR:
            raise ZoneError(Status.SYS_OUT_OF_FILE_DESC)

    def add(self, opened: OpenReplica) -> int:
        """The lowest free number, now of this replica; there has to be room."""
        number = next(number for number in range(_FIRST_DESCRIPTOR, _MAX_DESCRIPTORS) if number not in self._open)
        self._open[number] = opened
        return number

    def get(self, number: int, unused: Status = Status.BAD_INPUT_DESC_INDEX) -> OpenReplica:
        """What is open under a number. Raises ZoneError, ``unused`` where nothing is."""
        if not _FIRST_DESCRIPTOR <= number < _MAX_DESCRIPTORS:
            raise ZoneError(Status.SYS_FILE_DESC_OUT_OF_RANGE)
        if number not in self._open:
            raise ZoneError(unused)
        return self._open[number]

    def remove(self, number: int) -> None:
        """Free the number."""
        self._open.pop(number, None)

    def drain(self) -> Iterator[OpenReplica]:
        """Everything that is still open, once."""
        while self._open:
            yield self._open.popitem()[1]


@dataclass
class Statement:
    """Rows of a query that weren't sent yet."""

    columns: list[int]
    rows: list[Row]
    position: int = 0


class Statements:
    """The unfinished queries of a connection, by the numbers that the client goes on with."""

    def __init__(self) -> None:
        self._open: dict[int, Statement] = {}

    def add(self, statement: Statement) -> int:
        """A number for it."""
        for number in range(1, _MAX_STATEMENTS + 1):
            if number not in self._open:
                self._open[number] = statement
                return number
        raise ZoneError(Status.CAT_STATEMENT_TABLE_FULL)

    def get(self, number: int) -> Statement:
        """The query under a number. Raises ZoneError."""
        if number not in self._open:
            raise ZoneError(Status.CAT_NO_ROWS_FOUND)
        return self._open[number]

    def close(self, number: int) -> None:
        """Forget a query."""
        self._open.pop(number, None)


@dataclass
class Session:
    """client: on whose behalf requests act; proxy: who logged in; archives: extracted so far."""

    zone: Zone
    client: User
    proxy: User
    signature: str = ""
    descriptors: Descriptors = field(default_factory=Descriptors)
    statements: Statements = field(default_factory=Statements)
    archives: int = 0

    def require_admin(self, status: Status = Status.SYS_NO_API_PRIV) -> None:
        """Raises ZoneError unless the client administers the zone."""
        if not self.client.is_admin:
            raise ZoneError(status)


@dataclass(frozen=True, slots=True)
class Request:
    """number: of the API; message: its struct, None where it has none; stream: raw bytes."""

    number: int
    message: Element | None = None
    stream: bytes = b""

    @property
    def body(self) -> Element:
        """The struct. Raises PackError where there is none."""
        if self.message is None:
            raise PackError("request without a message")
        return self.message


@dataclass(frozen=True, slots=True)
class Reply:
    """status: >= 0; message: XML; stream: raw bytes."""

    status: int = 0
    message: bytes = b""
    stream: bytes = b""


Handler = Callable[[Session, Request], Reply]
