"""Trees of units: what each unit spawns, for networks and toy executors to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mpingest.farm.units import Unit, UnitKind


@dataclass(frozen=True)
class Tree:
    """Node 0 is the root. ``children[i]`` are the nodes that node i spawns; a slice has entries and spawns nothing."""

    units: tuple[Unit, ...]
    children: tuple[tuple[int, ...], ...]

    @classmethod
    def from_parents(cls, parents: Sequence[tuple[int, UnitKind]]) -> Tree:
        """Node i + 1 hangs below ``parents[i]``, or below the nearest subtree upwards of it."""
        units = [Unit(UnitKind.SUBTREE, 0, 1, b"0")]
        above = [0]
        children: list[list[int]] = [[]]
        for number, (wanted, kind) in enumerate(parents, 1):
            parent = wanted if units[wanted].kind is UnitKind.SUBTREE else above[wanted]
            weight = 1 + 17 * number % 60 if kind is UnitKind.SLICE else 1
            entries = [b"%d.%d" % (number, entry) for entry in range(weight)]
            payload = b" ".join(entries) if kind is UnitKind.SLICE else b"%d" % number
            units.append(Unit(kind, units[parent].depth + 1, weight, payload))
            above.append(parent)
            children.append([])
            children[parent].append(number)
        return cls(tuple(units), tuple(map(tuple, children)))

    def __len__(self) -> int:
        return len(self.units)

    @property
    def root(self) -> Unit:
        return self.units[0]

    def spawned_by(self, unit: Unit) -> list[Unit]:
        return [] if unit.kind is UnitKind.SLICE else [self.units[child] for child in self.children[int(unit.payload)]]

    def all(self) -> Counter[bytes]:
        """Each subtree and each entry of a slice, once."""
        slices = [unit for unit in self.units if unit.kind is UnitKind.SLICE]
        subtrees = [unit.payload for unit in self.units if unit.kind is UnitKind.SUBTREE]
        return Counter(subtrees + [entry for unit in slices for entry in entries_of(unit)])


def entries_of(unit: Unit) -> list[bytes]:
    """The entries of a slice; a subtree has none."""
    return unit.payload.split() if unit.kind is UnitKind.SLICE else []


def part_of(unit: Unit, entries: Sequence[bytes]) -> Unit:
    """A slice with some of the entries of another."""
    return Unit(UnitKind.SLICE, unit.depth, len(entries), b" ".join(entries))


def flat(slices: int) -> Tree:
    """One directory in so many slices."""
    return Tree.from_parents([(0, UnitKind.SLICE)] * slices)


def chain(depth: int) -> Tree:
    """One directory in another, each with one slice."""
    parents = []
    for level in range(depth):
        parents += [(2 * level - 1 if level else 0, UnitKind.SUBTREE), (2 * level - 1 if level else 0, UnitKind.SLICE)]
    return Tree.from_parents(parents)


def below_one(depth: int, fanout: int, levels: int) -> Tree:
    """A chain of single directories, and a full tree with one slice per directory at its end."""
    parents = [(node, UnitKind.SUBTREE) for node in range(depth)]
    front = [depth]
    for _ in range(levels):
        deeper = []
        for node in front:
            parents.append((node, UnitKind.SLICE))
            for _ in range(fanout):
                parents.append((node, UnitKind.SUBTREE))
                deeper.append(len(parents))
        front = deeper
    return Tree.from_parents(parents)
