"""Bulks in a browser: their pages are accessible at every width, and follow what happens without a reload."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowkit.client.bulk import Bulks, BulkWish, Picks, narrowed
from flowkit.client.reader import Bulk
from flowkit.client.walk import Walker
from tests.inspector.browser import watched
from tests.inspector.looks import inaccessible
from tests.inspector.served import Served, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

PAGES = (
    "/bulk", "/bulk/1", "/bulk/2", "/bulk/3", "/bulk/4", "/bulk/new?verb=pause&status=completed", "/bulk/new?verb=send",
    "/bulk/new?verb=replay",
)  # fmt: skip


@pytest.fixture
def walked(recent: Served, tmp_path: Path) -> Iterator[Served]:
    """Bulks that are done, done with failures, stopped, and waiting for somebody to carry them on."""
    copy = tmp_path / "walked.db"
    shutil.copy(Path(recent.app.site.settings.database), copy)
    with serving(copy) as served:
        served.app.site.carrier.close()
        walker = Walker(served.client)
        walker.walk(asked(served, "recover", "a").seq)
        walker.walk(asked(served, "replay", "b", step="charge").seq)
        Bulks(served.client, "inspector").stop(asked(served, "wake", "c").seq)
        asked(served, "pause", "d")
        yield served


def asked(served: Served, verb: str, letter: str, step: str | None = None) -> Bulk:
    bulks = Bulks(served.client, "inspector")
    wish = BulkWish(verb=verb, picks=narrowed(verb, Picks(until=4e9)), top=bulks.newest_run(), step=step)
    return bulks.begin(letter * 32, wish, bulks.count(wish.picks, wish.top))


def test_the_pages_of_bulks_are_accessible_at_every_width(browser: Browser, axe: str, walked: Served) -> None:
    assert not inaccessible(browser, walked.base, axe, PAGES, "bulk")


def test_the_page_follows_its_bulk_without_a_reload(browser: Browser, walked: Served) -> None:
    with watched(browser, walked.base) as seen:
        seen.page.goto(walked.base + "/bulk/4")
        seen.page.evaluate("document.body.dataset.same = 'yes'")
        seen.page.wait_for_selector("#live[data-stream=open]", state="attached")

        Walker(walked.client).walk(4)

        seen.page.wait_for_selector(".bulk-state .done")
        assert seen.page.evaluate("document.body.dataset.same") == "yes"
        assert seen.page.locator("text=Stop").count() == 0
        assert not seen.errors


@pytest.mark.parametrize("scripts", [True, False])
def test_a_bulk_is_begun_from_the_run_list_and_stopped(browser: Browser, walked: Served, scripts: bool) -> None:
    with watched(browser, walked.base, java_script_enabled=scripts) as seen:
        seen.page.goto(walked.base + "/runs?status=sleeping")
        seen.page.click("summary:has-text('Do this to all')")
        seen.page.click("a:text-is('Pause')")
        seen.page.click("button:has-text('Pause')")
        seen.page.wait_for_url("**/bulk/5")

        seen.page.click("button:has-text('Stop')")

        seen.page.wait_for_selector(".bulk-state :text('stopped')")
        assert not seen.errors
