"""A run's graph: what is done, where it stands, what may come and what was not taken, as a picture and as a list.

Longer than 400 lines because painting, picture and page are tried on one workflow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as changed

import flowkit
from flowkit import Break, Continue, attempt, checkpoint, join, loop, race, receive, removed, sleep, step, workflow
from flowkit.client.reader import Reader
from flowkit.core.graph import Graph, Node
from flowkit.definitions.graphs import graph_of
from flowkit.definitions.manifest import Manifest, manifest_of
from flowkit.drivers import open_driver
from flowkit.testing import FakeClock, Lab, MemoryDriver
from tests.inspector.budgets import Budget
from tests.inspector.given import NOW, ROW, made, module
from tests.inspector.served import Served, serving
from tests.inspector.stories import HOSTILE
from tests.inspector.test_code import LOADED, Code

graphs, drawings, histories = map(module, ("graph", "drawing", "history"))


@step
def charge(n: int) -> int:
    return n


@step
def tell(n: int) -> int:
    return n


@workflow
def order(n: int) -> int:
    """Forks, ends early, and waits."""
    checkpoint("begin")
    if n < 0:
        return n
    if n % 2:
        charge(n)
    else:
        tell(n)
    receive("go")
    return charge(n + 1)


def nodes_of(page: Any) -> Iterator[Any]:
    """All nodes of a painted graph, in order."""
    for node in page:
        yield node
        yield from nodes_of(node.nodes)


def words(found: Any) -> dict[str, str]:
    """What is said of each recorded node and arm, by name and line."""
    return {
        f"{node.kind} {node.name}": node.word
        for node in nodes_of(found.nodes)
        if node.kind not in ("fork", "try", "cycle", "call", "end")
    }


def tell_of(file: Path, manifest: Manifest, code: str = "") -> None:
    """Publish a manifest as a worker would; what a Lab runs has no code's name."""
    driver = open_driver(str(file))
    driver.publish(code, manifest.encode(), NOW)
    driver.close()


def run_of(flow: Any, *args: Any, passes: int = 1) -> tuple[Any, list[Any]]:
    """A run's row and entries after so many passes."""
    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("run", flow, *args)
        for _ in range(passes):
            lab.run_once("run")
        row = driver.get("run")
        assert row is not None
        return row, list(driver.history(row.seq))


def painted(flow: Any, *args: Any, passes: int = 1, **more: Any) -> Any:
    row, entries = run_of(flow, *args, passes=passes)
    return graphs.painted(graph_of(flow), entries, row, **more)


# --- painting


def test_what_was_met_is_done_what_waits_is_here_and_the_rest_is_ahead_or_not_taken() -> None:
    found = painted(order, 3)

    assert words(found) == {
        "checkpoint begin": "done", "arm if n < 0": "not taken", "arm else": "not taken", "arm if n % 2": "",
        "step tell": "not taken", "message go": "here", "step charge": "not reached yet",
    }  # fmt: skip
    assert [node.word for node in nodes_of(found.nodes) if node.name == "charge"] == ["done", "not reached yet"]
    assert {word: count for _, word, count in found.counts} == {
        "done": 2, "here": 1, "not reached yet": 1, "not taken": 1, "taken out": 0,
    }  # fmt: skip
    assert found.strays == ()


def test_of_a_run_that_ended_early_the_arm_that_ended_it_was_taken() -> None:
    found = painted(order, -1)

    arms = {node.name: (node.paint, node.word) for node in nodes_of(found.nodes) if node.kind == "arm"}
    assert arms["if n < 0"] == ("flow", "")
    assert arms["if n % 2"] == ("aside", "not taken")
    assert words(found)["message go"] == "not taken"


def test_what_comes_after_the_failure_of_a_run_is_not_reached_yet() -> None:
    @step(retries=0)
    def fails() -> None:
        raise ValueError("no")

    @workflow
    def failing() -> None:
        charge(1)
        fails()
        tell(1)

    found = painted(failing, failed="fails")

    assert words(found) == {"step charge": "done", "step fails": "stopped here", "step tell": "not reached yet"}


def test_in_a_loop_that_goes_on_nothing_is_passed() -> None:
    @workflow
    def looping() -> None:
        def turn(n: int) -> Any:
            if n == 0:
                charge(n)
            else:
                tell(n)
            sleep("1h")
            return Continue(n + 1) if n < 1 else Break()

        loop(turn, state=0)
        tell(9)

    assert [node.word for node in nodes_of(painted(looping).nodes) if node.name == "tell"] == ["not reached yet"] * 2


