"""Requests and replies over a connection of the real client, without its exceptions: statuses stay numbers."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irods.message import (
    CollectionRequest,
    FileOpenRequest,
    JSON_Message,
    Message,
    ObjCopyRequest,
    OpenedDataObjRequest,
    StringStringMap,
    iRODSMessage,
)
from irods.session import iRODSSession


@dataclass(frozen=True)
class Reply:
    status: int
    message: bytes
    error: bytes
    stream: bytes

    def json(self) -> Any:
        return json.loads(base64.b64decode(self.message.split(b"<buf>")[1].split(b"</buf>")[0]).rstrip(b"\0"))

    def text(self, tag: str) -> str:
        return self.message.split(f"<{tag}>".encode())[1].split(f"</{tag}>".encode())[0].decode()


class Wire:
    """One connection."""

    def __init__(self, session: iRODSSession) -> None:
        self.connection = session.pool.get_connection()

    def send(self, api: int, message: Message | None, stream: bytes = b"") -> None:
        self.connection.socket.sendall(iRODSMessage("RODS_API_REQ", msg=message, bs=stream, int_info=api).pack())

    def receive(self) -> Reply:
        reply = iRODSMessage.recv(self.connection.socket)
        return Reply(reply.int_info, reply.msg or b"", reply.error or b"", reply.bs or b"")

    def call(self, api: int, message: Message | None, stream: bytes = b"") -> Reply:
        self.send(api, message, stream)
        return self.receive()

    def drop(self) -> None:
        """Break off, as a client that dies does."""
        self.connection.socket.close()


def make_session(environment: Path | str, **options: Any) -> iRODSSession:
    session = iRODSSession(irods_env_file=str(environment), **options)
    session.connection_timeout = 60
    return session


def object_input(path: str, *, size: int = 0, flags: int = 0, operation: int = 0, **keywords: str) -> Message:
    return FileOpenRequest(
        objPath=path,
        createMode=0o644,
        openFlags=flags,
        offset=0,
        dataSize=size,
        numThreads=0,
        oprType=operation,
        KeyValPair_PI=StringStringMap(keywords),
    )


def opened_input(descriptor: int, *, length: int = 0, whence: int = 0, offset: int = 0) -> Message:
    return OpenedDataObjRequest(
        l1descInx=descriptor,
        len=length,
        whence=whence,
        oprType=0,
        offset=offset,
        bytesWritten=0,
        KeyValPair_PI=StringStringMap(),
    )


def collection_input(path: str, *, operation: int = 0, **keywords: str) -> Message:
    return CollectionRequest(collName=path, flags=0, oprType=operation, KeyValPair_PI=StringStringMap(keywords))


def copy_input(source: str, target: str, operation: int) -> Message:
    return ObjCopyRequest(
        srcDataObjInp_PI=object_input(source, operation=operation),
        destDataObjInp_PI=object_input(target, operation=operation),
    )


def json_input(**values: Any) -> Message:
    return JSON_Message(values, (5, 0, 0))
