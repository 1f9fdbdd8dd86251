"""An entry opens beside the history where there is room, and is a page of its own everywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.inspector.browser import AXE_RULES, watched
from tests.inspector.served import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]
WIDE = {"width": 1440, "height": 800}


def test_an_entry_opens_beside_the_history_and_esc_closes_it(browser: Browser, recent: Served, axe: str) -> None:
    with watched(browser, recent.base, viewport=WIDE) as seen:
        page = seen.page
        page.goto(f"{recent.base}/runs/order-2")
        page.get_by_role("link", name="reserve").click()
        page.wait_for_selector("#pane:focus")
        assert page.url == f"{recent.base}/runs/order-2/e/2"
        assert page.locator("#pane h2 .id").inner_text() == "reserve"
        page.evaluate(axe)
        assert not seen.violations(AXE_RULES)

        page.keyboard.press("j")
        page.keyboard.press("Enter")
        page.wait_for_selector("#pane:has-text('CardDeclined')")
        page.keyboard.press("Escape")

        page.wait_for_selector("#pane", state="hidden")
        assert page.url == f"{recent.base}/runs/order-2"
        assert page.evaluate("document.activeElement.textContent") == "charge"
        assert not seen.errors


def test_the_address_of_an_entry_beside_is_that_of_its_page(browser: Browser, recent: Served) -> None:
    with watched(browser, recent.base, viewport=WIDE) as seen:
        page = seen.page
        page.goto(f"{recent.base}/runs")
        page.goto(f"{recent.base}/runs/order-2?only=steps")
        page.locator(".history").get_by_role("link", name="reserve").click()
        page.wait_for_selector("#pane:focus")
        page.get_by_role("link", name="Close").click()
        assert page.url == f"{recent.base}/runs/order-2?only=steps"
        page.locator(".history").get_by_role("link", name="reserve").click()
        page.wait_for_selector("#pane:focus")
        page.get_by_role("link", name="Next entry").click()
        page.wait_for_selector("#pane:has-text('CardDeclined')")

        page.reload()
        assert page.locator("h2 .id").inner_text() == "charge"
        assert page.locator("#pane").count() == 0

        page.go_back()
        page.wait_for_selector(".history")
        assert page.url == f"{recent.base}/runs/order-2?only=steps"
        page.go_back()
        page.wait_for_url(f"{recent.base}/runs")


def test_back_closes_an_entry_beside_and_forward_leads_to_its_page(browser: Browser, recent: Served) -> None:
    with watched(browser, recent.base, viewport=WIDE) as seen:
        page = seen.page
        page.goto(f"{recent.base}/runs")
        page.goto(f"{recent.base}/runs/order-2")
        page.locator(".history").get_by_role("link", name="reserve").click()
        page.wait_for_selector("#pane:focus")

        page.go_back()
        page.wait_for_selector("#pane", state="hidden")
        assert page.evaluate("[location.pathname, document.activeElement.textContent]") == ["/runs/order-2", "reserve"]
        page.go_forward()
        page.wait_for_selector("h2:has-text('reserve')")
        page.go_back()
        page.wait_for_selector(".history")
        page.go_back()

        page.wait_for_url(f"{recent.base}/runs")
        assert not seen.errors


def test_an_entry_beside_stays_while_the_history_goes_on(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base, viewport=WIDE) as seen:
        page = seen.page
        page.goto(f"{fresh.base}/runs/order-4")
        page.wait_for_selector('#live[data-stream="open"]', state="attached")
        page.locator(".history").get_by_role("link", name="reserve").click()
        page.wait_for_selector("#pane:focus")

        fresh.client.get("order-4").pause()

        page.wait_for_selector("#now .state:has-text('paused')")
        assert page.locator("#pane h2 .id").inner_text() == "reserve"
        assert page.locator(".history [aria-current]").inner_text() == "reserve"
        assert page.evaluate("document.activeElement.id") == "pane"
        assert not seen.errors


@pytest.mark.parametrize(("width", "scripts"), [(768, True), (1440, False)])
def test_an_entry_is_a_page_where_there_is_no_room_or_no_script(
    browser: Browser, recent: Served, width: int, scripts: bool
) -> None:
    with watched(browser, recent.base, viewport={"width": width, "height": 800}, java_script_enabled=scripts) as seen:
        seen.page.goto(f"{recent.base}/runs/order-2")
        seen.page.locator(".history").get_by_role("link", name="reserve").click()
        seen.page.wait_for_url(f"{recent.base}/runs/order-2/e/2")

        assert seen.page.get_by_role("link", name="History").count() == 1
        assert seen.page.locator("#pane").count() == 0
