"""``mpingest`` for chaos: python -m tests.e2e.chaos.program ARGUMENTS….

Accidents are those of ``tests.e2e.crash.accident``. The variable CHAOS says the rest, as ``Meddling`` in JSON: which
files change just before mpingest looks back at them after their transfer, and which safeguard is taken out. Files are
large from 4 KiB on, and pauses before a request is tried again are short.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from mpingest import cli
from mpingest.ingest import batches, bundles, entry, put, retry, streams
from mpingest.ingest.put import Upload
from mpingest.ingest.register import Registration
from mpingest.manifest.segment import SegmentWriter
from tests.e2e.chaos.tree import Tree
from tests.e2e.crash import accident

LARGE, CHUNK = 4096, 1000


@dataclass(frozen=True)
class Meddling:
    """root, journal: of the tree; run: number of the run

    every: one of so many files changes just before it is looked back at, 0 for none; appends: it only grows
    without: name of the safeguard that is taken out, of SAFEGUARDS; "" for none
    """

    root: str
    journal: str
    run: int
    every: int = 0
    appends: bool = False
    without: str = ""
    _changed: set[bytes] = field(default_factory=set)

    @classmethod
    def from_environment(cls) -> Meddling:
        """Of this process."""
        return cls(**json.loads(os.environ["CHAOS"]))

    def to_environment(self) -> dict[str, str]:
        """For a process."""
        return {"CHAOS": json.dumps({name: value for name, value in asdict(self).items() if name[0] != "_"})}

    def change(self, path: bytes) -> None:
        """Change a file if it is one of those, once in a run."""
        if not self.every or zlib.crc32(path) % self.every or path in self._changed or not os.path.isfile(path):
            return
        self._changed.add(path)
        file = Path(os.fsdecode(path))
        tree, name = Tree(Path(self.root), Path(self.journal), self.run, during=True), str(file.relative_to(self.root))
        random = Random(f"{name} {self.run}")
        with suppress(OSError):
            if self.appends:
                tree.append(name, random.randbytes(100), look_back=True)
            else:
                tree.write(name, random.randbytes(file.stat().st_size + random.choice((0, 0, 1))), look_back=True)


LOOK_BACK = (batches, bundles, entry)
"""Modules that look back at a file."""


def looking_back(is_unchanged: Callable[..., bool], meddling: Meddling) -> Callable[..., bool]:
    """The look back at a file, with a change of it before."""

    def call(path: bytes, row: Any) -> bool:
        meddling.change(path)
        return is_unchanged(path, row)

    return call


def _never_seal(_: SegmentWriter) -> None:
    return None


def _never_look_back() -> None:
    for module in LOOK_BACK:
        module.is_unchanged = lambda *_: True  # type: ignore[attr-defined]


def _never_verify() -> None:
    Upload._settle = Registration._reconcile = lambda _: None  # type: ignore[method-assign,assignment]


SAFEGUARDS: dict[str, Callable[[], None]] = {
    "seal": lambda: setattr(SegmentWriter, "seal", _never_seal),
    "look back": _never_look_back,
    "verify already done": _never_verify,
}
"""What takes each of them out."""


def main() -> None:
    """Run the command line."""
    meddling = Meddling.from_environment()
    if meddling.without:
        SAFEGUARDS[meddling.without]()
    for module in LOOK_BACK:
        module.is_unchanged = looking_back(module.is_unchanged, meddling)  # type: ignore[attr-defined]
    put.SINGLE_MESSAGE_LIMIT = streams.SINGLE_MESSAGE_LIMIT = LARGE  # type: ignore[attr-defined]
    streams.WRITE_SIZE = CHUNK  # type: ignore[attr-defined]
    retry.FIRST_DELAY = 0.02
    accident.prepare()
    cli.main()


if __name__ == "__main__":
    main()
