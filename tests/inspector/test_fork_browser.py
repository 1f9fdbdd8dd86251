"""What-if forks as a browser shows them: made, looked at beside the original, and answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.inspector.browser import watched
from tests.inspector.looks import inaccessible
from tests.inspector.served import Served
from tests.inspector.test_fork import ADDRESS, PRICE, alone, file, loaded

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["alone", "file", "loaded"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

PAGES = (PRICE, ADDRESS, "/runs/o/fork", "/runs/asks/fork", "/runs/waits/fork", "/runs/undoes/fork", "/runs/asks/e/3/resolve")


def test_the_pages_are_accessible_at_every_width(browser: Browser, axe: str, alone: Served) -> None:
    assert not inaccessible(browser, alone.base, axe, PAGES, "fork")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_person_makes_a_fork_from_an_entry(browser: Browser, loaded: Served, scripts: bool) -> None:
    with watched(browser, loaded.base, java_script_enabled=scripts) as seen:
        seen.page.goto(f"{loaded.base}/runs/o/e/2")
        seen.page.get_by_role("link", name="What if…").click()
        seen.page.get_by_role("textbox", name="Value").fill("300")
        seen.page.get_by_label("Reason").fill("the new list")
        seen.page.get_by_label("Run id").fill("dearer")
        seen.page.get_by_role("button", name="Make the fork").click()
        seen.page.wait_for_url(f"{loaded.base}/runs/dearer/fork")

        assert "the new list" in seen.page.content()

    assert loaded.client.get("dearer").status() == "pending"


@pytest.mark.parametrize("scripts", [True, False])
def test_a_person_answers_what_a_fork_asks(browser: Browser, alone: Served, scripts: bool) -> None:
    with watched(browser, alone.base, java_script_enabled=scripts) as seen:
        seen.page.goto(f"{alone.base}/runs/asks")
        seen.page.get_by_role("link", name="Fork", exact=True).click()
        seen.page.get_by_label("Reason").fill("a test account")
        seen.page.get_by_role("button", name="Run it for real").click()
        seen.page.wait_for_url(f"{alone.base}/runs/asks/fork?op=*")

        assert "Resolved by hand at" in seen.page.content()

    assert alone.client.get("asks").status() == "pending"


def test_a_reason_under_way_is_kept_while_the_page_refreshes(browser: Browser, alone: Served) -> None:
    with watched(browser, alone.base) as seen:
        seen.page.goto(f"{alone.base}/runs/asks/fork")
        seen.page.get_by_label("Reason").fill("half a rea")
        alone.client.send("asks", "address", "Rome")
        seen.page.wait_for_timeout(1_500)

        assert seen.page.get_by_label("Reason").input_value() == "half a rea"
