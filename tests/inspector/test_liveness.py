"""Pages stay current by themselves: by stream, by polling, over a restart of the server; and cost nothing while hidden."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import flowkit
from tests.inspector.browser import watched
from tests.inspector.served import Served, serving
from tests.inspector.stories import approval
from tests.inspector.tabs import tabbed, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

OPEN = '#live[data-stream="open"]'
PAUSED = "#now .state:has-text('paused')"
BACK_SECONDS = 2.0


def stream_opens(page: Page) -> None:
    page.wait_for_selector(OPEN, state="attached")


def parts_of(page: Page) -> list[str]:
    """The fragments that a page asks for from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "part=" in request.url else None)
    return asked


def wait_until(page: Page, found: list[str] | list[Request], count: int) -> None:
    """Poll the browser until so many requests were noted."""
    end = time.monotonic() + 20
    while len(found) < count:
        assert time.monotonic() < end, found
        page.wait_for_timeout(20)


def test_a_change_is_shown_without_a_reload(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base) as seen:
        seen.page.goto(f"{fresh.base}/runs/order-4")
        stream_opens(seen.page)

        fresh.client.get("order-4").pause()

        seen.page.wait_for_selector(PAUSED)
        assert not seen.errors


def test_twenty_updates_keep_focus_typing_details_and_scroll(browser: Browser, fresh: Served) -> None:
    run = fresh.client.start("wordy", approval, {"who": ["ada"] * 2_000})
    with watched(browser, fresh.base, viewport={"width": 900, "height": 400}) as seen:
        page = seen.page
        page.goto(f"{fresh.base}/runs/wordy")
        stream_opens(page)
        page.get_by_text("Show the rest").click()
        page.locator("#filter").fill("appr")
        page.evaluate("document.activeElement.setSelectionRange(1, 3); scrollTo(0, 150)")
        before = page.evaluate("scrollY")

        for number in range(20):
            shown = page.get_attribute("#now", "hx-get")
            run.send("note", {"n": number})
            page.wait_for_function("shown => document.querySelector('#now').getAttribute('hx-get') !== shown", arg=shown)

        assert before > 0
        assert page.evaluate("scrollY") == before
        assert page.evaluate("[document.activeElement.id, document.activeElement.value]") == ["filter", "appr"]
        assert page.evaluate("[document.activeElement.selectionStart, document.activeElement.selectionEnd]") == [1, 3]
        assert page.locator("details[open]").count() == 1
        assert not seen.errors


def test_messages_arrive_beside_a_form_that_is_being_filled_in(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base) as seen:
        seen.page.goto(f"{fresh.base}/runs/approval-1/messages")
        stream_opens(seen.page)
        seen.page.get_by_label("Data, as JSON").fill('{"a": 1}')

        for number in range(5):
            fresh.client.get("approval-1").send("note", {"n": number})
        seen.page.wait_for_selector('text={"n": 4}')

        assert seen.page.get_by_label("Data, as JSON").input_value() == '{"a": 1}'
        assert seen.page.evaluate("document.activeElement.name") == "data"


def test_nine_windows_are_current_and_poll_only_without_a_stream(browser: Browser, fresh: Served) -> None:
    with ExitStack() as stack:
        context = browser.new_context()
        stack.callback(context.close)
        pages = [context.new_page() for _ in range(9)]
        for page in pages:
            page.goto(f"{fresh.base}/runs/order-4")
            stream_opens(page)
        demoted, streaming = pages[:5], pages[5:]
        for page in demoted:
            page.wait_for_selector("#live:not([data-stream])", state="attached")
        polls, none = parts_of(demoted[0]), [parts_of(page) for page in streaming]

        wait_until(demoted[0], polls, 2)
        assert none == [[], [], [], []]
        assert len(fresh.app.site.pulse) == 4
        fresh.client.get("order-4").pause()

        for page in pages:
            page.wait_for_selector(PAUSED, timeout=8_000)


def test_a_page_is_live_again_soon_after_the_server_is(browser: Browser, recent: Served, tmp_path: Path) -> None:
    file = tmp_path / "away.db"
    shutil.copy(Path(recent.app.site.settings.database), file)
    with watched(browser, recent.base) as seen:
        page = seen.page
        failed: list[Request] = []
        connects: list[Request] = []
        page.on("requestfailed", lambda request: failed.append(request) if "/events" in request.url else None)
        page.on("request", lambda request: connects.append(request) if "/events" in request.url else None)
        with serving(file) as before:
            page.goto(f"{before.base}/runs/order-4")
            stream_opens(page)
            before.client.get("order-4").pause()
            page.wait_for_selector(PAUSED)
            token = before.ask("/runs/order-4.json").json()["head"]["token"]
        wait_until(page, failed, 4)  # by now it waits as long between two tries as it ever will
        page.wait_for_selector("#trouble button:text('Retry')")

        with serving(file, port=before.port) as after:
            begun = time.monotonic()
            after.client.get("order-4").resume()
            page.wait_for_selector("#now .state:not(:has-text('paused'))")
            assert time.monotonic() - begun < BACK_SECONDS
            stream_opens(page)

            assert connects[-1].headers["last-event-id"] == token
            assert page.locator("#trouble").inner_text() == ""


