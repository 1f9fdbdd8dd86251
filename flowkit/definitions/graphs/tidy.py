"""What a graph leaves out: control flow in which nothing is recorded and no way ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flowkit.core.entry import KINDS
from flowkit.core.graph import Node

__all__ = ["has_entry", "tidy"]

_RECORDED = KINDS | {"attempt", "again"}


def has_entry(nodes: Iterable[Node]) -> bool:
    """Whether anything in these can be recorded."""
    return any(node.kind in _RECORDED or has_entry(node.body) for node in nodes)


def tidy(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """The nodes without control flow that says nothing; of an arm nothing after the end of its way."""
    found: list[Node] = []
    for node in nodes:
        body = tidy(node.body)
        kept = Node(node.kind, node.name, node.source, node.parts, body)
        if node.kind == "fork":
            if any(arm.body for arm in body):
                found.append(kept)
        elif node.kind not in ("cycle", "call", "try") or has_entry(body):
            found.append(kept)
        if node.kind == "end":
            break
    return tuple(found)
