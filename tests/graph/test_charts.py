"""The graph of a workflow, read from its source: what stands in it, and that it has a place for whatever the code records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import dedent
from typing import Any

import pytest

from flowkit.core.graph import Node, Places, spots_of
from flowkit.definitions.graphs import graph_of
from flowkit.testing import Lab
from tests.graph.flows import FLOWS, Flow

HERE = "tests/graph/flows.py"
by_flow = pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.workflow.name)


def outline(nodes: Sequence[Node], depth: int = 0) -> Iterator[str]:
    """The nodes as the cases write them."""
    for node in nodes:
        line = {
            "fork": node.name, "try": "", "arm": node.name, "cycle": node.name, "end": node.name, "call": f"in {node.name}",
        }.get(node.kind, f"{node.kind} {node.name}")  # fmt: skip
        if line:
            yield "  " * depth + line + (" (dynamic)" if node.dynamic else "")
        yield from outline(node.body, depth + bool(line))


@by_flow
def test_the_graph_is_what_the_source_says(flow: Flow) -> None:
    graph = graph_of(flow.workflow)

    assert "\n".join(outline(graph.nodes)) == dedent(flow.outline).strip("\n")
    assert not graph.why
    assert not graph.cut


@by_flow
def test_every_recorded_entry_has_its_place_and_stands_in_the_line_that_made_it(flow: Flow) -> None:
    places = Places(spots_of(graph_of(flow.workflow)))
    histories = [history(flow.workflow, args) for args in flow.runs]

    found = [(entry, places.find(entry.location, entry.kind, entry.source)) for entries in histories for entry in entries]

    assert found
    for entry, spot in found:
        assert spot is not None, entry.location
        assert spot.node.kind == entry.kind
        assert spot.node.source == entry.source or HERE not in entry.source, entry.location  # a step handed on has no line


def history(workflow: Any, args: tuple[Any, ...]) -> list[Any]:
    with Lab() as lab:
        lab.start("run", workflow, *args)
        lab.run_to_end("run")
        return lab.history("run")
