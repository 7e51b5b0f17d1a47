from __future__ import annotations

from pathlib import Path

import pytest
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import GOOD, STALE, listing, replicas
from tests.zone.contract.conftest import Tree
from tests.zone.wire import Wire, collection_input, object_input

HELLO_SHA256 = "sha2:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
ODD_NAMES = [
    *("with space", " leading", "trailing ", "it's", 'double "quotes"', "100%", "under_score", "back\\slash", "-dash"),
    *("new\nline", "tab\there", "bell\x07", "<&>;", "a && b || c", "*?[x]", "$HOME`id`", "~", "Ünïcødé-名前"),
    *("...", "n" * 255, "e\u0301", "'", "''", "like '%'", ";'--"),
]


def register(wire: Wire, path: str, file: Path | str, **keywords: str) -> int:
    return wire.call(630, object_input(path, filePath=str(file), **keywords)).status


def test_the_client_registers(session: iRODSSession, home: str, file: Path) -> None:
    session.data_objects.register(str(file), f"{home}/object")
    item = session.data_objects.get(f"{home}/object")
    assert (item.size, item.path, item.replicas[0].path) == (5, f"{home}/object", str(file))
    assert (item.replicas[0].status, item.checksum, item.owner_name) == ("1", None, session.username)
    with session.data_objects.open(f"{home}/object", "r") as content:
        assert content.read() == b"hello"


def test_size_and_time_are_taken_as_given(wire: Wire, session: iRODSSession, home: str, file: Path) -> None:
    keywords = {"dataSize": "77", "dataModify": "01600000000", "resc_hier": session.default_resource}
    assert register(wire, f"{home}/object", file, **keywords) == 0
    (replica,) = replicas(session, f"{home}/object")
    assert (replica.size, replica.modified, replica.hierarchy) == (77, 1600000000, session.default_resource)


def test_with_a_size_nobody_looks_at_the_file(wire: Wire, session: iRODSSession, home: str) -> None:
    assert register(wire, f"{home}/absent", "/no/such/file") == statuses.UNIX_FILE_STAT_ERR_NOENT
    assert register(wire, f"{home}/absent", "/no/such/file", dataSize="7") == 0
    assert replicas(session, f"{home}/absent")[0].size == 7


def test_the_answer_says_what_was_made(wire: Wire, session: iRODSSession, home: str, file: Path) -> None:
    reply = wire.call(20008, object_input(f"{home}/object", filePath=str(file), dataSize="5"))
    assert reply.status == 0
    assert reply.json()["data_id"] == str(session.data_objects.get(f"{home}/object").id)


def test_duplicate(wire: Wire, home: str, file: Path) -> None:
    assert register(wire, f"{home}/object", file) == 0
    assert register(wire, f"{home}/object", file) == statuses.CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME


def test_what_cannot_be_registered(wire: Wire, home: str, file: Path) -> None:
    assert wire.call(630, object_input(f"{home}/x")).status == statuses.SYS_INVALID_FILE_PATH
    assert register(wire, f"{home}/none/x", file) == statuses.CAT_UNKNOWN_COLLECTION
    assert register(wire, f"{home}/x", file.parent) == statuses.SYS_PATH_IS_NOT_A_FILE
    assert register(wire, f"{home}/x", file, dataSize="5", dataType="no such type") == statuses.CAT_INVALID_DATA_TYPE
    assert register(wire, home, file) == statuses.CAT_NAME_EXISTS_AS_COLLECTION


@pytest.mark.parametrize("keyword", ["destRescName", "resc_hier"])
def test_a_resource_that_is_not_there(wire: Wire, home: str, file: Path, keyword: str) -> None:
    status = register(wire, f"{home}/object", file, dataSize="5", **{keyword: "no-such-resource"})
    assert status == statuses.SYS_RESC_DOES_NOT_EXIST