def test_of_an_arm_that_records_nothing_it_is_not_said_that_it_was_not_taken_where_that_cannot_be_known() -> None:
    @workflow
    def ending() -> None:
        def turn(n: int) -> Any:
            tell(n)
            if n == 1:
                return Break()
            return Continue(n + 1)

        loop(turn, state=0)

    arms = [(node.name, node.word) for node in nodes_of(painted(ending).nodes) if node.kind == "arm"]

    assert arms == [("if n == 1", ""), ("else", "")]


def test_of_a_loop_that_has_forgotten_turns_it_says_so() -> None:
    @workflow
    def forgetting() -> None:
        def turn(n: int) -> Any:
            if n == 0:
                charge(n)
            tell(n)
            return Continue(n + 1) if n < 9 else Break()

        loop(turn, state=0, prune_every=2)

    found = words(painted(forgetting))

    assert found["step charge"] == "not in the turns that are kept"
    assert found["step tell"] == "done"


def test_the_losers_of_a_race_and_the_removed_are_said_to_be_so() -> None:
    @workflow
    def racing() -> None:
        race("first", quick=lambda: charge(1), slow=lambda: sleep("1h"))
        removed("old", "step")
        attempt(lambda: tell(1))
        join(a=lambda: charge(2), b=lambda: tell(2))

    found = painted(racing)
    said = words(found)

    assert (said["branch slow"], said["sleep sleep"], said["removed old"]) == ("not taken", "not taken", "taken out")
    assert {node.note for node in nodes_of(found.nodes) if node.kind in ("race", "join")} == {"won by quick", "2 of 2 branches"}
    assert said["attempt attempt"] == "done"


def test_an_entry_that_fits_no_node_is_listed_with_the_reason() -> None:
    row, entries = run_of(order, 3)
    gone = histories.Gone(("validate",), "3f2a91")
    strays = [made(90, "validate"), made(91, "go", kind="sleep"), made(92, "begin/~1/x")]

    found = graphs.painted(graph_of(order), [*entries, *strays], row, gone=gone)

    assert [(stray.location, stray.why) for stray in found.strays] == [
        ("validate", "the loaded code no longer makes it"),
        ("go", "no place in this code makes it"),
        ("begin/~1/x", "no place in this code makes it"),
    ]


def test_no_entry_is_dropped_however_many_fit_no_node() -> None:
    entries = [made(n, f"gone-{n}") for n in range(1, 501)]

    found = graphs.painted(Graph(), entries, ROW)

    assert (len(found.strays), found.more) == (200, 300)


def test_a_step_under_way_that_is_not_recorded_yet_is_where_the_run_is() -> None:
    row = changed(ROW, current="charge", attempts=0, attempts_max=4)
    graph = Graph((Node("checkpoint", "begin"), Node("step", "charge"), Node("step", "tell")))

    found = graphs.painted(graph, [made(1, "begin", kind="checkpoint")], row)

    assert [node.paint for node in found.nodes] == ["done", "here", "ahead"]


def test_of_a_history_that_was_not_read_whole_nothing_is_said_that_may_be_wrong() -> None:
    row, entries = run_of(order, 3)

    found = graphs.painted(graph_of(order), entries[-1:], row, whole=False)

    assert words(found)["checkpoint begin"] == "not among the entries looked at"


# --- the picture


def rectangles(drawing: Any) -> list[tuple[float, float, float, float]]:
    return [(tile.x, tile.y, tile.x + tile.width, tile.y + tile.height) for tile in drawing.tiles]


def test_the_picture_has_every_node_inside_it_and_none_upon_another() -> None:
    found = painted(order, 3)

    drawing = drawings.drawing_of(found.nodes)

    shapes = rectangles(drawing)
    assert sorted(tile.name for tile in drawing.tiles) == ["begin", "charge", "charge", "go", "return n", "tell"]
    assert {label.text for label in drawing.labels} == {"if n < 0", "if n % 2", "else"}
    assert all(x >= 0 and y >= 0 and right <= drawing.width and low <= drawing.height for x, y, right, low in shapes)
    assert not [
        (one, other) for at, one in enumerate(shapes) for other in shapes[at + 1 :]
        if one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
    ]  # fmt: skip


