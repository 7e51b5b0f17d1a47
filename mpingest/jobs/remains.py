"""Bundles under way, noted beside the manifests, and what is done about those of a run that was killed.

<run>/bundles/rankNNNNN.jsonl  earlier.jsonl

A rank notes a bundle before it is put and when it is over. What a killed run has begun and not ended is looked at when
the next one opens: the tar file is removed, and objects younger than it, in the directories that it was for, are
doubtful until a run has come to its end: they may have been extracted, but nobody has looked at them. A run does not
begin before that is known.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from mpingest.errors import MpingestError
from mpingest.handler.calls import User
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.retry import RetryPolicy
from mpingest.ingest.statuses import RequestError, Verdict
from mpingest.jobs.directory import RunDirectory, own_trouble

_EARLIER = "earlier.jsonl"
_GONE = (Verdict.ABSENT, Verdict.NO_COLLECTION)


@dataclass
class BundleNotes:
    """Those of one rank (see ``mpingest.ingest.bundles.Notes``). Safe for several threads. Raises CannotRecord."""

    run: RunDirectory
    rank: int
    _file: TextIO | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begun(self, tar: str, user: User | None, directories: Iterable[bytes]) -> None:
        """There will be a tar file, and objects of files in these directories (paths relative to the root)."""
        with self._lock, own_trouble():
            if self._file is None:
                self._file = _open_notes(self.run, f"rank{self.rank:05d}.jsonl")
            _write(self._file, _Begun(tar, user, sorted(directories)).to_json())
            os.fsync(self._file.fileno())

    def ended(self, tar: str) -> None:
        """The tar file is gone, and the objects are right."""
        with self._lock, own_trouble():
            assert self._file is not None, "it has begun"
            _write(self._file, {"ended": tar})

    def close(self) -> None:
        """Keep only what has not ended."""
        with self._lock, own_trouble():
            if self._file is not None:
                self._file.close()
                _keep(self._file.name, _read(self._file.name).begun)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A bundle: its tar file, whose that is (None for the user who runs the job), the directories of its members."""

    tar: str
    user: User | None
    directories: Sequence[bytes]

    def to_json(self) -> dict[str, Any]:
        return {"begun": self.tar, "user": self.user, "directories": [os.fsdecode(path) for path in self.directories]}

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> _Begun:
        user = (line["user"][0], line["user"][1]) if line["user"] else None
        return cls(line["begun"], user, [os.fsencode(path) for path in line["directories"]])


@dataclass
class _Remains:
    """begun: bundles not ended; doubts: by directory, the id above which objects are doubtful."""

    begun: list[_Begun] = field(default_factory=list)
    doubts: dict[bytes, int] = field(default_factory=dict)

    def add(self, other: _Remains) -> None:
        self.begun += other.begun
        for directory, above_id in other.doubts.items():
            self.doubt(directory, above_id)

    def doubt(self, directory: bytes, above_id: int) -> None:
        self.doubts[directory] = min(above_id, self.doubts.get(directory, above_id))


Catalogs = Callable[[User | None], Catalog]
"""The catalog of a user, None for the one who runs the job."""


def settle_remains(
    earlier: Sequence[RunDirectory], run: RunDirectory, catalog_of: Catalogs, retry: RetryPolicy, notes: list[str]
) -> dict[bytes, int]:
    """Remove tar files that earlier runs left; by directory, the id above which objects are doubtful.

    What is still to be known is in the notes of ``run`` before anything goes. notes: what the user should know.
    Raises MpingestError where that can't be told, CannotRecord, ZoneGone, Interrupted.
    """
    remains = _Remains()
    with own_trouble():
        for path in _files(earlier):
            remains.add(_read(path))
        if remains.begun or remains.doubts:
            with _open_notes(run, _EARLIER) as file:
                _take_over(remains, file, catalog_of, retry, notes)
        for one in earlier:
            shutil.rmtree(one.bundles, ignore_errors=True)
    return remains.doubts


