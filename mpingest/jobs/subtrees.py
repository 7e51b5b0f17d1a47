"""Directories that are left for a later pass of the same run: in files, for they may be many."""

from __future__ import annotations

import os
import shutil
import struct
import threading
from typing import BinaryIO

from mpingest.farm.units import Unit, UnitKind
from mpingest.jobs.directory import own_trouble
from mpingest.jobs.units import Subtree

_SIZE = struct.Struct("<I")


class SubtreeFile:
    """One rank's, in ``directory``; there is none as long as nothing is added, and what is there stays.

    Safe for several threads.

    Raises CannotRecord.
    """

    def __init__(self, directory: str, rank: int) -> None:
        self._path = os.path.join(directory, f"rank{rank:05d}")
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()

    def add(self, subtree: Subtree) -> None:
        """One more."""
        payload = subtree.to_unit().payload
        with self._lock, own_trouble():
            if self._file is None:
                os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
                self._file = open(self._path, "ab")  # noqa: SIM115
            self._file.write(_SIZE.pack(len(payload)) + payload)

    def close(self) -> None:
        """Have them all in the file."""
        with self._lock, own_trouble():
            if self._file is not None:
                self._file.close()


def take_subtrees(directory: str) -> list[Subtree]:
    """What all ranks left in ``directory``, which goes. Raises CannotRecord."""
    if not os.path.exists(directory):
        return []
    found = []
    with own_trouble():
        for name in sorted(os.listdir(directory)):
            with open(os.path.join(directory, name), "rb") as file:
                while head := file.read(_SIZE.size):
                    payload = file.read(*_SIZE.unpack(head))
                    found.append(Subtree.from_unit(Unit(UnitKind.SUBTREE, 0, 1, payload)))
        shutil.rmtree(directory)
    return found
