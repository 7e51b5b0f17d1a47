"""Messages of requests, and what is read out of replies: XML, by rodsPackInstruct.h of the iRODS server.

Servers read fields by their place: all of them have to be there, in order.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from mpingest.ingest.wire import escape, pairs, unescape

SELECT_PLAIN, SELECT_COUNT = 1, 6

_PAGE_ROWS = 2000
"""Rows that a reply to a query holds at most: a whole bundle, and what came beside it."""
_RESULT = re.compile(
    r"<SqlResult_PI>\s*<attriInx>(\d+)</attriInx>\s*<reslen>\d+</reslen>(.*?)</SqlResult_PI>", re.DOTALL
)
_VALUE = re.compile(r"<value>(.*?)</value>", re.DOTALL)
_CONTINUE = re.compile(r"<continueInx>(-?\d+)</continueInx>")
_BINARY = re.compile(r"<buf>(.*?)</buf>", re.DOTALL)
_STRING = re.compile(r"<myStr>(.*?)</myStr>", re.DOTALL)


def object_message(path: str, keywords: dict[str, str], *, size: int = 0, flags: int = 0, operation: int = 0) -> str:
    """A DataObjInp_PI. size: bytes, -1 where that is not known; flags: of open(2)."""
    return (
        f"<DataObjInp_PI><objPath>{escape(path)}</objPath><createMode>420</createMode><openFlags>{flags}</openFlags>"
        f"<offset>0</offset><dataSize>{size}</dataSize><numThreads>0</numThreads><oprType>{operation}</oprType>"
        f"{pairs(keywords)}</DataObjInp_PI>"
    )


def collection_message(path: str, keywords: dict[str, str]) -> str:
    """A CollInpNew_PI."""
    return (
        f"<CollInpNew_PI><collName>{escape(path)}</collName><flags>0</flags><oprType>0</oprType>"
        f"{pairs(keywords)}</CollInpNew_PI>"
    )


def opened_message(descriptor: int, length: int, offset: int = 0) -> str:
    """An OpenedDataObjInp_PI, about the next ``length`` bytes or the byte ``offset`` of an open object."""
    return (
        f"<OpenedDataObjInp_PI><l1descInx>{descriptor}</l1descInx><len>{length}</len><whence>0</whence>"
        f"<oprType>0</oprType><offset>{offset}</offset><bytesWritten>0</bytesWritten>{pairs({})}</OpenedDataObjInp_PI>"
    )


def extract_message(path: str, collection: str, keywords: dict[str, str]) -> str:
    """A StructFileExtAndRegInp_PI: the archive ``path`` is to become the content of ``collection``."""
    return (
        f"<StructFileExtAndRegInp_PI><objPath>{escape(path)}</objPath><collection>{escape(collection)}</collection>"
        f"<oprType>0</oprType><flags>0</flags>{pairs(keywords)}</StructFileExtAndRegInp_PI>"
    )


def change_message(path: str, replica: int, changes: dict[str, str]) -> str:
    """A ModDataObjMeta_PI."""
    info = (
        f"<DataObjInfo_PI><objPath>{escape(path)}</objPath><rescName></rescName><rescHier></rescHier>"
        "<dataType></dataType><dataSize>0</dataSize><chksum></chksum><version></version><filePath></filePath>"
        f"<dataOwnerName></dataOwnerName><dataOwnerZone></dataOwnerZone><replNum>{replica}</replNum>"
        "<replStatus>0</replStatus><statusString></statusString><dataId>0</dataId><collId>0</collId>"
        "<dataMapId>0</dataMapId><flags>0</flags><dataComments></dataComments><dataMode></dataMode>"
        "<dataExpiry></dataExpiry><dataCreate></dataCreate><dataModify></dataModify><dataAccess></dataAccess>"
        "<dataAccessInx>0</dataAccessInx><writeFlag>0</writeFlag><destRescName></destRescName>"
        "<backupRescName></backupRescName><subPath></subPath><specColl>0</specColl><regUid>0</regUid>"
        f"<otherFlags>0</otherFlags>{pairs({})}<in_pdmo></in_pdmo><next>0</next><rescId>0</rescId>"
        "<dataAccessTime></dataAccessTime></DataObjInfo_PI>"
    )
    return f"<ModDataObjMeta_PI>{info}{pairs(changes)}</ModDataObjMeta_PI>"


def json_message(content: dict[str, Any]) -> str:
    """A BinBytesBuf_PI, which XML carries in base64."""
    text = json.dumps(content).encode()
    return f"<BinBytesBuf_PI><buflen>{len(text)}</buflen><buf>{base64.b64encode(text).decode()}</buf></BinBytesBuf_PI>"


def query_message(
    columns: Sequence[int], conditions: dict[int, str], continuation: int = 0, selector: int = SELECT_PLAIN
) -> str:
    """A GenQueryInp_PI. conditions: see ``equals`` and ``above``, by column."""
    selected = "".join(f"<inx>{column}</inx>" for column in columns) + f"<ivalue>{selector}</ivalue>" * len(columns)
    conditioned = "".join(f"<inx>{column}</inx>" for column in conditions)
    values = "".join(f"<svalue>{escape(condition)}</svalue>" for condition in conditions.values())
    return (
        f"<GenQueryInp_PI><maxRows>{_PAGE_ROWS}</maxRows><continueInx>{continuation}</continueInx>"
        f"<partialStartIndex>0</partialStartIndex><options>0</options>{pairs({})}"
        f"<InxIvalPair_PI><iiLen>{len(columns)}</iiLen>{selected}</InxIvalPair_PI>"
        f"<InxValPair_PI><isLen>{len(conditions)}</isLen>{conditioned}{values}</InxValPair_PI></GenQueryInp_PI>"
    )


def equals(value: str) -> str:
    """A condition on a column."""
    # The server takes what stands between the first quote and the last: quotes inside are fine.
    return f"= '{value}'"


def above(number: int) -> str:
    """A condition on a column of numbers."""
    return f"> '{number}'"


def page_of(message: bytes, columns: Sequence[int]) -> tuple[Iterator[tuple[str, ...]], int]:
    """The rows of a GenQueryOut_PI, and what to continue with, 0 or less for nothing."""
    text = message.decode(errors="surrogateescape")
    values = {int(column): _VALUE.findall(found) for column, found in _RESULT.findall(text)}
    rows = zip(*(map(unescape, values[column]) for column in columns), strict=True)
    following = _CONTINUE.search(text)
    return rows, int(following[1]) if following else 0


def binary_content(message: bytes) -> bytes:
    """What a BinBytesBuf_PI holds."""
    match = _BINARY.search(message.decode())
    return base64.b64decode(match[1]).rstrip(b"\0") if match else b""


def string_of(message: bytes) -> str:
    """What a STR_PI holds."""
    match = _STRING.search(message.decode())
    return unescape(match[1]) if match else ""
