"""What a table holds in all, counted block by block."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mpingest.manifest.checkpoint import Checkpoint
from mpingest.manifest.states import Change, DirectoryState, Outcome


def _nothing(states: type[Outcome | Change | DirectoryState]) -> npt.NDArray[np.int64]:
    return np.zeros(len(states), np.int64)


@dataclass(frozen=True, slots=True)
class Totals:
    """Entries and bytes in regular files by Outcome and by Change, directories by DirectoryState, all int64."""

    outcomes: npt.NDArray[np.int64] = field(default_factory=lambda: _nothing(Outcome))
    outcome_bytes: npt.NDArray[np.int64] = field(default_factory=lambda: _nothing(Outcome))
    changes: npt.NDArray[np.int64] = field(default_factory=lambda: _nothing(Change))
    change_bytes: npt.NDArray[np.int64] = field(default_factory=lambda: _nothing(Change))
    states: npt.NDArray[np.int64] = field(default_factory=lambda: _nothing(DirectoryState))

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Totals:
        """Reads all of a table. Raises DamagedTable, OSError."""
        totals = cls()
        last = None
        for block in checkpoint.blocks():
            sizes = block.entries.file_sizes()
            _count(block.results["outcome"], sizes, totals.outcomes, totals.outcome_bytes)
            _count(block.results["change"], sizes, totals.changes, totals.change_bytes)
            goes_on = bool(block.keys) and block.keys[0] == last
            totals.states[:] += np.bincount(block.directories["state"][goes_on:], minlength=len(DirectoryState))
            last = block.keys[-1] if block.keys else last
        return totals


def _count(
    states: npt.NDArray[np.uint8],
    sizes: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    in_bytes: npt.NDArray[np.int64],
) -> None:
    counts += np.bincount(states, minlength=len(counts))
    np.add.at(in_bytes, states, sizes)
