"""Metadata and permissions that an object is to have: with the request that makes it, or right behind."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mpingest.handler.declared import Avu, Permission
from mpingest.ingest.catalog import Catalog
from mpingest.ingest.retry import RetryPolicy

_SEPARATORS = re.compile(r"[;\\]")
_ACL_SEPARATORS = re.compile(r"[;\\\s]")


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is declared of one object or collection."""

    avus: tuple[Avu, ...] = ()
    permissions: tuple[Permission, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.avus or self.permissions)

    def keywords(self) -> dict[str, str]:
        """What travels with a put: all of one kind, or nothing of it where a text holds what separates them there."""
        keywords = {}
        if self.avus and not any(_SEPARATORS.search(text) for avu in self.avus for text in avu):
            keywords["metadataIncluded"] = "".join(
                f"{attribute};{value};{units};" for attribute, value, units in self.avus
            )
        if self.permissions and not any(_ACL_SEPARATORS.search(text) for one in self.permissions for text in one):
            keywords["aclIncluded"] = ";".join(f"{level} {user}" for level, user in self.permissions)
        return keywords

    def left_behind(self) -> Attributes:
        """What ``keywords`` doesn't carry."""
        carried = self.keywords()
        return Attributes(
            () if "metadataIncluded" in carried else self.avus,
            () if "aclIncluded" in carried else self.permissions,
        )


@dataclass(frozen=True, slots=True)
class AttributeWriter:
    """Gives the object or collection ``path`` its attributes. Methods raise RequestError."""

    catalog: Catalog
    retry: RetryPolicy
    path: str
    kind: str = "data_object"

    def add(self, attributes: Attributes) -> None:
        """To what is new: at most one request for each kind."""
        self._change(attributes.avus, ())
        self._permit(attributes.permissions)

    def replace(self, attributes: Attributes) -> None:
        """To what may have some: other values of the same attributes go, whatever else it has stays."""
        if attributes.avus:
            names = {avu.attribute for avu in attributes.avus}
            known = {avu for avu in self.retry.run(lambda: self.catalog.metadata(self.path)) if avu.attribute in names}
            wanted = set(attributes.avus)
            self._change(tuple(wanted - known), tuple(known - wanted))
        self._permit(attributes.permissions)

    def _change(self, added: tuple[Avu, ...], removed: tuple[Avu, ...]) -> None:
        if added or removed:
            self.retry.run(lambda: self.catalog.change_metadata(self.path, self.kind, added, removed))

    def _permit(self, permissions: tuple[Permission, ...]) -> None:
        if permissions:
            self.retry.run(lambda: self.catalog.permit(self.path, permissions))
