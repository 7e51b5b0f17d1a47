"""Bundles: many small new files sent as one tar file, which the server extracts and registers.

A bundle is four requests, and one more for its content: the tar file is put, extracted, its members are listed, the
content of the last one is compared, the tar file is removed. Nothing is believed that the listing doesn't say, and a
vault that fills up leaves members of the right size with zeros in them, of which the last one tells. Whatever of a
bundle didn't come out right is left to requests of its own. An object that is there is never overwritten by a bundle.

The tar file lies in the collection that its members go to, or in the one above all of theirs, so that nobody can read
it who may not read them. It is noted before it is put: a run that is killed leaves it, and the next one finds it.
"""

from __future__ import annotations

import itertools
import os
import posixpath
import stat
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mpingest.handler.calls import User
from mpingest.ingest.actions import Situation
from mpingest.ingest.archive import Archive, Member
from mpingest.ingest.bundle_mode import BundleMode
from mpingest.ingest.catalog import Catalog, Replica
from mpingest.ingest.checksums import is_of, is_of_file, is_sha2
from mpingest.ingest.entry import REFUSALS, EntryIngestor, Result, changed_meanwhile, failed
from mpingest.ingest.kinds import is_unchanged
from mpingest.ingest.register import NANOSECONDS
from mpingest.ingest.retry import Interrupted
from mpingest.ingest.statuses import RequestError, Verdict
from mpingest.ingest.subject import UnusableUser
from mpingest.manifest.states import Outcome
from mpingest.scan.entries import TYPE_BITS

MOST_FILES = 1000
MOST_BYTES = 64 * 1024 * 1024
LARGEST_FILE = 4 * 1024 * 1024
LEAST_FILES = 5
"""From so many on a bundle is fewer requests, and, by measurement, half the server's work of single puts."""

_LONGEST_PATH = 800
"""Bytes of a member's path and the tar file's name together: servers cut the path of what they extract at 1,087."""
_MOST_FAILURES = 3
"""Bundles that fail in a row before a rank makes no more."""
_PREFIX = ".mpingest-bundle-"


class Notes(Protocol):
    """Where bundles under way are noted, so that what a killed run leaves is found."""

    def begun(self, tar: str, user: User | None, directories: Iterable[bytes]) -> None:
        """There will be a tar file, and objects of files in these directories (paths relative to the root)."""

    def ended(self, tar: str) -> None:
        """The tar file is gone, and the objects are right."""


@dataclass(frozen=True, slots=True)
class File:
    """relative: its path from the root; row: its lstat."""

    relative: bytes
    row: np.void


Answer = Result | Situation
"""What became of a file; or that it is to be sent alone, and what is known of its object."""


@dataclass
class Room:
    """What a bundle still holds."""

    files: int = MOST_FILES
    size: int = MOST_BYTES

    def take(self, files: int, size: int) -> bool:
        """Whether there is room for so many files of ``size`` bytes; if so, it is taken."""
        if files > self.files or size > self.size:
            return False
        self.files -= files
        self.size -= size
        return True


def portions(
    indices: npt.NDArray[np.intp],
    sizes: npt.NDArray[np.int64],
    most_files: int = MOST_FILES,
    most_bytes: int = MOST_BYTES,
) -> Iterator[npt.NDArray[np.intp]]:
    """Cut entries into what a bundle holds, or as much as is said. indices: shape (n,); sizes: bytes of all entries."""
    while len(indices):
        room = int(np.searchsorted(np.cumsum(sizes[indices]), most_bytes, "right"))
        count = max(1, min(most_files, room))
        yield indices[:count]
        indices = indices[count:]


