"""The form that gives a step's outcome and the one that changes tags, as a browser shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.inspector.browser import watched
from tests.inspector.looks import inaccessible
from tests.inspector.served import Served
from tests.inspector.test_resolve import CHARGE, COUNT, file, loaded

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["file", "loaded"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]


def test_the_forms_are_accessible_at_every_width(browser: Browser, axe: str, loaded: Served) -> None:
    assert not inaccessible(browser, loaded.base, axe, (CHARGE, COUNT, "/runs/o-1/e/2"), "resolve")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_person_gives_another_error(browser: Browser, loaded: Served, scripts: bool) -> None:
    with watched(browser, loaded.base, java_script_enabled=scripts) as seen:
        seen.page.goto(f"{loaded.base}/runs/o-1/e/2")
        seen.page.get_by_role("link", name="Resolve by hand").click()
        seen.page.get_by_label("It failed with another error").check()
        seen.page.get_by_label("Type").fill("Declined")
        seen.page.get_by_label("Text", exact=True).fill("by hand")
        seen.page.get_by_label("Reason").fill("asked the bank")
        seen.page.get_by_role("button", name="Resolve and go on").click()
        seen.page.wait_for_url(f"{loaded.base}/runs/o-1?op=*")

        assert "Resolved by hand at" in seen.page.content()

    assert loaded.client.get("o-1").history()[1].status == "failed"


def test_a_person_changes_tags(browser: Browser, own: Served) -> None:
    with watched(browser, own.base) as seen:
        seen.page.goto(f"{own.base}/runs/order-1")
        seen.page.locator("summary", has_text="Change tags").click()
        seen.page.get_by_label("Put on").fill("vip")
        seen.page.get_by_role("button", name="Change tags").click()
        seen.page.wait_for_url(f"{own.base}/runs/order-1?op=*")

        assert seen.page.locator("a.tag", has_text="vip").count() == 1
