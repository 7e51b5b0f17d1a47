"""Files of replicas: where they lie in a vault, their making, removal and checksums."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from mpingest.zone.statuses import Status, ZoneError, file_error

_CHUNK = 1 << 20
_SHA256 = "sha2:"


def vault_path(vault: str, logical_path: str) -> str:
    """Where a new replica of a logical path goes: below the vault, without the zone. Raises ZoneError."""
    relative = logical_path.split("/")[2:]
    if not relative or any(part in {"", ".", ".."} for part in relative):
        raise ZoneError(Status.USER_INPUT_PATH_ERR, "not a path that a vault can hold")
    return "/".join((vault.rstrip("/"), *relative))


def create_file(path: str) -> tuple[str, int]:
    """Make an empty file, under another name where that one is taken; its path and descriptor, open for both."""
    candidate = path
    while True:
        try:
            return candidate, os.open(candidate, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            candidate = f"{path}.{secrets.randbelow(1 << 32)}"
        except FileNotFoundError:
            _make_directory(os.path.dirname(candidate))
        except OSError as error:
            raise file_error(Status.UNIX_FILE_CREATE_ERR, error) from None


def link_file(path: str, wanted: str) -> str:
    """Give a file a second name in the vault, another one where that is taken; the name it got."""
    candidate = wanted
    while True:
        try:
            os.link(path, candidate)
        except FileExistsError:
            candidate = f"{wanted}.{secrets.randbelow(1 << 32)}"
        except FileNotFoundError:
            _make_directory(os.path.dirname(candidate))
        except OSError as error:
            raise file_error(Status.UNIX_FILE_RENAME_ERR, error) from None
        else:
            return candidate


def open_file(path: str, flags: int) -> int:
    """A descriptor of an existing file."""
    try:
        return os.open(path, flags | os.O_CLOEXEC)
    except OSError as error:
        raise file_error(Status.UNIX_FILE_OPEN_ERR, error) from None


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything at the descriptor's position."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(descriptor, view) :]
    except OSError as error:
        raise file_error(Status.UNIX_FILE_WRITE_ERR, error) from None


def copy_content(path: str, descriptor: int) -> None:
    """Write a file's content to a descriptor. Raises OSError."""
    with open(path, "rb") as source, open(descriptor, "wb", closefd=False) as target:
        shutil.copyfileobj(source, target, _CHUNK)


def remove_files(paths: Iterable[str]) -> None:
    """Remove files that no replica has any more, after the commit; those that are gone already are fine."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)


def file_size(path: str) -> int:
    """Size of a regular file in bytes. Raises ZoneError."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        raise file_error(Status.UNIX_FILE_STAT_ERR, _as_os_error(error)) from None
    if not os.path.isfile(path):
        raise ZoneError(Status.SYS_PATH_IS_NOT_A_FILE)
    return status.st_size


def size_or_none(path: str) -> int | None:
    """Size of a file, None where there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def checksum(path: str, like: str = "") -> str:
    """SHA-256 as ``sha2:`` and base64, or MD5 in hexadecimal where ``like`` is one. Raises ZoneError."""
    md5 = bool(like) and not like.startswith(_SHA256)
    digest = hashlib.md5() if md5 else hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise file_error(Status.UNIX_FILE_OPEN_ERR, error) from None
    return digest.hexdigest() if md5 else _SHA256 + base64.b64encode(digest.digest()).decode()


def _make_directory(path: str) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise file_error(Status.UNIX_FILE_MKDIR_ERR, error) from None


def _as_os_error(error: OSError | ValueError) -> OSError:
    return error if isinstance(error, OSError) else OSError(22, str(error))
