"""Whether a zone holds what it should: by the plain client, os.walk and the journal of the tree alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from irods.column import Like
from irods.exception import iRODSException
from irods.models import Collection, DataObject
from irods.session import iRODSSession

from tests.e2e.checking import collections_below, directories_below, files_below

from .scenario import Scenario
from .tree import History

GOOD = "1"
COMPLETE = (0, 3)
"""Exit codes of runs that came to their end."""


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    failures: code and reason by path; unsettled: files of which it says that they changed while it was at them;
    both of a run that came to its end
    """

    code: int
    said: str
    errors: str
    failures: Mapping[str, tuple[int, str]]
    unsettled: int

    @property
    def is_complete(self) -> bool:
        """Whether it came to its end."""
        return self.code in COMPLETE

    @property
    def failed(self) -> frozenset[str]:
        """Files and directories that it could do nothing about."""
        return frozenset(self.failures)


@dataclass(frozen=True)
class Replica:
    """As the catalog has it. mtime: seconds since the epoch"""

    name: str
    size: int
    path: str
    status: str
    mtime: int


@dataclass(frozen=True)
class Verdict:
    """problems: what is not as it should be, a line each

    left_over: objects and collections of what was there, and that only runs can have seen that did not come to an end
    """

    problems: list[str]
    left_over: list[str]

    @classmethod
    def of(
        cls,
        session: iRODSSession,
        scenario: Scenario,
        root: Path,
        target: str,
        history: History,
        ended: Sequence[Ended],
        *,
        contents: bool,
        failed: frozenset[str],
    ) -> Verdict:
        """contents: every object is read; failed: files, and directories with all below, that need not be right."""
        inspection = _Inspection(session, scenario, root, target, history, ended, failed)
        replicas = list(inspection.replicas())
        objects = {replica.name: replica for replica in replicas}
        files = files_below(root, follow_links=False)
        problems = [
            *(f"{name} is there {count} times" for name, count in _repeated(replica.name for replica in replicas)),
            *(f"{path} is registered {count} times" for path, count in _repeated(replica.path for replica in replicas)),
            *inspection.of_files(files, objects),
        ]
        if contents:
            problems += inspection.of_contents(files, objects)
        left_over = sorted(objects.keys() - files.keys()) + inspection.collections_left()
        for name in left_over:
            problems += inspection.of_left_over(name, over=contents)
        return cls(problems, left_over if scenario.deletes else [])


