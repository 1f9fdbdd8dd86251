"""Workers in trouble as a browser shows them: readable at every width and in both looks, live, and without scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.inspector.browser import watched
from tests.inspector.looks import inaccessible
from tests.inspector.served import Served
from tests.inspector.test_health import file, report, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["file", "served"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

LONG = "cannot import name 'charge_the_card_of_the_customer' from 'shop.payments.providers.international'"


def test_the_region_is_accessible_at_every_width(browser: Browser, axe: str, served: Served) -> None:
    report(served, "order", line=LONG)
    report(served, "refund", source="w-8", kind="loop", type="BlockedLoop", line="nothing else ran on it for 3 s", worker=0)

    assert not inaccessible(browser, served.base, axe, ("/", "/runs/o-1"), "health")


def test_a_page_that_is_open_hears_of_a_worker_in_trouble(browser: Browser, served: Served) -> None:
    with watched(browser, served.base) as seen:
        seen.page.goto(served.base + "/")
        seen.page.wait_for_selector("#live[data-stream=open]", state="attached")

        report(served, "order")

        seen.page.wait_for_selector("text=ImportError in app.py:3 on worker w-7", timeout=5_000)


def test_a_run_that_is_open_hears_of_it_too(browser: Browser, served: Served) -> None:
    with watched(browser, served.base) as seen:
        seen.page.goto(served.base + "/runs/o-1")
        seen.page.wait_for_selector("#live[data-stream=open]", state="attached")

        report(served, "order")

        seen.page.wait_for_selector("text=ImportError in app.py:3 on worker w-7", timeout=5_000)


def test_it_is_there_without_scripts(browser: Browser, served: Served) -> None:
    report(served, "order")

    with watched(browser, served.base, java_script_enabled=False) as seen:
        seen.page.goto(served.base + "/")

        assert seen.page.get_by_role("heading", name="Workers in trouble").count() == 1
        seen.page.get_by_role("link", name="Its runs of order").click()
        seen.page.wait_for_url(f"{served.base}/runs?workflow=order")