@dataclass
class Bundler:
    """Makes the bundles of a rank. Safe for several threads.

    stem: what the names of its tar files begin with
    """

    ingestor: EntryIngestor
    mode: BundleMode
    notes: Notes
    stem: str
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _youngest: int = 0
    """The highest id of an object that was seen: those of a bundle that begins now will be higher."""
    _failures: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_on(self) -> bool:
        """Whether bundles are made at all."""
        handler = self.ingestor.handler
        return (
            self.mode is not BundleMode.NEVER
            and self._failures < _MOST_FAILURES
            and not handler.wants_single_puts
            and (handler.has("operation") or handler.defaults.operation.sends_content)
        )

    def fitting(self, rows: npt.NDArray[np.void], situations: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """Which entries may go in a bundle: small new regular files. shapes (n,)."""
        regular = rows["mode"] & TYPE_BITS == stat.S_IFREG
        return regular & (rows["size"] <= LARGEST_FILE) & (situations == Situation.ABSENT) & self.is_on  # type: ignore[no-any-return]

    def pays(self, files: int) -> bool:
        """Whether a bundle of so many is to be made."""
        return self.is_on and files >= (1 if self.mode is BundleMode.ALWAYS else LEAST_FILES)

    def ingest(self, files: Sequence[File], *, fresh: bool) -> list[Answer]:
        """Send files of one directory, or, where their collections are ``fresh``, of several.

        fresh: this run has made the collections. Raises ZoneGone, Interrupted, nothing else.
        """
        answers: list[Answer] = [Situation.ABSENT] * len(files)
        for (user, resource), places in self._groups(files).items():
            if not self.pays(len(places)):
                continue
            chosen = [files[place] for place in places]
            with suppress(UnusableUser), self.ingestor.subjects.catalog_of(user) as catalog:
                bundle = self._bundle(catalog, chosen, user, resource, fresh=fresh)
                for place, answer in zip(places, bundle.send(), strict=True):
                    answers[place] = answer
                self._learn(bundle)
        return answers

    def _groups(self, files: Sequence[File]) -> dict[tuple[User | None, str | None], list[int]]:
        """Places of those that can go together, by user and resource."""
        groups = defaultdict(list)
        for place, file in enumerate(files):
            try:
                if (group := self._group(file)) is not None:
                    groups[group].append(place)
            except REFUSALS:
                continue  # it is refused again, and then reported, when it is sent alone
        return groups

    def _group(self, file: File) -> tuple[User | None, str | None] | None:
        ingestor = self.ingestor
        name = ingestor.subjects.naming.of(file.relative)
        if name.reason or len(name.path.encode()) + len(self.stem) > _LONGEST_PATH:
            return None
        if ingestor.handler.module is None:
            return ingestor.handler.defaults.user, ingestor.resource(None)
        return ingestor.subjects.work_on(
            file.relative,
            file.row,
            lambda entry: (
                (ingestor.handler.as_user(entry.meta), ingestor.resource_of(entry))
                if ingestor.handler.operation(entry.session, entry.meta).sends_content
                else None
            ),
        )

    def _bundle(
        self, catalog: Catalog, files: Sequence[File], user: User | None, resource: str | None, *, fresh: bool
    ) -> _Bundle:
        naming = self.ingestor.subjects.naming
        directories = {os.path.dirname(file.relative) for file in files}
        collection = naming.of(os.path.commonpath(directories)).path
        paths = [naming.of(file.relative).path for file in files]
        members = [
            Member(self.ingestor.subjects.path(file.relative), file.row, path.removeprefix(f"{collection}/"))
            for file, path in zip(files, paths, strict=True)
        ]
        tar = f"{collection}/{self.stem}-{next(self._numbers)}.tar"
        youngest = self._youngest
        return _Bundle(
            self.ingestor, catalog, self.notes, members, collection, directories, tar, user, resource, fresh, youngest
        )

    def _learn(self, bundle: _Bundle) -> None:
        with self._lock:
            self._youngest = max(self._youngest, bundle.youngest)
            self._failures = 0 if bundle.came_out else self._failures + 1
            if bundle.is_distrusted:
                self._failures = _MOST_FAILURES
            if self._failures == _MOST_FAILURES:
                self.ingestor.logger.warning("no more bundles", reason="they fail here: files are put one by one")


class _NoNotes:
    def begun(self, tar: str, user: User | None, directories: Iterable[bytes]) -> None:
        raise AssertionError("nothing is sent")

    def ended(self, tar: str) -> None:
        raise AssertionError("nothing is sent")


def no_bundles(ingestor: EntryIngestor) -> Bundler:
    """Makes none."""
    return Bundler(ingestor, BundleMode.NEVER, _NoNotes(), "")


def bundle_stem(job: str, run: int, rank: int) -> str:
    """What the names of a rank's tar files begin with."""
    return f"{_PREFIX}{job}-{run}-{rank}"


@dataclass
class _Bundle:
    """One bundle on its way.

    directories: of the members, relative to the root; tar: path of the tar file
    youngest: the highest id of an object that was seen, 0 for unknown
    """

    ingestor: EntryIngestor
    catalog: Catalog
    notes: Notes
    members: Sequence[Member]
    collection: str
    directories: set[bytes]
    tar: str
    user: User | None
    resource: str | None
    fresh: bool
    youngest: int
    came_out: bool = False
    """Whether the server made any object of it."""
    is_distrusted: bool = False
    """Whether a member had its size, but not its content."""

    def send(self) -> list[Answer]:
        """What became of each member."""
        retry = self.ingestor.retry
        archive = Archive(self.members, self.ingestor.options.checksum, self._keep_on)
        self.notes.begun(self.tar, self.user, self.directories)
        try:
            retry.run(lambda: self.catalog.put_archive(self.tar, archive.stream(), self.resource))
        except RequestError as error:
            self._log("not put", error)
            self._remove()
            return [Situation.ABSENT] * len(self.members)
        try:
            self._keep_on()
        except Interrupted:
            self._remove()
            raise
        try:
            above_id = self._horizon()
        except RequestError as error:
            self._log("not extracted", error)
            self._remove()
            return [Situation.ABSENT] * len(self.members)
        self._extract()
        answers = self._answers(archive, above_id)
        self._remove()
        return answers

    def _keep_on(self) -> None:
        """Raises Interrupted once the run ends."""
        if self.ingestor.retry.ending.is_set():
            raise Interrupted

    def _horizon(self) -> int:
        """An id that all members' will be above; 0 where the collections hold nothing else."""
        if self.youngest or self.fresh:
            return self.youngest
        replicas = self.ingestor.retry.run(lambda: self.catalog.replicas(self.tar))
        return max((replica.object_id for replica in replicas), default=0)

    def _extract(self) -> None:
        try:
            # Not tried again: where the reply got lost, the server may be at it still.
            self.catalog.extract(self.tar, self.collection, len(self.members))
        except RequestError as error:
            self._log("not all extracted", error)

    def _answers(self, archive: Archive, above_id: int) -> list[Answer]:
        try:
            listed = self._listed(above_id)
        except RequestError as error:
            self._log("not listed", error)
            return [Situation.FOUND if self.fresh else Situation.ABSENT] * len(self.members)
        found = [listed.get(self._logical(member)) for member in self.members]
        answers: list[Answer] = [Situation.ABSENT if sizes is None else Situation.FOUND for sizes in found]
        whole = [place for place in sorted(archive.taken) if self.members[place].size in (found[place] or ())]
        self.came_out = bool(whole) or not archive.taken
        for place in self._proven(archive, whole):
            answers[place] = self._result(self.members[place])
        return answers

    def _listed(self, above_id: int) -> dict[str, set[int]]:
        """Sizes of the good replicas of each new object, by logical path."""
        sizes: dict[str, set[int]] = {}
        for collection in sorted({posixpath.dirname(self._logical(member)) for member in self.members}):
            for replica in self.ingestor.retry.run(partial(self._list, collection, above_id)):
                self.youngest = max(self.youngest, replica.object_id)
                known = sizes.setdefault(f"{collection}/{replica.name}", set())
                known |= {replica.size} if replica.good else set()
        return sizes

    def _list(self, collection: str, above_id: int) -> list[Replica]:
        return list(self.catalog.listing(collection, above_id=above_id))

    def _proven(self, archive: Archive, whole: list[int]) -> Iterable[int]:
        """Those whose content is right, as far as that is to be known."""
        if self.ingestor.options.checksum or not self._last_is_right(archive, whole):
            return [place for place in whole if self._is_right(place, archive)]
        return whole

    def _last_is_right(self, archive: Archive, whole: list[int]) -> bool:
        if archive.last is None or archive.last[0] not in whole:
            return not whole or archive.last is None
        place, content = archive.last
        stored = self._checksum(self.members[place])
        self.is_distrusted = not is_of(stored, content)
        if self.is_distrusted:
            reason = "objects do not hold what was sent: is the resource full?"
            self.ingestor.logger.error("bundle distrusted", tar=self.tar, reason=reason)
        return not self.is_distrusted

    def _is_right(self, place: int, archive: Archive) -> bool:
        """Whether the server, when it reads the object, finds what was sent."""
        member = self.members[place]
        stored = self._checksum(member)
        if place in archive.sums and is_sha2(stored):
            return stored == archive.sums[place]
        return is_of_file(stored, member.path)

    def _checksum(self, member: Member) -> str:
        try:
            return self.ingestor.retry.run(lambda: self.catalog.checksum(self._logical(member)))
        except RequestError:
            return ""

    def _result(self, member: Member) -> Result:
        if self.ingestor.options.preserve_mtime:
            try:
                mtime = int(member.row["mtime_ns"]) // NANOSECONDS
                self.ingestor.retry.run(lambda: self.catalog.set_mtime(self._logical(member), mtime))
            except RequestError as error:
                return failed(error)
        result = Result(Outcome.DONE, sent=member.size)
        return result if is_unchanged(member.path, member.row) else changed_meanwhile(result)

    def _logical(self, member: Member) -> str:
        return f"{self.collection}/{member.name}"

    def _remove(self) -> None:
        """Remove the tar file, into no trash; where that fails, the next run does it."""
        try:
            self.ingestor.retry.run(lambda: self.catalog.unlink(self.tar, force=True))
        except RequestError as error:
            if error.verdict not in (Verdict.ABSENT, Verdict.NO_COLLECTION):
                self._log("not removed", error)
                return
        self.notes.ended(self.tar)

    def _log(self, what: str, error: RequestError) -> None:
        self.ingestor.logger.warning(f"bundle {what}", tar=self.tar, reason=str(error))