@pytest.fixture(scope="module")
def large() -> Graph:
    """A graph of four hundred nodes, nested in every way."""
    steps = tuple(Node("step", f"step-{n}", "app.py:1") for n in range(4))
    arms = tuple(Node("arm", f"if n == {n}", "app.py:1", (), steps) for n in range(3))
    part = (
        Node("fork", "", "app.py:1", (), arms),
        Node("loop", "again", "app.py:1", (), steps),
        Node("sleep", "nap", "app.py:1"),
    )
    return Graph(part * 20 + part[-1:] * 20)


def test_four_hundred_nodes_are_the_most_that_are_drawn(large: Graph, tmp_path: Path) -> None:
    more = Graph((*large.nodes, Node("step", "one-more", "app.py:1")))
    pages = []
    for name, graph in (("small", large), ("large", more)):
        file = tmp_path / f"{name}.db"
        with Lab(file, clock=FakeClock(NOW)) as lab:
            lab.start("order-1", order, 3)
            lab.run_once("order-1")
        tell_of(file, Manifest({}, {}, {"order": graph}))
        with serving(file) as served:
            pages.append(served.ask("/runs/order-1?view=graph").text)

    assert ('<svg class="g-svg"' in pages[0], '<svg class="g-svg"' in pages[1]) == (True, False)
    assert "more than 400 nodes: there is no picture" in pages[1]
    assert pages[1].count("one-more") == 1


@pytest.mark.budget
def test_a_graph_of_four_hundred_nodes_is_drawn_in_50_ms(large: Graph, tmp_path: Path, budget: Budget) -> None:
    file = tmp_path / "large.db"
    with Lab(file, clock=FakeClock(NOW)) as lab:
        lab.start("order-1", order, 3)
        lab.run_once("order-1")
    tell_of(file, Manifest({}, {}, {"order": large}))
    with serving(file) as served:
        budget.milliseconds([lambda: served.ask("/runs/order-1?view=graph")], 50)


