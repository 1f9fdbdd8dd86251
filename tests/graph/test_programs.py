"""Workflows written at random: whatever they record has a place in their graph, and stands in the line that made it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flowkit.core.graph import Graph, Node, Places, spots_of
from flowkit.definitions.graphs import graph_of
from flowkit.testing import Lab
from tests.graph.programs import written

PROGRAMS = 24


@pytest.fixture
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ModuleType]:
    """The module of this seed, imported."""
    name = f"program_{request.param}"
    file = tmp_path / f"{name}.py"
    file.write_text(written(request.param))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


def recorded(workflow: Any) -> list[Any]:
    """What runs with several arguments record, failed ones included."""
    found: list[Any] = []
    with Lab() as lab:
        for n in range(6):
            lab.start(f"n-{n}", workflow, n)
            try:
                lab.run_to_end(f"n-{n}")
            except Exception:  # a step's own failure, which ended the run: what it recorded before counts as well
                assert lab.get(f"n-{n}").status() == "failed"
            found += lab.history(f"n-{n}")
    return found


def kinds(nodes: tuple[Node, ...]) -> set[str]:
    """All kinds of nodes."""
    return {node.kind for node in nodes} | {kind for node in nodes for kind in kinds(node.body)}


@pytest.mark.parametrize("program", range(PROGRAMS), indirect=True)
def test_every_entry_of_a_program_made_at_random_has_its_place(program: ModuleType) -> None:
    graph = graph_of(program.made)
    places = Places(spots_of(graph))
    entries = recorded(program.made)

    assert entries
    assert not graph.cut
    for entry in entries:
        spot = places.find(entry.location, entry.kind, entry.source)
        assert spot is not None, f"{entry.location} at {entry.source}"
        assert spot.node.kind == entry.kind
        assert spot.node.source == entry.source, entry.location
        without_line = places.find(entry.location, entry.kind)
        assert without_line is not None, entry.location
        assert without_line.node.fits(entry.location.rpartition("/")[2])


def test_the_programs_hold_every_shape() -> None:
    """Else the test above would say less than it seems to."""
    text = "".join(map(written, range(PROGRAMS)))

    for shape in (
        "match ",
        "elif ",
        "else:",
        "for n in",
        "try:",
        "loop(",
        "join(",
        "race(",
        "attempt(",
        "helper",
        "options(",
        "[charge",
    ):
        assert text.count(shape) >= 5, shape


def test_a_graph_survives_the_store() -> None:
    import msgspec

    made = Graph(nodes=(Node("join", "all", "app.py:3", (), (Node("branch", "x-…", "app.py:3", ("x-", "")),)),), cut=True)

    assert msgspec.json.decode(msgspec.json.encode(made), type=Graph) == made