@dataclass(frozen=True)
class _Inspection:
    """See ``Verdict.of``."""

    session: iRODSSession
    scenario: Scenario
    root: Path
    target: str
    history: History
    ended: Sequence[Ended]
    failed: frozenset[str]

    def replicas(self) -> Iterator[Replica]:
        """All below the target."""
        columns = (
            Collection.name,
            DataObject.name,
            DataObject.size,
            DataObject.path,
            DataObject.replica_status,
            DataObject.modify_time,
        )
        for condition in (Collection.name == self.target, Like(Collection.name, f"{self.target}/%")):
            for row in self.session.query(*columns).filter(condition):
                logical = f"{row[Collection.name]}/{row[DataObject.name]}".removeprefix(f"{self.target}/")
                mtime = int(row[DataObject.modify_time].timestamp())
                size, path, status = (row[column] for column in columns[2:5])
                yield Replica(logical, size, path, status, mtime)

    def of_files(self, files: Mapping[str, Path], objects: Mapping[str, Replica]) -> Iterator[str]:
        """What is wrong with the objects of files, by what the catalog says."""
        for name, path in files.items():
            if self._has_failed(name):
                continue
            replica = objects.get(name)
            if replica is None:
                yield f"{name} is missing"
                continue
            status = path.lstat()
            if replica.status != GOOD:
                yield f"{name} has the status {replica.status}"
            if self._is_to_be_as_now(name) and replica.size != status.st_size:
                yield f"{name} has {replica.size} bytes, not {status.st_size}"
            if not self.scenario.sends_content and (replica.path, replica.mtime) != (str(path), int(status.st_mtime)):
                yield f"{name} is registered as {replica.path} of {replica.mtime}, not {int(status.st_mtime)}"
            keeps_mtime = "--preserve-mtime" in self.scenario.options and self._is_to_be_as_now(name)
            if keeps_mtime and replica.mtime != int(status.st_mtime):
                yield f"{name} is of {replica.mtime}, not {int(status.st_mtime)}"
        for name in sorted(directories_below(self.root) - collections_below(self.session, self.target)):
            if not self._has_failed(name):
                yield f"there is no collection {name}"

    def of_contents(self, files: Mapping[str, Path], objects: Mapping[str, Replica]) -> Iterator[str]:
        """What is wrong with what is read from objects."""
        for name in sorted(files.keys() & objects.keys()):
            try:
                with self.session.data_objects.open(f"{self.target}/{name}", "r") as stored:
                    digest = hashlib.sha256(stored.read()).hexdigest()
            except iRODSException as error:
                yield f"{name} cannot be read: {error!r}"
                continue
            if digest not in self.history.digests(name):
                yield f"{name} has a content that the file never had"
            elif self._is_to_be_as_now(name) and digest != hashlib.sha256(files[name].read_bytes()).hexdigest():
                yield f"{name} has a content that the file had before"

    def collections_left(self) -> list[str]:
        """Those without a directory."""
        return sorted(collections_below(self.session, self.target) - directories_below(self.root))

    def of_left_over(self, name: str, *, over: bool) -> Iterator[str]:
        """What is wrong with an object or collection without a file or directory. over: whatever is to go has gone.

        What stays after its file has gone moves with its collection where a directory above is renamed, and so gets a
        name that its file never had.
        """
        if self._was_there(name):
            if over and self.scenario.deletes and any(map(self._was_recorded, self._files_below(name))):
                yield f"{name} is still there"
            return
        earlier = next(filter(self._was_there, self._moved_along(name)), None)
        if earlier is None:
            yield f"{name} never was there"
        elif over and self.scenario.deletes and any(map(self._was_sure_to_go, self._files_below(earlier))):
            yield f"{name} is still there, of {earlier}"

    def _moved_along(self, name: str) -> list[str]:
        return self.history.earlier_names(name) if "--detect-renames" in self.scenario.options else []

    def _was_there(self, name: str) -> bool:
        return name in self.history.entries or name in self.history.directories()

    def _files_below(self, name: str) -> list[str]:
        return [file for file in self.history.entries if file == name or file.startswith(f"{name}/")]

    def _has_failed(self, name: str) -> bool:
        return bool(self.failed & {name, *map(str, Path(name).parents)})

    def _is_to_be_as_now(self, name: str) -> bool:
        """Whether an object is to be what the file is. With put, only what changed while it was ingested."""
        if self.scenario.operation != "put":
            return True
        runs = self.history.runs_of_look_backs(name)
        return runs is not None and all(self.ended[run].is_complete for run in runs)

    def _was_recorded(self, name: str) -> bool:
        """Whether a run came to its end while the file was there, and it didn't fail then."""
        lifetime = self.history.lifetime(name)
        if lifetime is None:
            return False
        born, gone = lifetime
        runs = range(born.run + born.during, gone.run)
        return any(self.ended[run].is_complete and not self.ended[run].failed for run in runs)

    def _was_sure_to_go(self, name: str) -> bool:
        """Whether it was recorded, and no run since can have moved its object without recording that."""
        lifetime = self.history.lifetime(name)
        if lifetime is None or not self._was_recorded(name):
            return False
        return all(ended.is_complete for ended in self.ended[lifetime[1].run :])


def _repeated(names: Iterator[str]) -> list[tuple[str, int]]:
    return [(name, count) for name, count in Counter(names).items() if count > 1]
