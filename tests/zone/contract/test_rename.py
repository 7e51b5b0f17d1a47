from __future__ import annotations

import pytest
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import names, replicas
from tests.zone.contract.test_put import put, read
from tests.zone.contract.test_registration import register
from tests.zone.wire import Wire, collection_input, copy_input

OBJECT, COLLECTION = 11, 12


def rename(wire: Wire, source: str, target: str, operation: int) -> int:
    return wire.call(627, copy_input(source, target, operation)).status


def test_an_object(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/one")
    before = session.data_objects.get(f"{home}/one")
    session.data_objects.move(f"{home}/one", f"{home}/two")
    assert names(session, home) == {"two"}
    assert session.data_objects.get(f"{home}/two").id == before.id
    assert read(session, f"{home}/two") == b"hello"
    put(wire, f"{home}/one", b"another")
    assert (read(session, f"{home}/one"), read(session, f"{home}/two")) == (b"another", b"hello")


def test_an_object_into_a_collection(session: iRODSSession, wire: Wire, home: str) -> None:
    put(wire, f"{home}/one")
    session.collections.create(f"{home}/inner")
    session.data_objects.move(f"{home}/one", f"{home}/inner")
    assert names(session, f"{home}/inner") == {"one"}


def test_a_file_in_the_vault_moves_too(wire: Wire, session: iRODSSession, home: str) -> None:
    put(wire, f"{home}/one")
    assert rename(wire, f"{home}/one", f"{home}/two", OBJECT) == 0
    assert replicas(session, f"{home}/two")[0].path.endswith(f"{home.rpartition('/')[2]}/two")


def test_what_cannot_be_renamed(wire: Wire, home: str) -> None:
    put(wire, f"{home}/one")
    put(wire, f"{home}/two")
    wire.call(681, collection_input(f"{home}/inner"))
    wire.call(681, collection_input(f"{home}/other"))
    assert rename(wire, f"{home}/none", f"{home}/x", OBJECT) == statuses.CAT_NO_ROWS_FOUND
    assert rename(wire, f"{home}/none", f"{home}/x", COLLECTION) == statuses.CAT_NO_ROWS_FOUND
    assert rename(wire, f"{home}/one", f"{home}/one", OBJECT) == statuses.SAME_SRC_DEST_PATHS_ERR
    assert rename(wire, f"{home}/one", f"{home}/two", OBJECT) == statuses.CAT_NAME_EXISTS_AS_DATAOBJ
    assert rename(wire, f"{home}/one", f"{home}/inner", OBJECT) == statuses.CAT_NAME_EXISTS_AS_COLLECTION
    assert rename(wire, f"{home}/inner", f"{home}/other", COLLECTION) == statuses.CAT_NAME_EXISTS_AS_COLLECTION
    assert rename(wire, f"{home}/inner", f"{home}/one", COLLECTION) == statuses.CAT_NAME_EXISTS_AS_DATAOBJ
    assert rename(wire, f"{home}/one", f"{home}/none/one", OBJECT) == statuses.CAT_UNKNOWN_COLLECTION
    assert rename(wire, f"{home}/inner", f"{home}/none/inner", COLLECTION) == statuses.CAT_UNKNOWN_COLLECTION
    assert rename(wire, f"{home}/none/one", f"{home}/x", OBJECT) == statuses.CAT_NO_ROWS_FOUND
    assert rename(wire, f"{home}/none/inner", f"{home}/x", COLLECTION) == statuses.CAT_NO_ROWS_FOUND


@pytest.mark.parametrize("operation", [0, COLLECTION])
def test_a_collection(wire: Wire, session: iRODSSession, home: str, operation: int) -> None:
    session.collections.create(f"{home}/one/deep")
    session.collections.create(f"{home}/one-more")
    put(wire, f"{home}/one/object")
    put(wire, f"{home}/one/deep/object", b"deep")
    assert rename(wire, f"{home}/one", f"{home}/two", operation) == 0
    assert read(session, f"{home}/two/object") == b"hello"
    assert read(session, f"{home}/two/deep/object") == b"deep"
    assert {collection.name for collection in session.collections.get(home).subcollections} == {"two", "one-more"}
    assert session.collections.get(f"{home}/two/deep").path == f"{home}/two/deep"


def test_a_move_goes_by_way_of_the_new_name_in_the_old_collection(wire: Wire, session: iRODSSession, home: str) -> None:
    for collection in ("from", "to"):
        session.collections.create(f"{home}/{collection}")
    put(wire, f"{home}/from/one")
    put(wire, f"{home}/from/two", b"another")
    assert rename(wire, f"{home}/from/one", f"{home}/to/two", OBJECT) == statuses.CAT_NAME_EXISTS_AS_DATAOBJ
    session.collections.create(f"{home}/from/two.d")
    session.collections.create(f"{home}/from/one.d")
    assert rename(wire, f"{home}/from/one.d", f"{home}/to/two.d", COLLECTION) == statuses.CAT_NAME_EXISTS_AS_COLLECTION
    assert names(session, f"{home}/from") == {"one", "two"}


def test_only_a_move_to_another_collection_changes_the_time(wire: Wire, session: iRODSSession, home: str) -> None:
    session.collections.create(f"{home}/inner")
    assert register(wire, f"{home}/one", "/no/such/file", dataSize="7", dataModify="01600000000") == 0
    assert rename(wire, f"{home}/one", f"{home}/two", OBJECT) == 0
    assert replicas(session, f"{home}/two")[0].modified == 1_600_000_000
    assert rename(wire, f"{home}/two", f"{home}/inner/two", OBJECT) == 0
    assert replicas(session, f"{home}/inner/two")[0].modified > 1_600_000_000


def test_files_outside_of_the_vault_stay_where_they_are(wire: Wire, session: iRODSSession, home: str) -> None:
    session.collections.create(f"{home}/one/deep")
    for name in ("object", "deep/object"):
        assert register(wire, f"{home}/one/{name}", f"/no/{name}", dataSize="7", dataModify="01600000000") == 0
    assert rename(wire, f"{home}/one", f"{home}/two", COLLECTION) == 0
    for name in ("object", "deep/object"):
        (replica,) = replicas(session, f"{home}/two/{name}")
        assert (replica.path, replica.modified) == (f"/no/{name}", 1_600_000_000)
    assert rename(wire, f"{home}/two/object", f"{home}/two/deep/another", OBJECT) == 0
    assert replicas(session, f"{home}/two/deep/another")[0].path == "/no/object"