def forget_remains(run: RunDirectory, catalog_of: Catalogs, notes: list[str]) -> None:
    """After a run that came to its end: nothing is doubtful any more.

    Tar files are looked for once more: a server may have come to one only after its client had died. What can't be
    removed stays noted. Raises CannotRecord.
    """
    with own_trouble():
        for path in _files([run]):
            begun = _read(path).begun
            _keep(path, [bundle for bundle in begun if not _remove(bundle, catalog_of(bundle.user), notes)])


def _take_over(remains: _Remains, file: TextIO, catalog_of: Catalogs, retry: RetryPolicy, notes: list[str]) -> None:
    for directory, above_id in remains.doubts.items():
        _write(file, _doubt_line([directory], above_id))
    for bundle in remains.begun:
        _write(file, bundle.to_json())
    for bundle in remains.begun:
        catalog = catalog_of(bundle.user)
        tar_id = _look(bundle, catalog, retry)
        if tar_id is None:
            continue
        for directory in bundle.directories:
            remains.doubt(directory, tar_id)
        _write(file, _doubt_line(bundle.directories, tar_id))
        os.fsync(file.fileno())
        _remove(bundle, catalog, notes)


def _look(bundle: _Begun, catalog: Catalog, retry: RetryPolicy) -> int | None:
    """The id of the tar file, None where there is none.

    Raises MpingestError where that can't be told, ZoneGone, Interrupted.
    """
    try:
        replicas = retry.run(lambda: catalog.replicas(bundle.tar))
    except RequestError as error:
        if error.verdict in _GONE:
            return None
        raise MpingestError(
            f"{bundle.tar}: what an unfinished bundle has left cannot be looked at: {error}; run the same line again"
        ) from error
    return replicas[0].object_id if replicas else None


def _remove(bundle: _Begun, catalog: Catalog, notes: list[str]) -> bool:
    """Whether the tar file is gone now."""
    try:
        catalog.unlink(bundle.tar, force=True)
        notes.append(f"removed what an unfinished bundle had left: {bundle.tar}")
    except RequestError as error:
        if error.verdict not in _GONE:
            notes.append(f"{bundle.tar}: what an unfinished bundle has left cannot be removed: {error}")
            return False
    return True


def _doubt_line(directories: Iterable[bytes], above_id: int) -> dict[str, Any]:
    return {"doubt": above_id, "directories": [os.fsdecode(path) for path in directories]}


def _files(runs: Iterable[RunDirectory]) -> Iterator[str]:
    for run in runs:
        if os.path.isdir(run.bundles):
            yield from (os.path.join(run.bundles, name) for name in sorted(os.listdir(run.bundles)))


def _open_notes(run: RunDirectory, name: str) -> TextIO:
    os.makedirs(run.bundles, mode=0o700, exist_ok=True)
    return open(os.path.join(run.bundles, name), "a", encoding="utf-8")


def _write(file: TextIO, line: dict[str, Any]) -> None:
    file.write(json.dumps(line) + "\n")
    file.flush()


def _read(path: str) -> _Remains:
    begun: dict[str, _Begun] = {}
    remains = _Remains()
    with open(path, encoding="utf-8") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                break  # the last one, cut off: what it tells of has not begun
            if "begun" in line:
                begun[line["begun"]] = _Begun.from_json(line)
            elif "ended" in line:
                begun.pop(line["ended"], None)
            else:
                for directory in line["directories"]:
                    remains.doubt(os.fsencode(directory), line["doubt"])
    remains.begun = list(begun.values())
    return remains


def _keep(path: str, begun: Iterable[_Begun]) -> None:
    lines = [bundle.to_json() for bundle in begun]
    if not lines:
        os.unlink(path)
        return
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        for line in lines:
            _write(file, line)
        os.fsync(file.fileno())
    os.replace(f"{path}.tmp", path)
