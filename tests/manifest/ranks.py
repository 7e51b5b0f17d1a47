"""Ranks that share a merge, without MPI."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any


class Simulated:
    """Rank 0 of several that do all they share in turn; answers and errors travel as between processes.

    before: called with the name of each task before it is done
    """

    rank = 0

    def __init__(self, size: int, before: Callable[[str], None] = lambda name: None) -> None:
        self.size = size
        self.done: list[str] = []
        self._before = before

    def deal(self, tasks: Sequence[Any]) -> list[Any]:
        return [self._do(task) for task in tasks]

    def check(self) -> None:
        """It is never given up."""

    def _do(self, task: Any) -> Any:
        name = getattr(task, "func", task).__name__
        self.done.append(name)
        try:
            self._before(name)
            answer = task()
        except Exception as error:
            raise pickle.loads(pickle.dumps(error)) from error
        return pickle.loads(pickle.dumps(answer))
