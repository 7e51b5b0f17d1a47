from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from irods import exception
from irods.column import Between, In, Like, NotLike
from irods.message import GenQueryRequest, IntegerIntegerMap, IntegerStringMap, StringStringMap
from irods.models import Collection, DataObject, DataObjectMeta, Resource, User, Zone
from irods.query import Query
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.conftest import Tree
from tests.zone.contract.test_put import put
from tests.zone.wire import Reply, Wire, object_input

COLL_NAME, DATA_NAME, DATA_SIZE = 501, 403, 407
NO_DISTINCT, AUTO_CLOSE, TOTAL_ROWS = 0x40, 0x100, 0x20
NAMES = ["a", "b", "it's", "100%", "under_score", "underXscore", "back\\slash", "a && b || c", "Upper", "ünï"]


def register(wire: Wire, path: str, size: int = 1) -> None:
    message = object_input(path, filePath="/f", dataSize=str(size), dataModify=f"{1500000000 + size:011}")
    assert wire.call(630, message).status == 0


def ask(
    wire: Wire,
    home: str,
    condition: tuple[int, str] | None = None,
    *,
    rows: int = 500,
    statement: int = 0,
    options: int = 0,
    offset: int = 0,
) -> Reply:
    """Names in a collection, by a request of our own making."""
    conditions = {COLL_NAME: f"= '{home}'"} | ({condition[0]: condition[1]} if condition else {})
    message = GenQueryRequest(
        maxRows=rows,
        continueInx=statement,
        partialStartIndex=offset,
        options=options,
        KeyValPair_PI=StringStringMap(),
        InxIvalPair_PI=IntegerIntegerMap({DATA_NAME: 1}),
        InxValPair_PI=IntegerStringMap(conditions),
    )
    return wire.call(702, message)


def values(reply: Reply) -> list[str]:
    import html

    return [html.unescape(part.split("</value>")[0]) for part in reply.message.decode().split("<value>")[1:]]


@pytest.fixture(scope="module")
def filled(session: iRODSSession, base: str) -> str:
    """A collection with objects of odd names; their sizes are their positions in NAMES."""
    path = f"{base}/query"
    session.collections.create(path)
    wire = Wire(session)
    for size, name in enumerate(NAMES):
        register(wire, f"{path}/{name}", size)
    wire.connection.release(destroy=True)
    return path


@pytest.fixture(scope="module")
def many(session: iRODSSession, base: str) -> str:
    """A collection with 1,030 objects."""
    path = f"{base}/many"
    session.collections.create(path)
    wire = Wire(session)
    for start in range(0, 1030, 103):
        for number in range(start, start + 103):
            wire.send(630, object_input(f"{path}/object{number:04}", filePath="/f", dataSize="1"))
        assert {wire.receive().status for _ in range(103)} == {0}
    wire.connection.release(destroy=True)
    return path


def test_pages(wire: Wire, many: str) -> None:
    first = ask(wire, many, rows=256)
    statement = int(first.text("continueInx"))
    assert statement > 0
    found = values(first)
    sizes = [len(found)]
    while statement:
        page = ask(wire, many, rows=256, statement=statement)
        sizes.append(len(values(page)))
        found += values(page)
        statement = int(page.text("continueInx"))
    assert sizes == [256, 256, 256, 256, 6]
    assert found == [f"object{number:04}" for number in range(1030)]


def test_a_full_last_page_is_followed_by_none(wire: Wire, many: str) -> None:
    first = ask(wire, many, rows=515)
    second = ask(wire, many, rows=515, statement=int(first.text("continueInx")))
    assert len(values(second)) == 515
    third = ask(wire, many, rows=515, statement=int(second.text("continueInx")))
    assert third.status == statuses.CAT_NO_ROWS_FOUND


