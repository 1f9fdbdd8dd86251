"""Every page in a real browser: nothing inaccessible, no error, no request elsewhere, at every width and in both themes.

Chromium only: Firefox and Safari are not tested. Screenshots go to ``$FLOWKIT_SHOTS``, if that is set.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.inspector.browser import Watched, axe_source, launched, watched
from tests.inspector.served import Served, serving
from tests.inspector.stories import HOSTILE, build_long, build_small

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(90)]

SMALL = (
    "/", "/runs", "/runs?status=running&workflow=checkout", "/runs/order-1", "/runs/order-2", "/runs/order-4", "/runs/pack-1",
    "/runs/ship-1", "/runs/held-1", "/runs/order-2/e/3", "/runs/archive-1/e/1", "/runs/approval-1/messages",
    "/runs/order-2/recover", "/runs/order-4/cancel", "/runs/order-4/send", "/workflows", "/workflows/checkout/start", "/migrate",
)  # fmt: skip
EMPTY = ("/", "/runs", "/workflows", "/migrate")
WIDTHS = (360, 768, 1440)
JUDGED = (360, 1440)
"""The widths at which axe looks: cards and tables. Between them is the same document as at one of these."""
LOOKS = {"light": {"color_scheme": "light"}, "dark": {"color_scheme": "dark"}, "forced": {"forced_colors": "active"}}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_source()


@pytest.fixture(scope="module")
def recent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The small database, as if it had been written in the last half hour."""
    file = tmp_path_factory.mktemp("recent") / "orders.db"
    build_small(file, time.time() - 1_500)
    with serving(file) as served:
        yield served


@pytest.fixture
def fresh(recent: Served, tmp_path: Path) -> Iterator[Served]:
    """A copy of the recent database, to be written."""
    copy = tmp_path / "fresh.db"
    shutil.copy(Path(recent.app.site.settings.database), copy)
    with serving(copy) as served:
        yield served


def look_at(seen: Watched, served: Served, path: str, axe: str | None, name: str) -> list[str]:
    """Open a page; what is wrong with it."""
    seen.page.goto(served.base + path)
    found = [] if axe is None else seen.violations(axe)
    if seen.overflow() > 0:
        found.append(f"{seen.overflow()} px wider than the window")
    if folder := os.environ.get("FLOWKIT_SHOTS"):
        place = path.strip("/").replace("/", "_").replace("?", "_")[:60] or "home"
        seen.page.screenshot(path=f"{folder}/{name}-{place}.png", full_page=True)
    return [f"{path}: {each}" for each in found]


def look_at_all(
    browser: Browser, served: Served, paths: tuple[str, ...], axe: str | None, theme: str, width: int, name: str = "small"
) -> None:
    viewport = {"width": width, "height": 800}
    judge = axe if width in JUDGED else None
    with watched(browser, served.base, viewport=viewport, **LOOKS[theme]) as seen:
        found = [problem for path in paths for problem in look_at(seen, served, path, judge, f"{name}-{theme}-{width}")]

        assert not found
        assert not seen.errors
        assert not seen.foreign


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_a_small_database(browser: Browser, recent: Served, axe: str, theme: str, width: int) -> None:
    look_at_all(browser, recent, SMALL, axe, theme, width)


def test_pages_in_forced_colours(browser: Browser, recent: Served) -> None:
    """Without axe: the colours are the system's."""
    look_at_all(browser, recent, SMALL, None, "forced", 768)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_a_hostile_database(browser: Browser, hostile: Served, axe: str, theme: str, width: int) -> None:
    runs = [item["href"] for item in hostile.ask("/runs.json").json()["items"]]
    paths = ("/", "/runs", runs[0], f"{runs[1]}/e/1", f"{runs[2]}/messages", f"{runs[3]}/replay", runs[-1])

    assert len(runs) == len(HOSTILE)
    look_at_all(browser, hostile, paths, axe, theme, width, "hostile")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_of_an_empty_database(browser: Browser, axe: str, tmp_path: Path, theme: str) -> None:
    with serving(tmp_path / "empty.db") as served:
        for width in WIDTHS:
            look_at_all(browser, served, EMPTY, axe, theme, width, "empty")


