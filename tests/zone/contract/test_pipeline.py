from __future__ import annotations

from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import names
from tests.zone.wire import Wire, object_input

DEPTH = 32


def test_requests_written_before_the_first_reply_is_read(wire: Wire, session: iRODSSession, home: str) -> None:
    for number in range(DEPTH):
        wire.send(630, object_input(f"{home}/object{number}", filePath="/f", dataSize="1"))
    assert [wire.receive().status for _ in range(DEPTH)] == [0] * DEPTH
    assert names(session, home) == {f"object{number}" for number in range(DEPTH)}


def test_replies_come_in_the_order_of_requests(wire: Wire, home: str) -> None:
    for number in range(DEPTH):
        content = b"x" * number * 1000
        message = object_input(f"{home}/object{number // 2}", size=len(content), operation=1, dataIncluded="")
        wire.send(606, message, content)
    expected = [statuses.OVERWRITE_WITHOUT_FORCE_FLAG if number % 2 else 0 for number in range(DEPTH)]
    assert [wire.receive().status for _ in range(DEPTH)] == expected