def test_the_client_pages(session: iRODSSession, many: str) -> None:
    rows = list(session.query(DataObject.name, DataObject.size).filter(Collection.name == many))
    assert len(rows) == 1030
    assert len(session.query(DataObject.name).filter(Collection.name == many).all()) == 500
    assert len(session.query(DataObject.name).filter(Collection.name == many).limit(7).all()) == 7
    assert session.query(DataObject.name).filter(Collection.name == many).offset(1000).first() == {
        DataObject.name: "object1000"
    }


def test_closing_early(wire: Wire, many: str) -> None:
    for _ in range(60):
        first = ask(wire, many, rows=10)
        assert first.status == 0
        assert ask(wire, many, rows=0, statement=int(first.text("continueInx"))).status == 0
    for _ in range(60):
        page = ask(wire, many, rows=10, options=AUTO_CLOSE)
        assert (page.status, page.text("continueInx")) == (0, "-1")


def test_offset_and_total(wire: Wire, many: str) -> None:
    page = ask(wire, many, rows=5, offset=1020, options=TOTAL_ROWS | AUTO_CLOSE)
    assert values(page) == [f"object{number:04}" for number in range(1020, 1025)]
    assert page.text("totalRowCount") == "1030"


def test_no_rows(wire: Wire, session: iRODSSession, home: str) -> None:
    assert ask(wire, home).status == statuses.CAT_NO_ROWS_FOUND
    assert ask(wire, f"{home}/none").status == statuses.CAT_NO_ROWS_FOUND
    assert list(session.query(DataObject).filter(Collection.name == home)) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_found_as_it_is(session: iRODSSession, filled: str, name: str) -> None:
    item = session.data_objects.get(f"{filled}/{name}")
    assert (item.name, item.size) == (name, NAMES.index(name))


CONDITIONS: list[tuple[Callable[[Query], Query], set[str]]] = [
    (lambda query: query.filter(DataObject.size > 7), {"Upper", "ünï"}),
    (lambda query: query.filter(DataObject.size >= 8, DataObject.size < 9), {"Upper"}),
    (lambda query: query.filter(DataObject.size <= 1), {"a", "b"}),
    (lambda query: query.filter(DataObject.name != "a", DataObject.size < 3), {"b", "it's"}),
    (lambda query: query.filter(Like(DataObject.name, "under%")), {"under_score", "underXscore"}),
    (lambda query: query.filter(Like(DataObject.name, "under\\_score")), {"under_score"}),
    (lambda query: query.filter(Like(DataObject.name, "upper")), set()),
    (lambda query: query.filter(Like(DataObject.name, "%'%")), {"it's"}),
    (lambda query: query.filter(NotLike(DataObject.name, "%_%")), set()),
    (lambda query: query.filter(NotLike(DataObject.name, "%_s%"), DataObject.size < 6), {"a", "b", "100%"}),
    (lambda query: query.filter(In(DataObject.name, ["a", "b", "none"])), {"a", "b"}),
    (lambda query: query.filter(Between(DataObject.size, ("3", "4"))), {"100%", "under_score"}),
    (lambda query: query.filter(DataObject.name == "a && b || c"), {"a && b || c"}),
]


@pytest.mark.parametrize(("refine", "expected"), CONDITIONS)
def test_conditions(session: iRODSSession, filled: str, refine: Callable[[Query], Query], expected: set[str]) -> None:
    query = refine(session.query(DataObject.name).filter(Collection.name == filled))
    assert {row[DataObject.name] for row in query} == expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ((DATA_NAME, "= 'a' || = 'b'"), ["a", "b"]),
        ((DATA_NAME, "like 'under%' && like '%X%'"), ["underXscore"]),
        ((DATA_NAME, "= 'it's'"), ["it's"]),
        ((DATA_NAME, "= 'a && b || c'"), ["a && b || c"]),
        ((DATA_SIZE, "n< '2'"), ["a", "b"]),
        ((DATA_NAME, "parent_of 'a/b'"), ["a"]),
    ],
)
def test_conditions_as_text(wire: Wire, filled: str, condition: tuple[int, str], expected: list[str]) -> None:
    assert values(ask(wire, filled, condition)) == expected