def test_into_a_tree(wire: Wire, session: iRODSSession, home: str, file: Path, tree: Tree) -> None:
    assert register(wire, f"{home}/root", file, destRescName=tree.root) == 0
    assert register(wire, f"{home}/middle", file, destRescName=tree.middle) == statuses.HIERARCHY_ERROR
    assert register(wire, f"{home}/leaf", file, destRescName=tree.leaf, dataSize="5") == 0
    assert register(wire, f"{home}/hierarchy", file, resc_hier=tree.hierarchy, dataSize="5") == 0
    assert register(wire, f"{home}/leaf-hierarchy", file, resc_hier=tree.leaf, dataSize="5") == 0
    found = {replica.name: replica.hierarchy for replica in listing(session, home)}
    assert found == dict.fromkeys(("root", "leaf", "hierarchy", "leaf-hierarchy"), tree.hierarchy)


def test_as_a_replica(wire: Wire, session: iRODSSession, home: str, file: Path, tree: Tree) -> None:
    keywords = {"regRepl": "", "resc_hier": tree.other, "dataSize": "5"}
    assert register(wire, f"{home}/object", file, **keywords) == statuses.CAT_NO_ROWS_FOUND
    assert register(wire, f"{home}/object", file) == 0
    assert register(wire, f"{home}/object", file, **keywords) == 0
    assert register(wire, f"{home}/object", file, **keywords) == statuses.SYS_COPY_ALREADY_IN_RESC
    first, second = replicas(session, f"{home}/object")
    assert (first.number, first.hierarchy, first.status) == (0, session.default_resource, STALE)
    assert (second.number, second.hierarchy, second.status) == (1, tree.other, GOOD)


def test_with_a_checksum(wire: Wire, session: iRODSSession, home: str, file: Path) -> None:
    assert register(wire, f"{home}/registered", file, regChksum="") == 0
    assert register(wire, f"{home}/verified", file, verifyChksum="sha2:not-compared") == 0
    assert [replica.checksum for replica in listing(session, home)] == [HELLO_SHA256, HELLO_SHA256]


def test_an_ordinary_user_registers_nothing(user_session: iRODSSession, user: str, file: Path) -> None:
    wire = Wire(user_session)
    path = f"/{user_session.zone}/home/{user}/object"
    assert register(wire, path, file, dataSize="5") == statuses.PATH_REG_NOT_ALLOWED
    assert register(wire, path, file, dataSize="5", noChkFilePerm="") == statuses.SYS_NO_API_PRIV


def test_an_administrator_registers_for_a_user(proxied_session: iRODSSession, home: str, user: str, file: Path) -> None:
    wire = Wire(proxied_session)
    path = f"/{proxied_session.zone}/home/{user}/object"
    assert register(wire, path, file, dataSize="5") == statuses.PATH_REG_NOT_ALLOWED
    assert register(wire, path, file, dataSize="5", noChkFilePerm="") == 0
    assert proxied_session.data_objects.get(path).owner_name == user
    refused = register(wire, f"{home}/object", file, dataSize="5", noChkFilePerm="")
    assert refused == statuses.CAT_NO_ACCESS_PERMISSION
    proxied_session.data_objects.unregister(path)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(wire: Wire, session: iRODSSession, home: str, name: str) -> None:
    assert wire.call(681, collection_input(f"{home}/in {name}")).status == 0
    assert register(wire, f"{home}/in {name}/{name}", f"/files/{name}", dataSize="5") == 0
    reply = wire.call(20008, object_input(f"{home}/{name}", filePath=f"/files/{name}", dataSize="5"))
    assert reply.status == 0
    if "\x07" not in name:
        (replica,) = listing(session, f"{home}/in {name}")
        assert (replica.name, replica.path) == (name, f"/files/{name}")


def test_names_too_long_for_the_catalog(wire: Wire, home: str) -> None:
    whole = home + "/" + "n" * (1087 - len(home) - 1)
    assert len(whole) == 1087
    assert wire.call(630, object_input(whole + "n", filePath="/f", dataSize="1")).status == (
        statuses.USER_PACKSTRUCT_INPUT_ERR
    )
    assert register(wire, f"{home}/{'n' * 800}", "/f", dataSize="1") == 0
