"""Secrets in stored values, hidden by the names of the keys they stand under.

What is written keeps its shape, so that a masked value still decodes where text or numbers were: text becomes `MASK`, a number 0.
Only keys can tell. A secret in the text of an error, or under a harmless key, is not found.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

__all__ = ["MASK", "SECRET", "Masker"]

MASK = "masked"
SECRET = re.compile(r"password|secret|token|authorization|cookie", re.IGNORECASE)
_PAIRS = ("$dict", "$ordereddict", "$defaultdict")


class Masker:
    """Masks stored JSON and counts what it masked, by key. With `reveals` it changes nothing."""

    def __init__(self, *, reveals: bool = False) -> None:
        self.reveals = reveals
        self.masked: Counter[str] = Counter()

    def mask(self, node: Any) -> Any:
        """`node` with the values under secret keys hidden; the same object if there are none."""
        return node if self.reveals else self._mask(node)

    def _mask(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self._mask(item) for item in node]
        if not isinstance(node, dict):
            return node
        return {key: self._pairs(item) if key in _PAIRS else self._under(key, item) for key, item in node.items()}

    def _pairs(self, items: Any) -> Any:
        """The pairs of a dict that is stored as a list, as one with other keys than text is."""
        if not isinstance(items, list):
            return items
        return [[pair[0], self._under(pair[0], pair[1])] if _is_pair(pair) else self._mask(pair) for pair in items]

    def _under(self, key: Any, item: Any) -> Any:
        if not isinstance(key, str) or item is None or key.startswith("$") or SECRET.search(key) is None:
            return self._mask(item)
        self.masked[key] += 1
        return _hidden(item)


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2


def _hidden(node: Any) -> Any:
    if isinstance(node, str):
        return MASK
    if isinstance(node, list):
        return [_hidden(item) for item in node]
    if isinstance(node, dict):
        first = next(iter(node), "")
        if first != "$" and first[:1] == "$":
            return MASK  # what it said of the value's type would say too much
        return {key: _hidden(item) for key, item in node.items()}
    return node if node is None or isinstance(node, bool) else 0
