"""The resources of a zone, and which of them leave the server no choice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from irods.models import Resource


@dataclass(frozen=True, slots=True)
class Resources:
    """parents: of each resource by name, "" for one at the top; children: of each that has any, by name."""

    parents: dict[str, str]
    children: dict[str, list[str]]

    @classmethod
    def of(cls, session: Any) -> Resources:
        """As the zone has them now: one query."""
        rows = list(session.query(Resource.id, Resource.name, Resource.parent))
        names = {str(row[Resource.id]): row[Resource.name] for row in rows}
        parents = {row[Resource.name]: names.get(row[Resource.parent] or "", "") for row in rows}
        children: dict[str, list[str]] = {}
        for name, parent in parents.items():
            if parent:
                children.setdefault(parent, []).append(name)
        return cls(parents, children)

    def hierarchies(self) -> dict[str, str]:
        """Of those at the top with a single leaf below, by name: the way down to it, as in ``root;middle;leaf``.

        Requests that name it spare the server the vote of the resources. With several leaves that vote is theirs.
        """
        ways = {name: self._way_down(name) for name, parent in self.parents.items() if not parent}
        return {name: ";".join(way) for name, way in ways.items() if len(way) > 1}

    def _way_down(self, name: str) -> list[str]:
        """From a resource to its only leaf; empty if it has several."""
        way = [name]
        while below := self.children.get(way[-1], []):
            if len(below) > 1:
                return []
            way += below
        return way
