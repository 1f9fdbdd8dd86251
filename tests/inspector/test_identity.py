"""A list that changes under the mouse: each of its items keeps its identity, so that a click acts on what was pressed.

htmx turns an element of the page into the one that the server sends in its place. Without an id of its own an item is turned
into another as soon as one before it goes, and what was pressed as one run's button is released as another run's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.inspector.browser import watched
from tests.inspector.served import Served, serving
from tests.inspector.stories import checkout
from tests.inspector.test_code import PENDING, Code
from tests.inspector.test_replay import OLDER, REPLAY

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ITEMS = ("li", "tr", "form")
VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
LIVE = (
    "/", "/runs", "/runs?status=nonsense&workflow=none", "/timers", "/messages", "/messages?ended=1", "/system", "/workflows",
    "/migrate", "/bulk", "/runs/order-1", "/runs/order-2", "/runs/order-4", "/runs/pack-1", "/runs/ship-1", "/runs/approval-1",
    "/runs/approval-1/messages", "/runs/order-2/logs", "/runs/order-4?view=timeline", "/runs/order-4?view=rollback",
    "/runs/order-2?view=rollback", "/runs/held-1",
)  # fmt: skip


@dataclass
class Item:
    """A list item, row or form: whether it has an id, and what in it can be pressed."""

    tag: str
    id: str
    pressed: list[str] = field(default_factory=list)


class Regions(HTMLParser):
    """What stands in the regions of a page that change by themselves."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.items: list[Item] = []
        self.ids: Counter[str] = Counter()
        self._stack: list[tuple[str, bool, Item | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        if "id" in found:
            self.ids[found["id"]] += 1
        if tag in VOID:
            return
        self._close_left_out(tag)
        live = "outerMorph" in found.get("hx-swap", "") or bool(self._stack and self._stack[-1][1])
        item = self._stack[-1][2] if self._stack else None
        if live and tag in ITEMS:
            item = Item(tag, found.get("id", ""))
            self.items.append(item)
        if live and item is not None and tag in ("a", "button") and not found.get("id"):
            item.pressed.append(found.get("href", tag))
        self._stack.append((tag, live, item))

    def handle_endtag(self, tag: str) -> None:
        while self._stack and self._stack.pop()[0] != tag:
            pass

    def _close_left_out(self, tag: str) -> None:
        """Rows of a history leave out the end tags that may be left out."""
        ends = {"tr": ("td", "th", "tr"), "td": ("td", "th"), "th": ("td", "th")}.get(tag, ())
        while self._stack and self._stack[-1][0] in ends:
            self._stack.pop()


def nameless(page: str) -> list[Item]:
    """Items that can be pressed somewhere and would be turned into others."""
    return [item for item in Regions(page).items if item.pressed and not item.id]


@pytest.fixture(scope="module")
def reloaded(small_file: Path) -> Iterator[Served]:
    """The small database beside code that waits for a person's word and was tried on all runs."""
    with serving(small_file, code=Code(replace(PENDING, replays=(REPLAY, OLDER)))) as served:
        yield served


@pytest.mark.parametrize("path", LIVE)
def test_each_item_of_a_list_that_changes_has_an_id(small: Served, path: str) -> None:
    assert nameless(small.ask(path).text) == []


@pytest.mark.parametrize("path", LIVE)
def test_no_id_stands_twice_on_a_page(small: Served, path: str) -> None:
    assert [id for id, times in Regions(small.ask(path).text).ids.items() if times > 1] == []


@pytest.mark.parametrize("path", ["/", "/migrate", "/workflows"])
def test_each_item_of_what_is_said_of_the_code_has_an_id(reloaded: Served, path: str) -> None:
    page = reloaded.ask(path).text

    assert nameless(page) == []
    assert [id for id, times in Regions(page).ids.items() if times > 1] == []


def test_an_item_without_an_id_would_be_seen() -> None:
    page = (
        '<div hx-swap="outerMorph"><ul><li id="a"><a href="/1">1</a></li><li><a href="/2">2</a></li></ul></div>'
        '<li><a href="/3">3</a></li>'
    )

    assert [item.pressed for item in nameless(page)] == [["/2"]]


# --- in a browser


NOTE_CLICKS = """addEventListener("click", event => {
    const on = event.target.closest("a, button");
    window.clicked = on ? on.dataset.verb || on.getAttribute("href") : "nothing";
    event.preventDefault();
}, true)"""


@pytest.mark.browser
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("path", "rows"),
    [
        ("/", ".wakes li"),
        ("/timers", "#now tbody tr"),
        ("/messages", "#now tbody tr"),
        ("/runs?status=pending", "#rows tbody tr"),
    ],
)
def test_what_is_pressed_while_its_list_moves_is_not_released_as_another(
    browser: Browser, fresh: Served, path: str, rows: str
) -> None:
    for n in (1, 2, 3):
        fresh.client.start(f"soon-{n}", checkout.options(delay=600 + n), {"id": n}).send("note")
    first = "soon-3" if path.startswith("/runs") else "soon-1"
    with watched(browser, fresh.base, viewport={"width": 1280, "height": 2_000}) as seen:
        page = seen.page
        page.goto(fresh.base + path)
        page.wait_for_selector('#live[data-stream="open"]', state="attached")
        page.evaluate(NOTE_CLICKS)

        page.locator(f"{rows} a:text-is('soon-2')").first.hover()
        page.mouse.down()
        fresh.client.get(first).cancel()
        page.wait_for_selector(f"{rows} a:text-is('{first}')", state="detached")
        page.mouse.up()

        assert "soon-2" in (clicked := page.evaluate("window.clicked || 'soon-2'")) or clicked == "nothing"


@pytest.mark.browser
@pytest.mark.timeout(60)
def test_a_verb_that_is_pressed_while_the_run_moves_on_is_not_released_as_another(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base) as seen:
        page = seen.page
        page.goto(f"{fresh.base}/runs/order-4")
        page.wait_for_selector('#live[data-stream="open"]', state="attached")
        page.evaluate(NOTE_CLICKS)

        page.locator("[data-verb=pause]").hover()
        page.mouse.down()
        fresh.client.get("order-4").pause()
        page.wait_for_selector("[data-verb=resume]")
        page.mouse.up()

        assert page.evaluate("window.clicked || 'nothing'") in ("nothing", "pause")