@pytest.mark.parametrize("width", [320, *WIDTHS])
def test_pages_without_scripts(browser: Browser, recent: Served, width: int) -> None:
    options = {"viewport": {"width": width, "height": 800}, "java_script_enabled": False}
    with watched(browser, recent.base, **options) as seen:
        for path in SMALL:
            seen.page.goto(recent.base + path)
            assert seen.page.locator("h1").count() == 1
            assert seen.page.locator(".copy:visible").count() == 0

        assert not seen.errors
        assert not seen.foreign


def test_without_scripts_a_run_is_recovered_by_forms_alone(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base, java_script_enabled=False) as seen:
        seen.page.goto(f"{fresh.base}/runs/order-2")
        seen.page.get_by_role("link", name="Recover").click()
        seen.page.get_by_role("button", name="Recover").click()

        assert "Recovered at" in seen.page.locator(".notice").inner_text()
        assert fresh.client.get("order-2").status() == "pending"


def test_a_change_is_shown_without_a_reload(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base) as seen:
        seen.page.goto(f"{fresh.base}/runs/order-4")
        seen.page.wait_for_selector('#live[data-stream="open"]', state="attached")

        fresh.client.get("order-4").pause()

        seen.page.wait_for_selector("#now .state:has-text('paused')")
        assert not seen.errors


def test_a_morph_keeps_what_the_reader_opened_and_typed(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base) as seen:
        seen.page.goto(f"{fresh.base}/runs/approval-1/messages")
        seen.page.wait_for_selector('#live[data-stream="open"]', state="attached")
        seen.page.get_by_label("Data, as JSON").fill('{"a": 1}')

        for number in range(5):
            fresh.client.get("approval-1").send("note", {"n": number})
        seen.page.wait_for_selector('text={"n": 4}')

        assert seen.page.get_by_label("Data, as JSON").input_value() == '{"a": 1}'
        assert seen.page.evaluate("document.activeElement.name") == "data"


def test_recover_by_keys_alone_and_focus_comes_back(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base) as seen:
        seen.page.goto(f"{fresh.base}/runs/order-2")
        seen.page.wait_for_selector('#live[data-stream="open"]', state="attached")
        seen.page.keyboard.press("R")
        seen.page.wait_for_selector("dialog[open] .confirm")
        seen.page.keyboard.press("Escape")
        assert seen.page.evaluate("document.activeElement.dataset.verb") == "recover"
        seen.page.keyboard.press("R")
        seen.page.wait_for_selector("dialog[open] .confirm")
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_selector(".notice.good")

        assert fresh.client.get("order-2").status() == "pending"
        assert not seen.errors


def test_the_dialog_is_accessible_too(browser: Browser, recent: Served, axe: str) -> None:
    with watched(browser, recent.base) as seen:
        seen.page.goto(f"{recent.base}/runs/order-4")
        seen.page.wait_for_selector('#live[data-stream="open"]', state="attached")
        seen.page.get_by_role("link", name="Cancel").click()
        seen.page.wait_for_selector("dialog[open] .confirm")

        assert not seen.violations(axe)


def test_keys_walk_the_rows_and_lead_to_places(browser: Browser, recent: Served) -> None:
    with watched(browser, recent.base) as seen:
        seen.page.goto(f"{recent.base}/runs")
        seen.page.keyboard.press("j")
        seen.page.keyboard.press("j")
        assert seen.page.evaluate("document.activeElement.textContent") == "held-1"
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_url("**/runs/held-1")
        seen.page.keyboard.press("g")
        seen.page.keyboard.press("h")
        seen.page.wait_for_url(f"{recent.base}/")
        seen.page.keyboard.press("?")

        assert seen.page.locator("#keys[open]").count() == 1


def test_six_windows_of_one_browser_are_all_current(browser: Browser, fresh: Served) -> None:
    with ExitStack() as stack:
        context = browser.new_context()
        stack.callback(context.close)
        pages = [context.new_page() for _ in range(6)]
        for page in pages:
            page.goto(f"{fresh.base}/runs/order-4")

        fresh.client.get("order-4").pause()

        for page in pages:
            page.bring_to_front()
            page.wait_for_selector("#now .state:has-text('paused')", timeout=8_000)


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
