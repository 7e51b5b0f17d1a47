from __future__ import annotations

import pytest
from irods import exception
from irods.models import Collection
from irods.session import iRODSSession

from tests.zone.contract import statuses
from tests.zone.contract.catalog import names
from tests.zone.wire import Wire, collection_input, object_input

CREATE, REMOVE, PUT = 681, 679, 606


def create(wire: Wire, path: str, **keywords: str) -> int:
    return wire.call(CREATE, collection_input(path, **keywords)).status


def put(wire: Wire, path: str) -> int:
    return wire.call(PUT, object_input(path, size=1, operation=1, dataIncluded=""), b"1").status


def test_create_and_list(session: iRODSSession, home: str) -> None:
    session.collections.create(f"{home}/one")
    session.collections.create(f"{home}/two/three")
    assert session.collections.exists(f"{home}/two/three")
    assert {collection.name for collection in session.collections.get(home).subcollections} == {"one", "two"}


def test_a_collection_belongs_to_who_made_it(session: iRODSSession, home: str) -> None:
    collection = session.collections.get(home)
    assert (collection.owner_name, collection.owner_zone) == (session.username, session.zone)
    assert [(acl.user_name, acl.access_name) for acl in session.acls.get(collection)] == [(session.username, "own")]


def test_create_again(wire: Wire, home: str) -> None:
    assert create(wire, home) == statuses.CATALOG_ALREADY_HAS_ITEM_BY_THAT_NAME
    assert create(wire, home, recursiveOpr="") == 0


def test_create_below_what_is_missing(wire: Wire, session: iRODSSession, home: str) -> None:
    assert create(wire, f"{home}/a/b") == statuses.CAT_UNKNOWN_COLLECTION
    assert create(wire, f"{home}/a/b", recursiveOpr="") == 0
    assert session.collections.exists(f"{home}/a/b")


@pytest.mark.parametrize("path", ["", "relative", "/noZoneOfThisName/x", "/x"])
def test_a_path_of_no_zone_is_refused(wire: Wire, path: str) -> None:
    assert create(wire, path) == statuses.SYS_INVALID_INPUT_PARAM


def test_a_slash_at_the_end_means_nothing(wire: Wire, session: iRODSSession, home: str) -> None:
    assert create(wire, f"{home}/slash/") == 0
    assert session.collections.exists(f"{home}/slash")


@pytest.mark.parametrize("middle", ["/", "/../"])
def test_no_tricks_with_paths(wire: Wire, session: iRODSSession, home: str, middle: str) -> None:
    assert create(wire, f"{home}{middle}/x") < 0
    rows = session.query(Collection.name).filter(Collection.parent_name == home)
    assert not [row for row in rows if ".." in row[Collection.name]]


def test_too_long_a_path(wire: Wire, home: str) -> None:
    room = 1087 - len(home) - 1
    assert create(wire, f"{home}/{'n' * (room + 1)}") == statuses.USER_PACKSTRUCT_INPUT_ERR


def test_a_name_belongs_to_an_object_or_a_collection(wire: Wire, home: str) -> None:
    assert put(wire, f"{home}/object") == 0
    assert create(wire, f"{home}/object") == statuses.CAT_NAME_EXISTS_AS_DATAOBJ
    assert create(wire, f"{home}/object", recursiveOpr="") == statuses.CAT_NAME_EXISTS_AS_DATAOBJ
    assert create(wire, f"{home}/object/below", recursiveOpr="") == statuses.CAT_NAME_EXISTS_AS_DATAOBJ


def test_remove(wire: Wire, session: iRODSSession, home: str) -> None:
    create(wire, f"{home}/full/empty", recursiveOpr="")
    assert wire.call(REMOVE, collection_input(f"{home}/full")).status == statuses.CAT_COLLECTION_NOT_EMPTY
    assert wire.call(REMOVE, collection_input(f"{home}/full/empty")).status == 0
    assert wire.call(REMOVE, collection_input(f"{home}/full/empty")).status == statuses.CAT_UNKNOWN_COLLECTION
    missing = wire.call(REMOVE, collection_input(f"{home}/none", recursiveOpr="", forceFlag=""))
    assert missing.status == statuses.USER_FILE_DOES_NOT_EXIST
    session.collections.remove(f"{home}/full", recurse=True, force=True)
    assert not session.collections.exists(f"{home}/full")


def test_remove_into_the_trash(wire: Wire, session: iRODSSession, home: str) -> None:
    create(wire, f"{home}/away")
    put(wire, f"{home}/away/object")
    session.collections.remove(f"{home}/away", recurse=True, force=False)
    trash = home.replace(f"/{session.zone}/home/", f"/{session.zone}/trash/home/") + "/away"
    assert names(session, trash) == {"object"}
    session.collections.remove(trash, recurse=True, force=True)


def test_users_make_collections_where_they_may(user_session: iRODSSession, home: str, user: str) -> None:
    path = f"/{user_session.zone}/home/{user}/mine"
    user_session.collections.create(path)
    user_session.collections.remove(path, recurse=True, force=True)
    with pytest.raises(exception.CAT_NO_ACCESS_PERMISSION):
        user_session.collections.create(f"{home}/not-mine", recurse=False)
    with pytest.raises(exception.SYS_INVALID_INPUT_PARAM):
        user_session.collections.create(f"{home}/not-mine")
