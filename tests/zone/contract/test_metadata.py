from __future__ import annotations

from typing import Any

import pytest
from irods import exception
from irods.message import MetadataRequest
from irods.meta import AVUOperation, iRODSMeta
from irods.models import Collection, DataObject, Resource, User
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.conftest import Tree
from tests.zone.contract.test_put import put
from tests.zone.wire import Reply, Wire, json_input


def avu(wire: Wire, *arguments: str) -> int:
    return wire.call(706, MetadataRequest(*arguments)).status


def triples(session: iRODSSession, model: type, path: str) -> set[tuple[str, str, str]]:
    return {(meta.name, meta.value, meta.units or "") for meta in session.metadata.get(model, path)}


def atomic(wire: Wire, path: str, *operations: dict[str, str], kind: str = "data_object") -> Reply:
    message: dict[str, Any] = {"entity_name": path, "entity_type": kind, "operations": list(operations)}
    return wire.call(20002, json_input(**message))


def test_add_set_remove(wire: Wire, session: iRODSSession, home: str) -> None:
    path = f"{home}/object"
    put(wire, path)
    assert avu(wire, "add", "-d", path, "a", "v") == 0
    assert avu(wire, "add", "-d", path, "a", "v") == statuses.CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME
    assert avu(wire, "add", "-d", path, "a", "v", "u") == 0
    assert avu(wire, "add", "-d", path, "b", "w") == 0
    assert triples(session, DataObject, path) == {("a", "v", ""), ("a", "v", "u"), ("b", "w", "")}
    assert avu(wire, "rm", "-d", path, "a", "v") == 0
    assert avu(wire, "rm", "-d", path, "a", "v") == statuses.CAT_SUCCESS_BUT_WITH_NO_INFO
    assert avu(wire, "set", "-d", path, "a", "new") == 0
    assert avu(wire, "set", "-d", path, "a", "new") == 0
    assert triples(session, DataObject, path) == {("a", "new", ""), ("b", "w", "")}


def test_change_one_part(wire: Wire, session: iRODSSession, home: str) -> None:
    assert avu(wire, "add", "-C", home, "a", "v", "u") == 0
    assert avu(wire, "mod", "-C", home, "a", "v", "u", "n:b", "v:w") == 0
    assert triples(session, Collection, home) == {("b", "w", "u")}
    assert avu(wire, "mod", "-C", home, "a", "v", "u", "n:c") == statuses.CAT_SUCCESS_BUT_WITH_NO_INFO


def test_copy(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/object", metadataIncluded="a;v;u;b;w;;")
    session.metadata.copy(DataObject, Collection, f"{home}/object", home)
    assert triples(session, Collection, home) == triples(session, DataObject, f"{home}/object")


def test_of_collections_resources_and_users(session: iRODSSession, home: str, tree: Tree, user: str) -> None:
    for model, name in ((Collection, home), (Resource, tree.leaf), (User, user)):
        session.metadata.add(model, name, iRODSMeta("a", "v", "u"))
        assert triples(session, model, name) == {("a", "v", "u")}
        session.metadata.remove(model, name, iRODSMeta("a", "v", "u"))
        assert triples(session, model, name) == set()


def test_of_what_is_not_there(wire: Wire, home: str) -> None:
    put(wire, f"{home}/object")
    assert avu(wire, "add", "-d", f"{home}/none", "a", "v") == statuses.CAT_UNKNOWN_FILE
    assert avu(wire, "rm", "-d", f"{home}/none", "a", "v") == statuses.CAT_UNKNOWN_FILE
    assert avu(wire, "add", "-C", f"{home}/object", "a", "v") == statuses.CAT_UNKNOWN_COLLECTION
    assert avu(wire, "add", "-u", "nobody-of-this-name", "a", "v") == statuses.CAT_INVALID_USER
    assert avu(wire, "rmw", "-d", f"{home}/object", "a", "v", "u") == statuses.CAT_INVALID_ARGUMENT
    assert avu(wire, "bogus", "-d", f"{home}/object", "a", "v") == statuses.CAT_INVALID_ARGUMENT
    assert avu(wire, "add", "-x", f"{home}/object", "a", "v") == statuses.CAT_INVALID_ARGUMENT


@pytest.mark.parametrize("text", ["it's", "<&>", "%_\\", "ünïcødé", "two\nlines", "a;b", "x" * 2000])
def test_any_text(session: iRODSSession, home: str, text: str) -> None:
    session.metadata.add(Collection, home, iRODSMeta(text, text, text[:200]))
    assert triples(session, Collection, home) == {(text, text, text[:200])}


def test_all_or_none(wire: Wire, session: iRODSSession, home: str) -> None:
    path = f"{home}/object"
    put(wire, path)
    add = {"operation": "add", "attribute": "a", "value": "v"}
    gone = {"operation": "remove", "attribute": "never", "value": "there"}
    assert atomic(wire, path, add, add, gone).status == 0
    assert triples(session, DataObject, path) == {("a", "v", "")}
    wrong = atomic(wire, path, add | {"attribute": "b"}, add | {"operation": "bogus"})
    assert wrong.status == statuses.INVALID_OPERATION
    assert triples(session, DataObject, path) == {("a", "v", "")}
    assert atomic(wire, path, add | {"value": ""}).status == statuses.SYS_INVALID_INPUT_PARAM
    assert atomic(wire, f"{home}/none", add).status == statuses.SYS_INVALID_INPUT_PARAM
    assert atomic(wire, path, add, kind="bogus").status == statuses.SYS_INVALID_INPUT_PARAM


def test_the_clients_atomic_operations(session: iRODSSession, home: str) -> None:
    operations = [AVUOperation("add", iRODSMeta("a", str(number))) for number in range(20)]
    session.metadata.apply_atomic_operations(Collection, home, *operations)
    assert len(triples(session, Collection, home)) == 20


def test_only_with_rights(user_session: iRODSSession, wire: Wire, home: str) -> None:
    put(wire, f"{home}/object")
    with pytest.raises(exception.CAT_NO_ACCESS_PERMISSION):
        user_session.metadata.add(DataObject, f"{home}/object", iRODSMeta("a", "v"))
    with pytest.raises(exception.CAT_NO_ACCESS_PERMISSION):
        user_session.metadata.add(Collection, home, iRODSMeta("a", "v"))


def test_objects_by_their_metadata(wire: Wire, session: iRODSSession, home: str) -> None:
    from irods.models import DataObjectMeta

    for number in range(3):
        put(wire, f"{home}/object{number}")
        avu(wire, "add", "-d", f"{home}/object{number}", "number", str(number))
        avu(wire, "add", "-d", f"{home}/object{number}", "kind", "odd" if number % 2 else "even")
    query = session.query(DataObject.name).filter(Collection.name == home)
    even = query.filter(DataObjectMeta.name == "kind", DataObjectMeta.value == "even")
    assert {row[DataObject.name] for row in even} == {"object0", "object2"}