@pytest.mark.parametrize("condition", ["bogus 'a'", "= a", "in ()", "between '1'", "= 'a'; drop table replicas"])
def test_conditions_that_make_no_sense(wire: Wire, filled: str, condition: str) -> None:
    reply = ask(wire, filled, (DATA_NAME, condition))
    assert reply.status == statuses.CAT_INVALID_ARGUMENT or condition.startswith("= 'a'")
    assert len(values(ask(wire, filled))) == len(NAMES)


def test_case_does_not_matter_where_it_should_not(session: iRODSSession, filled: str) -> None:
    query = session.query(DataObject.name, case_sensitive=False).filter(DataObject.name == "uPPer")
    assert {row[DataObject.name] for row in query.filter(Collection.name == filled)} == {"Upper"}


def test_aggregates(session: iRODSSession, filled: str) -> None:
    def one(query: Query, column: Any) -> int:
        return query.filter(Collection.name == filled).one()[column]

    assert one(session.query().count(DataObject.id), DataObject.id) == len(NAMES)
    assert one(session.query().sum(DataObject.size), DataObject.size) == sum(range(len(NAMES)))
    assert one(session.query().min(DataObject.size), DataObject.size) == 0
    assert one(session.query().max(DataObject.size), DataObject.size) == len(NAMES) - 1


def test_order(session: iRODSSession, filled: str) -> None:
    query = session.query(DataObject.name).filter(Collection.name == filled)
    for direction, reverse in (("asc", False), ("desc", True)):
        rows = [row[DataObject.size] for row in query.order_by(DataObject.size, direction)]
        assert rows == sorted(range(len(NAMES)), reverse=reverse)


def test_columns_of_every_table(wire: Wire, session: iRODSSession, home: str, tree: Tree, user: str) -> None:
    put(wire, f"{home}/object", resc_hier=tree.hierarchy)
    row = session.query(DataObject, Collection.name, Resource.name, Resource.id).filter(Collection.name == home).one()
    assert (row[Collection.name], row[DataObject.name], row[Resource.name]) == (home, "object", tree.leaf)
    assert (row[DataObject.resc_hier], row[DataObject.resource_name]) == (tree.hierarchy, tree.leaf)
    assert row[DataObject.resc_id] == str(row[Resource.id])
    assert session.query(User).filter(User.name == user).one()[User.type] == "rodsuser"
    assert session.query(Zone.name).filter(Zone.type == "local").one()[Zone.name] == session.zone
    with pytest.raises(exception.CAT_FAILED_TO_LINK_TABLES):
        session.query(Zone.name, DataObject.name).execute()


def test_two_attributes_of_one_object(session: iRODSSession, wire: Wire, home: str) -> None:
    for number in range(3):
        put(wire, f"{home}/object{number}", metadataIncluded=f"number;{number};;parity;{number % 2};;")
    query = session.query(DataObject.name).filter(Collection.name == home)
    found = query.filter(DataObjectMeta.name == "number", DataObjectMeta.value == "2")
    found = found.filter(DataObjectMeta.name == "parity", DataObjectMeta.value == "0")
    assert {row[DataObject.name] for row in found} == {"object2"}


@pytest.mark.parametrize(
    "name", ["bell\x07", "\x1b[31mred", "a\x01b", "two\nlines", "a\tb", "carriage\rreturn", "\x7f"]
)
def test_control_characters_come_back(wire: Wire, home: str, name: str) -> None:
    register(wire, f"{home}/{name}")
    assert values(ask(wire, home)) == [name]
    assert values(ask(wire, home, (DATA_NAME, f"= '{name}'"))) == [name]


def test_users_see_what_they_may_read(user_session: iRODSSession, session: iRODSSession, filled: str) -> None:
    assert list(user_session.query(DataObject.name).filter(Collection.name == filled)) == []
    assert list(user_session.query(Collection.name).filter(Collection.name == filled)) == []
    home = f"/{user_session.zone}/home/{user_session.username}"
    assert user_session.query(Collection.name).filter(Collection.name == home).one()