# --- the page


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Runs of `order` in several states, and their graph as a worker would have published it."""
    file = tmp_path_factory.mktemp("orders") / "orders.db"
    with Lab(file, clock=FakeClock(NOW)) as lab:
        for n in (-1, 2, 3):
            lab.start(f"order-{n}", order, n)
            lab.run_once(f"order-{n}")
    tell_of(file, manifest_of([order]))
    with serving(file, editor="myeditor://open?file={file}&line={line}") as served:
        yield served


def test_the_page_says_of_every_node_what_it_is_and_where(orders: Served) -> None:
    text = orders.ask("/runs/order-3?view=graph").text

    assert '<a href="/runs/order-3?view=graph" aria-current="page" data-view="graph">Graph</a>' in text
    assert text.count("<strong>not reached yet</strong>") == 2  # the legend, and the last step
    assert "<code>if n % 2</code>" in text
    assert 'href="/runs/order-3/e/3"' in text
    assert re.search(r"tests/inspector/test_graph\.py:\d+", text)


def test_the_twin_has_the_same_nodes(orders: Served) -> None:
    page = orders.ask("/runs/order-3.json?view=graph").json()

    assert [(node["kind"], node["name"], node["paint"]) for node in page["painted"]["nodes"]][-2:] == [
        ("message", "go", "here"), ("step", "charge", "ahead"),
    ]  # fmt: skip
    assert page["codes"] == [{"code": "unnamed", "what": "last pass", "href": "/runs/order-3?view=graph", "on": True}]


def test_places_are_links_into_the_editor_that_was_asked_for(orders: Served, small: Served) -> None:
    here = Path(__file__).resolve()

    assert f'href="myeditor://open?file={here}&amp;line=' in orders.ask("/runs/order-3?view=graph").text
    assert "myeditor" not in small.ask("/runs/order-1?view=graph").text


def test_only_files_of_the_project_become_links(tmp_path: Path) -> None:
    link = __import__(f"{histories.__name__.rpartition('.present')[0]}.editors", fromlist=["editor_link"]).editor_link
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "app.py").touch()
    (tmp_path / "out.py").touch()

    asked = [
        "app.py:3",
        "../out.py:3",
        f"{tmp_path}/out.py:3",
        "app.py:x",
        "nope.py:3",
        "a\0.py:3",
        "",
        "app.py",
        "/etc/passwd:1",
    ]

    assert [bool(link("e://{file}:{line}", each, tmp_path / "in")) for each in asked] == [True] + [False] * 8
    assert link("e://{file}:{line}", "app.py:3", tmp_path / "in") == f"e://{tmp_path}/in/app.py:3"


def test_a_run_whose_code_nobody_published_says_so_and_lists_its_entries(tmp_path: Path) -> None:
    file = tmp_path / "bare.db"
    with Lab(file) as lab:
        lab.start("order-1", order, 3)
        lab.run_once("order-1")
    with serving(file) as served:
        text = served.ask("/runs/order-1?view=graph").text

    assert "No worker has published the graph" in text
    assert text.count("no place in this code makes it") == 3


def test_an_unknown_run_has_no_graph(orders: Served) -> None:
    assert orders.ask("/runs/nope?view=graph").status == 404


def test_a_part_that_is_current_is_not_sent_again(orders: Served) -> None:
    token = orders.ask("/runs/order-3.json?view=graph").json()["head"]["token"]

    assert orders.ask(f"/runs/order-3?view=graph&part=graph&as_of={token}").status == 204
    assert orders.ask("/runs/order-3?view=graph&part=graph").text.lstrip().startswith('<div id="graph"')


def test_the_loaded_code_comes_first_for_an_open_run_and_the_own_for_an_ended_one(tmp_path: Path) -> None:
    file = tmp_path / "two.db"
    with Lab(file, clock=FakeClock(NOW)) as lab:
        for n in (-1, 3):
            lab.start(f"order-{n}", order, n)
            lab.run_once(f"order-{n}")
    tell_of(file, manifest_of([order]))
    newer = Graph((Node("checkpoint", "begin", "app.py:1"), Node("step", "brand-new", "app.py:2")))
    tell_of(file, Manifest({}, {}, {"order": newer}), code="c" * 16)
    state = replace(LOADED, running="c" * 64)
    with serving(file, code=Code(state)) as served:
        pages = [served.ask(f"/runs/order-{n}.json?view=graph").json() for n in (3, -1)]
        chosen = served.ask(f"/runs/order-3.json?view=graph&code={'c' * 16}").json()

    assert [[code["what"] for code in page["codes"]] for page in pages] == [
        ["loaded now", "last pass"], ["last pass", "loaded now"],
    ]  # fmt: skip
    assert [stray["location"] for stray in pages[0]["painted"]["strays"]] == ["charge", "go"]
    assert chosen["painted"]["nodes"][1]["name"] == "brand-new"


def test_the_loaded_code_is_known_by_its_first_digits(tmp_path: Path) -> None:
    file = tmp_path / "served.db"
    with flowkit.open(file, workflows=[order]) as fk:
        fk.run("order-1", order, -1)
    with flowkit.open(file, worker=False) as fk:
        row = Reader(fk).run("order-1")
        assert row is not None
        code = Reader(fk).last_code(row)
    with serving(file, code=Code(replace(LOADED, running=code[:6]))) as served:
        page = served.ask("/runs/order-1.json?view=graph").json()

    assert [(each["code"], each["what"]) for each in page["codes"]] == [(code[:6], "loaded now")]
    assert page["painted"]["strays"] == []


def test_hostile_names_arrive_as_text(tmp_path: Path) -> None:
    file = tmp_path / "hostile.db"
    nodes = tuple(Node("step", text, f"{text}:1") for text in HOSTILE)
    arms = tuple(Node("arm", text, "app.py:1", (), nodes) for text in HOSTILE)
    graph = Graph((Node("fork", HOSTILE[0], "app.py:1", (), arms), Node("loop", HOSTILE[1], "app.py:1", (), nodes)))
    with Lab(file, clock=FakeClock(NOW)) as lab:
        lab.start("order-1", order, 3)
        lab.run_once("order-1")
    tell_of(file, Manifest({}, {}, {"order": graph}))
    with serving(file, editor="e://{file}:{line}") as served:
        text = served.ask("/runs/order-1?view=graph").text

    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert 'hx-get="/evil"' not in text
    assert "\u202e" not in text
    assert "e://" not in text


def test_the_small_databases_graphs_have_a_place_for_every_entry_but_of_other_code(small: Served) -> None:
    strays = {
        name: [stray["location"] for stray in small.ask(f"/runs/{name}.json?view=graph").json()["painted"]["strays"]]
        for name in ("order-1", "order-2", "order-4", "pack-1", "ship-1", "fetch-1", "archive-1", "approval-1", "held-1")
    }

    assert not any(strays.values()), strays
