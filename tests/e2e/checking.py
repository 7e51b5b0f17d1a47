"""What the plain client finds in a zone, compared with what os.walk finds on disk: nothing of mpingest's own code."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from irods.column import Like
from irods.models import Collection, DataObject
from irods.session import iRODSSession


@dataclass(frozen=True)
class StoredObject:
    """One replica as the catalog has it."""

    size: int
    path: str
    status: str


def files_below(root: Path, follow_links: bool) -> dict[str, Path]:
    """Regular files and links by relative path. With ``follow_links``, only links that lead to a regular file."""
    return {str(path.relative_to(root)): path for path in _walk(root) if _counts(path, follow_links)}


def _walk(root: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(root):
        for name in names:
            yield Path(directory, name)
        for name in os.listdir(directory):
            path = Path(directory, name)
            if path.is_symlink() and path.is_dir():
                yield path


def _counts(path: Path, follow_links: bool) -> bool:
    mode = path.lstat().st_mode
    if follow_links:
        return path.is_file()
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def objects_below(session: iRODSSession, target: str) -> dict[str, StoredObject]:
    """Every data object at and below a collection, by path relative to it."""
    columns = (Collection.name, DataObject.name, DataObject.size, DataObject.path, DataObject.replica_status)
    found: dict[str, StoredObject] = {}
    for condition in (Collection.name == target, Like(Collection.name, f"{target}/%")):
        for row in session.query(*columns).filter(condition):
            logical = f"{row[Collection.name]}/{row[DataObject.name]}".removeprefix(f"{target}/")
            assert logical not in found, f"{logical} has two replicas"
            found[logical] = StoredObject(row[DataObject.size], row[DataObject.path], row[DataObject.replica_status])
    return found


def collections_below(session: iRODSSession, target: str) -> set[str]:
    """Every collection below ``target``, by path relative to it."""
    rows = session.query(Collection.name).filter(Like(Collection.name, f"{target}/%"))
    return {row[Collection.name].removeprefix(f"{target}/") for row in rows}


def directories_below(root: Path) -> set[str]:
    """Every directory below ``root``, by relative path."""
    return {
        str(Path(directory, name).relative_to(root))
        for directory, names, _ in os.walk(root)
        for name in names
        if not Path(directory, name).is_symlink()
    }


def assert_registered(session: iRODSSession, root: Path, target: str) -> int:
    """Every file and link is registered once, in place, with its size, and nothing else is; how many there are."""
    files = files_below(root, follow_links=False)
    expected = {name: StoredObject(path.lstat().st_size, str(path), "1") for name, path in files.items()}
    assert objects_below(session, target) == expected
    assert collections_below(session, target) == directories_below(root)
    return len(expected)


def assert_put(session: iRODSSession, root: Path, target: str) -> int:
    """Every file has an object with its bytes, and nothing else has; how many there are."""
    files = files_below(root, follow_links=True)
    objects = objects_below(session, target)
    assert {name: stored.size for name, stored in objects.items()} == {
        name: path.stat().st_size for name, path in files.items()
    }
    assert {stored.status for stored in objects.values()} <= {"1"}
    assert collections_below(session, target) == directories_below(root)
    for name, path in files.items():
        with session.data_objects.open(f"{target}/{name}", "r") as stored:
            assert stored.read() == path.read_bytes(), name
    return len(files)
