"""Every page in a real browser: nothing inaccessible, no error, no request elsewhere, at every width and in every theme.

Chromium only: Firefox and Safari are not tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowkit.client.livecode import Cause, LoadError, SourceLine
from tests.dev.harness import until
from tests.inspector.browser import watched
from tests.inspector.looks import NARROWEST, WIDTHS, inaccessible, wrong_in_all_looks
from tests.inspector.served import Served, serving
from tests.inspector.stories import HOSTILE, build_long
from tests.inspector.test_code import LOADED, PENDING, Code

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SMALL = (
    "/", "/runs", "/runs?status=running&workflow=checkout", "/runs/order-1", "/runs/ship-1?view=graph", "/runs/order-2",
    "/runs/order-4", "/runs/pack-1", "/runs/ship-1", "/runs/held-1", "/runs/order-2/e/3", "/runs/order-2/logs",
    "/runs/archive-1/e/1", "/runs/approval-1/messages",
    "/runs/order-2/recover", "/runs/order-2/e/3/resolve", "/runs/order-2/replay",
    "/runs/order-4/cancel", "/runs/order-4/send", "/runs/order-4/pause",
    "/workflows", "/workflows/checkout/start", "/migrate", "/login",
    "/runs/order-4?view=timeline", "/runs/pack-1?view=timeline", "/runs/order-1/code", "/workflows/checkout", "/timers",
    "/messages",
    "/system", "/help", "/runs/order-4?view=rollback", "/runs/order-2?view=rollback", "/runs/order-2/export",
)  # fmt: skip
EMPTY = ("/", "/runs", "/workflows", "/migrate", "/timers", "/messages", "/system", "/bulk")
MILLION = ("/", "/runs?tag=vip&after=500000", "/runs?status=failed&workflow=checkout")
CODED = ("/", "/migrate", "/workflows", "/workflows/checkout/start", "/runs/held-1")
UNLOADED = ("/", "/migrate", "/workflows/checkout/start")
HELD = replace(
    LOADED, version=2, held=1, fits=3,
    causes=(
        Cause(
            workflow="checkout", runs=1, recorded="a step", made="", location="validate", source="app.py:27",
            lines=('removed("validate", "step")',), advice="And import removed.",
        ),
    ),
)  # fmt: skip
BROKEN = replace(
    LOADED, version=3, status="broken",
    error=LoadError(
        type="SyntaxError", message="'(' was never closed", source="app.py:31",
        lines=tuple(SourceLine(number=n, text=f"    receipt = charge(order {'#' * 90}", marked=n == 31) for n in range(29, 34)),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def small(recent: Served) -> Served:
    return recent


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("empty") / "empty.db") as served:
        yield served


@pytest.fixture(scope="module")
def held(recent: Served) -> Iterator[Served]:
    """The small database beside code that one of its runs does not fit."""
    with serving(Path(recent.app.site.settings.database), code=Code(HELD)) as served:
        yield served


@pytest.fixture(scope="module")
def broken(recent: Served) -> Iterator[Served]:
    """The small database beside a file that does not load."""
    with serving(Path(recent.app.site.settings.database), code=Code(BROKEN)) as served:
        yield served


@pytest.fixture(scope="module")
def waits(recent: Served) -> Iterator[Served]:
    """The small database beside code that waits for a person's word."""
    with serving(Path(recent.app.site.settings.database), code=Code(PENDING)) as served:
        yield served


def hostile_pages(served: Served) -> tuple[str, ...]:
    runs = [item["href"] for item in served.ask("/runs.json").json()["items"]]
    assert len(runs) == len(HOSTILE)
    return ("/", "/runs", runs[0], f"{runs[1]}/e/1", f"{runs[2]}/messages", f"{runs[2]}/logs", f"{runs[3]}/replay", runs[-1])


def million_pages(served: Served) -> tuple[str, ...]:
    until(
        lambda: not any("+" in count["text"] for count in served.ask("/home.json").json()["counts"]), "all runs are counted", 60
    )
    newest = served.ask("/runs.json").json()["items"][0]["href"]
    return (*MILLION, newest)


