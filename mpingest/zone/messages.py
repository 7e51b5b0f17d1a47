"""What requests carry, as data classes, and what replies are packed from."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mpingest.zone.pack import Element, PackError, leaf, pack, to_integer
from mpingest.zone.statuses import Status, ZoneError

MAX_COLUMNS = 50

Keywords = dict[str, str]


def read_keywords(element: Element) -> Keywords:
    """KeyValPair_PI of a struct, empty where it has none."""
    pairs = element.find("KeyValPair_PI")
    if pairs is None:
        return {}
    keys, values = pairs.strings("keyWord"), pairs.strings("svalue")
    if len(keys) != len(values):
        raise PackError("keywords and values differ in number")
    return dict(zip(keys, values, strict=True))


@dataclass(frozen=True, slots=True)
class ObjectInput:
    """DataObjInp_PI."""

    path: str
    create_mode: int
    open_flags: int
    offset: int
    size: int
    operation: int
    keywords: Keywords

    @classmethod
    def read(cls, element: Element) -> ObjectInput:
        """From its element."""
        return cls(
            element.string("objPath"),
            element.integer("createMode"),
            element.integer("openFlags"),
            element.integer("offset"),
            element.integer("dataSize"),
            element.integer("oprType"),
            read_keywords(element),
        )


@dataclass(frozen=True, slots=True)
class OpenedInput:
    """OpenedDataObjInp_PI."""

    descriptor: int
    length: int
    whence: int
    offset: int
    keywords: Keywords

    @classmethod
    def read(cls, element: Element) -> OpenedInput:
        """From its element."""
        return cls(
            element.integer("l1descInx"),
            element.integer("len"),
            element.integer("whence"),
            element.integer("offset"),
            read_keywords(element),
        )


@dataclass(frozen=True, slots=True)
class CollectionInput:
    """CollInpNew_PI."""

    path: str
    operation: int
    keywords: Keywords

    @classmethod
    def read(cls, element: Element) -> CollectionInput:
        """From its element."""
        return cls(element.string("collName"), element.integer("oprType"), read_keywords(element))


@dataclass(frozen=True, slots=True)
class CopyInput:
    """DataObjCopyInp_PI: source and destination."""

    source: ObjectInput
    destination: ObjectInput

    @classmethod
    def read(cls, element: Element) -> CopyInput:
        """From its element."""
        inputs = [ObjectInput.read(child) for child in element.children if child.tag == "DataObjInp_PI"]
        if len(inputs) != 2:
            raise PackError("a copy needs a source and a destination")
        return cls(*inputs)


@dataclass(frozen=True, slots=True)
class QueryInput:
    """GenQueryInp_PI. select: (column, flags); conditions: (column, text)."""

    max_rows: int
    statement: int
    offset: int
    options: int
    select: list[tuple[int, int]]
    conditions: list[tuple[int, str]]

    @classmethod
    def read(cls, element: Element) -> QueryInput:
        """From its element."""
        select, conditions = element.struct("InxIvalPair_PI"), element.struct("InxValPair_PI")
        columns, flags = select.integers("inx"), select.integers("ivalue")
        tested, texts = conditions.integers("inx"), conditions.strings("svalue")
        if len(columns) != len(flags) or len(tested) != len(texts) or len(columns) > MAX_COLUMNS:
            raise PackError("malformed query")
        return cls(
            element.integer("maxRows"),
            element.integer("continueInx"),
            element.integer("partialStartIndex"),
            element.integer("options"),
            list(zip(columns, flags, strict=True)),
            list(zip(tested, texts, strict=True)),
        )


@dataclass(frozen=True, slots=True)
class Arguments:
    """The structs that are ten strings, arg0 to arg9, missing ones empty."""

    values: tuple[str, ...]
    keywords: Keywords

    @classmethod
    def read(cls, element: Element) -> Arguments:
        """From its element."""
        return cls(tuple(element.string(f"arg{index}", "") for index in range(10)), read_keywords(element))


@dataclass(frozen=True, slots=True)
class AccessInput:
    """modAccessControlInp_PI."""

    recursive: bool
    level: str
    user: str
    zone: str
    path: str

    @classmethod
    def read(cls, element: Element) -> AccessInput:
        """From its element."""
        return cls(
            element.integer("recursiveFlag") != 0,
            element.string("accessLevel", ""),
            element.string("userName", ""),
            element.string("zone", ""),
            element.string("path"),
        )


@dataclass(frozen=True, slots=True)
class ModifyInput:
    """ModDataObjMeta_PI: which replica, and the columns to set."""

    path: str
    hierarchy: str
    replica: int
    data_id: int
    columns: Keywords
    keywords: Keywords

    @classmethod
    def read(cls, element: Element) -> ModifyInput:
        """From its element."""
        info = element.struct("DataObjInfo_PI")
        return cls(
            info.string("objPath"),
            info.string("rescHier", ""),
            info.integer("replNum"),
            info.integer("dataId"),
            read_keywords(element),
            read_keywords(info),
        )


@dataclass(frozen=True, slots=True)
class RowsInput:
    """GenQueryOut_PI as a request: columns by their number, each with one value a row."""

    count: int
    columns: dict[int, list[str]]

    @classmethod
    def read(cls, element: Element) -> RowsInput:
        """From its element."""
        count = element.integer("rowCnt")
        columns = {
            result.integer("attriInx"): result.strings("value")
            for result in element.children
            if result.tag == "SqlResult_PI" and result.integer("attriInx")
        }
        if any(len(values) != count for values in columns.values()):
            raise PackError("columns differ in length")
        return cls(count, columns)


def read_json(element: Element) -> Any:
    """The JSON in a BinBytesBuf_PI. Raises PackError or ZoneError."""
    try:
        return json.loads(base64.b64decode(element.string("buf")).rstrip(b"\0"))
    except (binascii.Error, ValueError, RecursionError):
        raise ZoneError(Status.INPUT_ARG_NOT_WELL_FORMED_ERR, "not base64 of JSON") from None


def read_json_object(element: Element) -> dict[str, Any]:
    """The JSON object in a BinBytesBuf_PI. Raises PackError or ZoneError."""
    value = read_json(element)
    if not isinstance(value, dict):
        raise ZoneError(Status.INPUT_ARG_NOT_WELL_FORMED_ERR, "not a JSON object")
    return value


def pack_json(value: Any) -> bytes:
    """BinBytesBuf_PI around JSON; ends in a zero byte, as C strings do."""
    text = json.dumps(value).encode() + b"\0"
    return pack("BinBytesBuf_PI", leaf("buflen", len(text)), leaf("buf", base64.b64encode(text).decode())).encode()


def pack_string(text: str) -> bytes:
    """STR_PI."""
    return pack("STR_PI", leaf("myStr", text)).encode()


def pack_error(status: int, text: str) -> bytes:
    """RError_PI with one message."""
    entry = pack("RErrMsg_PI", leaf("status", status), leaf("msg", text))
    return pack("RError_PI", leaf("count", 1), entry).encode()


def pack_rows(columns: Sequence[int], rows: Sequence[Sequence[str]], statement: int, total: int) -> bytes:
    """GenQueryOut_PI; all its columns are there, the unused ones empty."""
    width = max((len(value) for row in rows for value in row), default=0) + 1
    results = [
        pack("SqlResult_PI", leaf("attriInx", column), leaf("reslen", width), *(leaf("value", row[i]) for row in rows))
        for i, column in enumerate(columns)
    ]
    unused = pack("SqlResult_PI", leaf("attriInx", 0), leaf("reslen", 0)) * (MAX_COLUMNS - len(columns))
    return pack(
        "GenQueryOut_PI",
        leaf("rowCnt", len(rows)),
        leaf("attriCnt", len(columns)),
        leaf("continueInx", statement),
        leaf("totalRowCount", total),
        *results,
        unused,
    ).encode()


def keyword_integer(keywords: Keywords, name: str) -> int | None:
    """A keyword's number, None where it isn't there."""
    return to_integer(keywords[name]) if name in keywords else None
