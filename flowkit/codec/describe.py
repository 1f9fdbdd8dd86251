"""Any stored body as plain JSON for people and ``--json``: tags replaced by what they mean, nothing imported, no
error.

It must show what cannot be decoded any more (a class that is gone) and what never could (a damaged row), so it reads
the shape only and never asks the coder. It loses the types on purpose; nothing is decoded from what it gives."""

from __future__ import annotations

from typing import Any

from flowkit.codec.plain import from_json
from flowkit.codec.tree import PREFIX

__all__ = ["describe"]


def describe(body: bytes) -> object:
    """`body` as JSON-able data. What is not JSON comes back as a text with its size and first bytes in hex."""
    try:
        document = from_json(body)
        return _show(document["$"]) if body[:5] == PREFIX else document
    except Exception as exc:  # anything may be in a damaged row
        return f"<{len(body)} bytes that are not readable JSON ({type(exc).__name__}): {body[:32].hex()}>"


def _show(node: Any) -> Any:
    if isinstance(node, list):
        return [_show(item) for item in node]
    if not isinstance(node, dict):
        return node
    first = next(iter(node), "")
    if first[:1] != "$":
        return {key: _show(item) for key, item in node.items()}
    return _show_tag(first, node)


def _show_tag(name: str, node: dict[str, Any]) -> Any:
    content = node[name]
    match name:
        case "$dict" | "$ordereddict" | "$defaultdict":
            return _show_pairs(content)
        case "$enum":
            return _show(node.get("name", node.get("value")))
        case "$dataclass" | "$namedtuple" | "$struct":
            return _show(node.get("fields"))
        case "$model":
            return {**_show(node.get("fields")), **_show(node.get("extra") or {})}
        case "$subclass":
            return _show(node.get("value"))
        case "$int":
            return content if len(content) > 1000 else int(content, 16)
    return _show(content)


def _show_pairs(pairs: list[Any]) -> Any:
    shown = [(_show(key), _show(item)) for key, item in pairs]
    named = {key if isinstance(key, str) else str(key): item for key, item in shown}
    return named if len(named) == len(shown) else [list(pair) for pair in shown]
