"""Logical names of what has none, and where files may be routed."""

from __future__ import annotations

import base64

import pytest

from mpingest.handler.charmap import CharacterMap
from mpingest.ingest.names import Naming, UnusableName
from mpingest.ingest.routes import routed_path

TARGET = "/zone/home/me"


def test_a_plain_name_is_just_below_the_target() -> None:
    name = Naming(b"/root", TARGET).of("dir/ü".encode())
    assert (name.path, name.avus, name.meta) == (f"{TARGET}/dir/ü", (), {})


def test_what_is_not_utf8_is_named_by_its_path_at_every_depth() -> None:
    name = Naming(b"/root", TARGET).of(b"a/b\xff/c")
    directory = base64.b64encode(b"/root/a/b\xff").decode().replace("/", "_")
    assert name.path == f"{TARGET}/a/irods_UnicodeEncodeError_{directory}/c"
    (avu,) = name.avus
    assert avu.attribute == "irods::automated_ingest::UnicodeEncodeError"
    assert base64.b64decode(avu.value) == b"/root/a/b\xff/c"


def test_no_slash_of_base64_gets_into_a_name() -> None:
    name = Naming(b"/", TARGET).of(b"\xff\xff\xff\xff\xff")
    assert name.path.count("/") == TARGET.count("/") + 1
    assert base64.b64decode(name.avus[0].value) == b"/\xff\xff\xff\xff\xff"


def test_the_map_applies_below_the_target_only() -> None:
    naming = Naming(b"/root", "/zone/home/a b", CharacterMap.of({" ": "_"}))
    assert naming.of(b"").path == "/zone/home/a b"
    name = naming.of(b"a b/plain")
    assert name.path == "/zone/home/a b/a_b-E4/plain"
    assert name.meta == {
        "b64_reason": "character_map",
        "b64_path_str_charmap": base64.b64encode(b"/root/a b/plain"),
    }


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(UnusableName, match="longer than the 1087 bytes"):
        Naming(b"/" + b"r" * 900, TARGET).of(b"\xff")


@pytest.mark.parametrize(
    ("collection", "expected"),
    [
        ("a/b", f"{TARGET}/a/b/file"),
        ("/zone/elsewhere//x/", "/zone/elsewhere/x/file"),
        ("a//b/", f"{TARGET}/a/b/file"),
    ],
)
def test_a_file_goes_where_the_handler_says(collection: str, expected: str) -> None:
    assert routed_path(TARGET, collection, "file") == expected


@pytest.mark.parametrize("collection", ["/other/x", "/zone", "/", "a/../../../other", ".", "/zone/./x"])
def test_a_file_never_leaves_the_zone(collection: str) -> None:
    with pytest.raises(UnusableName, match="no collection of zone zone"):
        routed_path(TARGET, collection, "file")
