"""Packing instructions in XML: elements with text or children, no attributes, five entities, nothing else.

Not a general XML parser on purpose: there is no DOCTYPE, no entity declaration and no comment in this language,
and names may hold characters that XML 1.0 forbids.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(r"(?:<([a-z_]\w*)>([^<]*)(</\1>\s*)?|</([a-z_]\w*)>\s*)", re.ASCII | re.IGNORECASE)
"""A start tag with its text, and its end tag where nothing but text comes before it; or an end tag."""
_ENTITY = re.compile("&(amp|lt|gt|quot|apos);")
_CHARACTERS = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_SPECIAL = re.compile("[&<>\"']")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"}
_MAX_DEPTH = 16
_INT64 = 1 << 63


class PackError(Exception):
    """A message that isn't what its API takes."""


@dataclass(slots=True)
class Element:
    """One element: text of a leaf, or children of a struct."""

    tag: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def find(self, tag: str) -> Element | None:
        """The first child of that name."""
        return next((child for child in self.children if child.tag == tag), None)

    def struct(self, tag: str) -> Element:
        """The first child of that name. Raises PackError where there is none."""
        child = self.find(tag)
        if child is None:
            raise PackError(f"no {tag} in {self.tag}")
        return child

    def string(self, tag: str, default: str | None = None) -> str:
        """Text of a child. Raises PackError where it is missing and has no default."""
        child = self.find(tag)
        if child is not None:
            return child.text
        if default is None:
            raise PackError(f"no {tag} in {self.tag}")
        return default

    def integer(self, tag: str) -> int:
        """Number in a child, 0 where it is missing."""
        child = self.find(tag)
        return 0 if child is None else to_integer(child.text)

    def strings(self, tag: str) -> list[str]:
        """Texts of all children of that name."""
        return [child.text for child in self.children if child.tag == tag]

    def integers(self, tag: str) -> list[int]:
        """Numbers in all children of that name."""
        return [to_integer(text) for text in self.strings(tag)]


def to_integer(text: str) -> int:
    """A 64-bit integer from its decimal text. Raises PackError."""
    try:
        number = int(text)
    except ValueError:
        raise PackError(f"not a number: {text[:40]!r}") from None
    if not -_INT64 <= number < _INT64:
        raise PackError("number out of range")
    return number


def unpack(data: bytes) -> Element:
    """The root element of a message. Raises PackError."""
    try:
        text = data.rstrip(b"\0").decode().strip()
    except UnicodeDecodeError:
        raise PackError("not UTF-8") from None
    root = Element("")
    open_elements = [root]
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise PackError(f"malformed message at {position}")
        position = token.end()
        tag, content, end_of_leaf, end_tag = token.groups()
        if end_tag:
            _close(open_elements, end_tag)
            continue
        element = Element(tag, _unescape(content))
        open_elements[-1].children.append(element)
        if not end_of_leaf:
            open_elements.append(element)
            if len(open_elements) > _MAX_DEPTH:
                raise PackError("nested too deeply")
    if len(open_elements) != 1 or len(root.children) != 1:
        raise PackError("truncated message")
    return root.children[0]


def _close(open_elements: list[Element], tag: str) -> None:
    if len(open_elements) == 1 or open_elements.pop().tag != tag:
        raise PackError(f"misplaced </{tag}>")


def escape(text: str) -> str:
    """Text for inside an element."""
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], text) if _SPECIAL.search(text) else text


def pack(tag: str, *members: str) -> str:
    """A struct from members that are packed already."""
    return f"<{tag}>\n{''.join(members)}</{tag}>\n"


def leaf(tag: str, value: str | int) -> str:
    """A string or number."""
    return f"<{tag}>{escape(value) if isinstance(value, str) else value}</{tag}>\n"


def _unescape(text: str) -> str:
    return _ENTITY.sub(lambda match: _CHARACTERS[match[1]], text) if "&" in text else text
