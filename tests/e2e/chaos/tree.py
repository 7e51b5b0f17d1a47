"""A tree that changes, and a journal of every content that each of its files ever had.

The journal has a JSON line for each change, written before it is made, by whatever process makes it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random

DIRECTORIES = ("", "plain", "plain/below", "with space", "quote's", "per%cent", "umlaut-ä", "a/b/c/d")
LARGEST = 9_000


@dataclass(frozen=True)
class Entry:
    """A file has this content from here on.

    digest: None where it is gone; source: its name before, or ""
    run: number of the run, from 0, before or during which that was; look_back: just before mpingest looked back at it
    """

    name: str
    digest: str | None
    run: int
    during: bool = False
    look_back: bool = False
    source: str = ""


@dataclass(frozen=True)
class Moved:
    """A directory has another name from here on."""

    was: str
    now: str

    def before(self, name: str) -> str:
        """What had the name of something then, before that."""
        return self.was + name.removeprefix(self.now) if name.startswith(f"{self.now}/") else name


@dataclass(frozen=True)
class Tree:
    """The files of a job. run, during: when what is changed now is changed."""

    root: Path
    journal: Path
    run: int
    during: bool = False

    def names(self) -> list[str]:
        """Of all files."""
        found = (Path(parent, name) for parent, _, names in os.walk(self.root) for name in names)
        return sorted(str(path.relative_to(self.root)) for path in found)

    def newest(self) -> list[str]:
        """Of the files that changed last."""
        return sorted(self.names(), key=lambda name: (self.root / name).stat().st_mtime_ns)[-8:]

    def write(self, name: str, content: bytes, *, look_back: bool = False) -> None:
        """Make a file, or write it anew where it is."""
        self._note(name, content, look_back=look_back)
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def replace(self, name: str, content: bytes) -> None:
        """Put another file in its place."""
        self._note(name, content)
        other = self.root.parent / "replacement"
        other.write_bytes(content)
        other.replace(self.root / name)

    def append(self, name: str, content: bytes, *, look_back: bool = False) -> None:
        """Add to a file."""
        path = self.root / name
        self._note(name, path.read_bytes() + content, look_back=look_back)
        with path.open("ab") as file:
            file.write(content)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._write(Entry(name, None, self.run, self.during))
        (self.root / name).unlink()

    def move(self, name: str, other: str) -> None:
        """Give a file, or a directory with all below it, another name that is free."""
        for old in self._at(name):
            new = other + old.removeprefix(name)
            digest = hashlib.sha256((self.root / old).read_bytes()).hexdigest()
            self._write(Entry(new, digest, self.run, self.during, source=old))
            self._write(Entry(old, None, self.run, self.during))
        if (self.root / name).is_dir():
            self._write(Moved(name, other))
        (self.root / other).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).rename(self.root / other)

    def remove_directory(self, name: str) -> None:
        """Remove a directory with all below it."""
        for below in self._at(name):
            self.remove(below)
        for parent, _, _ in os.walk(self.root / name, topdown=False):
            os.rmdir(parent)

    def _at(self, name: str) -> list[str]:
        """The file, or the files below the directory, of that name."""
        return [each for each in self.names() if each == name or each.startswith(f"{name}/")]

    def _note(self, name: str, content: bytes, *, look_back: bool = False) -> None:
        digest = hashlib.sha256(content).hexdigest()
        self._write(Entry(name, digest, self.run, self.during, look_back))

    def _write(self, entry: Entry | Moved) -> None:
        line = json.dumps(asdict(entry)).encode() + b"\n"
        descriptor = os.open(self.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, line)  # in one piece, whoever else writes
        finally:
            os.close(descriptor)


def grow(tree: Tree, random: Random, files: int) -> None:
    """Make a tree."""
    for number in range(files):
        tree.write(str(Path(random.choice(DIRECTORIES), f"file {number}")), some_bytes(random))


def create(tree: Tree, random: Random, beside: str) -> None:
    """A few new files, in one directory."""
    parent, fresh = os.path.dirname(beside), _fresh(random)
    directory = random.choice((parent, parent, f"new {random.randrange(3)}", os.path.join(parent, fresh)))
    for number in range(random.randint(1, 8)):
        tree.write(os.path.join(directory, f"{fresh}-{number}"), some_bytes(random))


def go_on(tree: Tree, random: Random, _: str) -> None:
    """Whoever wrote last writes on."""
    for newest in tree.newest():
        tree.write(newest, some_bytes(random))


def go_on_appending(tree: Tree, random: Random, _: str) -> None:
    for newest in tree.newest():
        tree.append(newest, some_bytes(random))


def rewrite(tree: Tree, random: Random, name: str) -> None:
    tree.write(name, random.randbytes((tree.root / name).stat().st_size))


def resize(tree: Tree, random: Random, name: str) -> None:
    tree.write(name, some_bytes(random))


def replace(tree: Tree, random: Random, name: str) -> None:
    tree.replace(name, random.randbytes((tree.root / name).stat().st_size))


def append(tree: Tree, random: Random, name: str) -> None:
    tree.append(name, some_bytes(random))


def remove(tree: Tree, _: Random, name: str) -> None:
    tree.remove(name)


def move(tree: Tree, random: Random, name: str) -> None:
    tree.move(name, os.path.join(os.path.dirname(name), _fresh(random)))


def remove_directory(tree: Tree, _: Random, inside: str) -> None:
    """One that is not at the top, and not one of the last."""
    parent = os.path.dirname(inside)
    if parent.count("/") and len(tree.names()) > 40:
        tree.remove_directory(parent)


def move_directory(tree: Tree, random: Random, inside: str) -> None:
    if parent := os.path.dirname(inside):
        tree.move(parent, f"{parent} {random.randrange(10**9)}")


Change = Callable[[Tree, Random, str], None]
"""Of a tree, at or around the file of that name."""
CHANGES: tuple[Change, ...] = (
    *(create, go_on) * 2,
    *(rewrite, resize, replace, append, remove, move, remove_directory, move_directory),
)
GROWTH: tuple[Change, ...] = (create, create, go_on_appending, append, remove, remove_directory)
"""What an operation that sends only the new end of a file can know of."""


def change(tree: Tree, random: Random, count: int, changes: Sequence[Change]) -> None:
    """Change a tree in ``count`` places. What vanishes meanwhile is left alone."""
    for _ in range(count):
        with suppress(OSError):
            random.choice(changes)(tree, random, random.choice(tree.names()))


def _fresh(random: Random) -> str:
    """A name that is free."""
    return f"fresh {random.randrange(10**9)}"


def some_bytes(random: Random) -> bytes:
    """A content, mostly short."""
    return random.randbytes(random.choice((0, 1, random.randrange(300), random.randrange(300), LARGEST)))


@dataclass(frozen=True)
class History:
    """What a journal says. entries: of each name, in order; moves: of directories, in order."""

    entries: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    moves: list[Moved] = field(default_factory=list)

    @classmethod
    def of(cls, journal: Path) -> History:
        """All that is in a journal."""
        history = cls()
        for line in journal.read_text().splitlines():
            written = json.loads(line)
            if "was" in written:
                history.moves.append(Moved(**written))
            else:
                history.entries[written["name"]].append(Entry(**written))
        return history

    def digests(self, name: str) -> set[str]:
        """Of every content that a file had, by that name and those before."""
        entries = self.entries.get(name, [])
        own = {entry.digest for entry in entries if entry.digest}
        return own.union(*(self.digests(entry.source) for entry in entries if entry.source))

    def directories(self) -> set[str]:
        """Every directory that ever held a file."""
        return {str(parent) for name in self.entries for parent in Path(name).parents} - {"."}

    def earlier_names(self, name: str) -> list[str]:
        """What else this would have been called before directories above it were moved, newest first."""
        names = [name]
        for move in reversed(self.moves):
            names.append(move.before(names[-1]))
        return list(dict.fromkeys(names))[1:]

    def lifetime(self, name: str) -> tuple[Entry, Entry] | None:
        """The first and the last entry of the time when a file was last there that is not any more."""
        entries = self.entries.get(name, [])
        if not entries or entries[-1].digest is not None:
            return None
        last = entries[-1]
        first = last
        for entry in reversed(entries[:-1]):
            if entry.digest is None:
                break
            first = entry
        return first, last

    def looked_back(self, run: int) -> int:
        """How many files changed just before a run looked back at them."""
        return sum(any(entry.look_back and entry.run == run for entry in each) for each in self.entries.values())

    def runs_of_look_backs(self, name: str) -> list[int] | None:
        """The runs in which a file changed just before mpingest looked back at it; None if it ever changed else."""
        first, *others = self.entries[name]
        if first.source or not all(entry.look_back for entry in others):
            return None
        return [entry.run for entry in others]
