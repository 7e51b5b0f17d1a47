"""Trees that are grown from a seed, directory by directory, only when they are scanned.

A directory is known by a few numbers, its seed and how many entries are left for it and all below it, so that a tree
of any size takes no memory, and is the same whoever scans it in whatever order.

What the shapes are after:

* ``namespace``: sizes of directories are heavy-tailed. 600 million files in 36 million directories (six indexes at
  LANL: J. Kline, SC23, LA-UR-23-28958) make 16.7 files a directory; J. Douceur and W. Bolosky, "A Large-Scale Study of
  File-System Contents" (SIGMETRICS 1999), and N. Agrawal et al., "A Five-Year Study of File-System Metadata"
  (FAST 2007) give distributions of directory sizes. Here: lognormal with that mean and sigma 1.9, so a median of 3,
  and uneven shares of what is below.
* ``small``: 116,411,394 files in 35,945,074 directories (ORNL Atlas, manual page of pcircle's fprof) make 3.2 files a
  directory.
* ``flat``: one directory of 26,646,573 files, the largest found by F. Wang et al., "Diving into Petascale Production
  File Systems through Large Scale Profiling and Analysis" (PDSW-DISCS 2017).
* ``chains``: directories one in another, 64 deep, 100 files in each: as many chains as the entries allow.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

FLAT = 26_646_573
MEAN = 30
CHAIN_DEPTH = 64
CHAIN_FILES = 100

_MASK = (1 << 64) - 1
_NODE = struct.Struct("<QqHd")


@dataclass(frozen=True, slots=True)
class Node:
    """A directory. entries: in it and all below; level: below the root; ready: when it can be found at the earliest."""

    seed: int
    entries: int
    level: int
    ready: float

    def pack(self) -> bytes:
        return _NODE.pack(self.seed, self.entries, self.level, self.ready)

    @classmethod
    def unpack(cls, data: bytes) -> Node:
        return cls(*_NODE.unpack(data))


Shape = Callable[[Node], tuple[int, list[int]]]
"""Files in a directory, and entries of each directory in it."""


def _mix(number: int) -> int:
    """Splitmix64 (Steele, Lea, Flood 2014)."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)


def child_seed(seed: int, index: int) -> int:
    return _mix(seed ^ (index + 1) * 0xD1B54A32D192ED03 & _MASK)


def _uniform(seed: int, salt: int) -> float:
    """In (0, 1)."""
    return (_mix(seed + salt) + 0.5) / (_MASK + 1)


def _shared(entries: int, weights: list[float]) -> list[int]:
    """Parts of ``entries`` by weight, empty ones left out."""
    scale = entries / sum(weights)
    parts, given, exact = [], 0, 0.0
    for weight in weights:
        exact += weight * scale
        part = round(exact) - given
        given += part
        if part:
            parts.append(part)
    return parts


def namespace(node: Node) -> tuple[int, list[int]]:
    seed, entries = node.seed, node.entries
    radius = math.sqrt(-2 * math.log(_uniform(seed, 1)))
    drawn = math.exp(1.01 + 1.9 * radius * math.cos(2 * math.pi * _uniform(seed, 2)))
    files = min(entries, int(drawn) + 1)
    rest = entries - files
    if rest < MEAN:
        return entries, []
    count = min(rest // MEAN, 2 + int(18 * _uniform(seed, 3)))
    return files, _shared(rest, [-math.log(_uniform(seed, 10 + i)) for i in range(count)])


def small(node: Node) -> tuple[int, list[int]]:
    files = min(node.entries, 3)
    rest = node.entries - files
    return files, _shared(rest, [1.0] * min(10, -(-rest // 3))) if rest else []


def flat(node: Node) -> tuple[int, list[int]]:
    return node.entries, []


def chains(node: Node) -> tuple[int, list[int]]:
    if node.level == 0:
        count = max(1, node.entries // (CHAIN_DEPTH * CHAIN_FILES))
        return 0, _shared(node.entries, [1.0] * count)
    files = min(node.entries, CHAIN_FILES)
    rest = node.entries - files
    return files, [rest] if rest else []


SHAPES: dict[str, Shape] = {shape.__name__: shape for shape in (namespace, small, flat, chains)}