PAGES: dict[str, Callable[[Served], tuple[str, ...]]] = {
    "empty": lambda served: EMPTY, "small": lambda served: SMALL, "hostile": hostile_pages, "million": million_pages,
    "held": lambda served: CODED, "broken": lambda served: UNLOADED,
    "waits": lambda served: ("/", "/migrate"),
}  # fmt: skip


def pages_of(request: pytest.FixtureRequest, database: str) -> tuple[Served, tuple[str, ...]]:
    served: Served = request.getfixturevalue(database)
    return served, PAGES[database](served)


@pytest.mark.parametrize("database", PAGES)
def test_every_page_is_accessible_at_every_width(
    browser: Browser, axe: str, request: pytest.FixtureRequest, database: str
) -> None:
    served, paths = pages_of(request, database)

    assert not inaccessible(browser, served.base, axe, paths, database)


@pytest.mark.parametrize("database", PAGES)
def test_every_page_is_whole_without_scripts(browser: Browser, request: pytest.FixtureRequest, database: str) -> None:
    served, paths = pages_of(request, database)
    found: list[str] = []
    with watched(browser, served.base, java_script_enabled=False) as seen:
        for path in paths:
            seen.page.goto(served.base + path)
            if seen.page.locator("h1").count() != 1 or seen.page.locator(".copy:visible").count():
                found.append(f"{path}: no heading, or a button that needs scripts")
            for width in (NARROWEST, WIDTHS[-1]):
                seen.page.set_viewport_size({"width": width, "height": 800})
                found += [f"{path}: {width}: {each}" for each in seen.out_of_place()]
        found += seen.errors + seen.foreign

    assert not found


@pytest.mark.parametrize("element", ["style", "script"])
def test_a_breach_of_the_content_security_policy_would_be_seen(browser: Browser, recent: Served, element: str) -> None:
    with watched(browser, recent.base) as seen:
        seen.page.goto(recent.base)

        seen.page.evaluate(
            "name => document.head.append(Object.assign(document.createElement(name), {textContent: ' '}))", element
        )

        assert [text for text in seen.errors if "Content Security Policy" in text]


def test_a_request_to_another_host_would_be_seen(browser: Browser, recent: Served) -> None:
    from playwright.sync_api import Error

    with watched(browser, recent.base) as seen:
        seen.page.goto(recent.base)

        with pytest.raises(Error, match="ERR_"):
            seen.page.goto("http://127.0.0.1:9/elsewhere")

        assert seen.foreign == ["http://127.0.0.1:9/elsewhere"]


def test_the_dialog_is_accessible_too(browser: Browser, recent: Served, axe: str) -> None:
    with watched(browser, recent.base) as seen:
        seen.page.goto(f"{recent.base}/runs/order-4")
        seen.page.wait_for_selector('#live[data-stream="open"]', state="attached")
        seen.page.get_by_role("link", name="Cancel").click()
        seen.page.wait_for_selector("dialog[open] .confirm")

        assert not wrong_in_all_looks(seen, axe, "dialog")


def test_the_theme_is_chosen_without_a_flash(browser: Browser, recent: Served) -> None:
    with watched(browser, recent.base, color_scheme="light") as seen:
        seen.page.goto(recent.base)
        seen.page.get_by_role("button", name="Dark").click()
        seen.page.goto(f"{recent.base}/runs")

        assert seen.page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 25)"


def test_further_entries_come_when_they_are_scrolled_to(browser: Browser, tmp_path: Path) -> None:
    build_long(tmp_path / "long.db", 450)
    with serving(tmp_path / "long.db") as served, watched(browser, served.base) as seen:
        seen.page.goto(f"{served.base}/runs/long-1")
        assert seen.page.locator("tr[id^=e]").count() == 200

        seen.page.locator("#more").scroll_into_view_if_needed()
        seen.page.wait_for_selector("#e400")

        assert not seen.errors