def test_a_failed_request_is_told_until_the_server_answers_again(browser: Browser, recent: Served, tmp_path: Path) -> None:
    """Nothing has changed meanwhile, so no part is fetched: that the stream is open again is all there is to hear."""
    file = tmp_path / "away.db"
    shutil.copy(Path(recent.app.site.settings.database), file)
    with watched(browser, recent.base) as seen:
        page = seen.page
        with serving(file) as before:
            page.goto(f"{before.base}/runs/order-4")
            stream_opens(page)
        page.wait_for_selector("#trouble button:text('Retry')")
        assert page.get_attribute("#trouble", "role") == "status"

        with serving(file, port=before.port):
            page.wait_for_selector(OPEN, state="attached")
            page.wait_for_selector("#trouble:empty", state="attached")


def test_a_region_that_is_out_of_date_gets_an_edge_and_retry_mends_it(browser: Browser, recent: Served, tmp_path: Path) -> None:
    file = tmp_path / "away.db"
    shutil.copy(Path(recent.app.site.settings.database), file)
    with watched(browser, recent.base) as seen:
        page = seen.page
        page.clock.install()
        with serving(file) as before:
            page.goto(f"{before.base}/runs/order-4")
            stream_opens(page)
        page.wait_for_selector("#live:not([data-stream])", state="attached")

        page.clock.run_for(25_000)
        page.wait_for_selector("#now.stale")
        assert page.evaluate("getComputedStyle(document.querySelector('#now')).outlineStyle") == "dashed"
        assert "updated 2" in str(page.get_attribute("#now", "title"))

        page.clock.pause_at(page.evaluate("Date.now()") + 1_000)  # else the page mends itself before it is asked to
        with serving(file, port=before.port):
            page.get_by_role("button", name="Retry").click()
            page.wait_for_selector("#now:not(.stale)")
            assert page.locator("#trouble").inner_text() == ""


def test_a_hidden_page_asks_for_nothing_and_is_current_when_shown(fresh: Served, tmp_path: Path) -> None:
    with tabbed(tmp_path / "profile") as tabs:
        page = tabs.open(f"{fresh.base}/runs/order-4")
        page.until("document.querySelector('#live').dataset.stream === 'open'")
        other = tabs.open("about:blank")
        page.until("document.hidden")
        wait_for(lambda: len(fresh.app.site.pulse) == 0, "the hidden page has closed its stream")
        before = len(page.requests)

        fresh.client.get("order-4").pause()
        other.until(f"performance.now() > {other.ask('performance.now()')} + 4000")  # longer than a poll takes to come round
        assert page.requests[before:] == []

        page.show()
        page.until("document.querySelector('#now').innerText.includes('paused')")


def test_all_that_a_runs_page_says_of_it_changes_with_it(browser: Browser, fresh: Served) -> None:
    """A page that was opened on a failed run and still gives a reason while the run goes on would be two stories."""
    with watched(browser, fresh.base) as seen:
        page = seen.page
        page.goto(f"{fresh.base}/runs/order-2")
        stream_opens(page)
        assert page.locator("#why").is_visible()
        title, passes = page.title(), page.locator("#facts").inner_text()

        fresh.client.get("order-2").recover()

        page.wait_for_selector("#now .state:has-text('pending')")
        page.wait_for_selector("#why", state="hidden")
        assert "Ended" in passes
        assert "Ended" not in page.locator("#facts").inner_text()
        assert page.title() != title
        assert page.title().startswith("pending")
        assert not seen.errors


def test_an_output_appears_and_rows_stay_in_their_order_when_a_run_ends(browser: Browser, fresh: Served) -> None:
    run = fresh.client.start("soon", approval, {"who": ["ada"]})
    with flowkit.open(fresh.app.site.settings.database, workflows=[approval]), watched(browser, fresh.base) as seen:
        page = seen.page
        page.goto(f"{fresh.base}/runs/soon")
        stream_opens(page)
        page.wait_for_selector("#now .state:has-text('sleeping')")
        first = page.locator("[data-order]").inner_text()
        assert page.locator("#output").is_hidden()

        run.send("approved", {"by": "ada"})

        page.wait_for_selector("#now .state:has-text('completed')")
        page.wait_for_selector("#output", state="visible")
        page.wait_for_selector("#history:not([hx-get])")
        assert page.locator("[data-order]").inner_text() == first
        assert not seen.errors
