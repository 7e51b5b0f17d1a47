from __future__ import annotations

from irods.message import GenQueryResponse, GenQueryResponseColumn
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import GOOD, listing, names
from tests.zone.wire import Wire, object_input

PATH, REPLICA, TYPE, SIZE, RESOURCE_NAME, FILE, CHECKSUM, MODE, RESOURCE = 403, 404, 406, 407, 409, 410, 415, 421, 423
OPERATION = 999999
LONG = {PATH: 1088, FILE: 1088}


def bulk(session: iRODSSession, wire: Wire, paths: list[str], **columns: str) -> int:
    resource = session.resources.get(session.default_resource)
    single = {
        TYPE: "generic",
        SIZE: "5",
        RESOURCE_NAME: resource.name,
        MODE: "33188",
        OPERATION: columns.get("operation", "register"),
        REPLICA: "0",
        RESOURCE: str(resource.id),
    }
    table = {column: [value] * len(paths) for column, value in single.items()}
    table |= {PATH: paths, FILE: [f"/files/{number}" for number in range(len(paths))]}
    table[CHECKSUM] = [columns.get("checksum", "")] * len(paths)
    results = [
        GenQueryResponseColumn(attriInx=column, reslen=LONG.get(column, 64), value=values)
        for column, values in table.items()
    ]
    results += [GenQueryResponseColumn(attriInx=0, reslen=0, value=[]) for _ in range(50 - len(results))]
    message = GenQueryResponse(
        rowCnt=len(paths), attriCnt=len(table), continueInx=0, totalRowCount=0, SqlResult_PI=results
    )
    return wire.call(688, message).status


def test_fifty_at_once(session: iRODSSession, wire: Wire, home: str) -> None:
    assert bulk(session, wire, [f"{home}/object{number:02}" for number in range(50)], checksum="sha2:x") == 0
    found = listing(session, home)
    assert len(found) == 50
    assert {(replica.size, replica.status, replica.checksum) for replica in found} == {(5, GOOD, "sha2:x")}
    assert found[7].path == "/files/7"


def test_all_or_none(session: iRODSSession, wire: Wire, home: str) -> None:
    wire.call(630, object_input(f"{home}/object3", filePath="/f", dataSize="1"))
    paths = [f"{home}/object{number}" for number in range(6)]
    assert bulk(session, wire, paths) == statuses.CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME
    assert names(session, home) == {"object3"}
    assert bulk(session, wire, [f"{home}/one", f"{home}/none/two"]) == statuses.CAT_UNKNOWN_COLLECTION
    assert names(session, home) == {"object3"}


def test_modify(session: iRODSSession, wire: Wire, home: str) -> None:
    wire.call(630, object_input(f"{home}/object", filePath="/f", dataSize="1", dataModify="01500000000"))
    assert bulk(session, wire, [f"{home}/object"], operation="modify") == 0
    (replica,) = listing(session, home)
    assert (replica.size, replica.modified > 1500000000) == (5, True)
