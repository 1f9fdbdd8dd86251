"""Using the inspector as a person does: with keys alone, with the back button, twice in haste, and from a page that is old."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.dev.harness import APP, Dev, until
from tests.inspector.browser import watched
from tests.inspector.served import Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

LONGER = APP.replace('    receive("go")', '    validate(n)\n    receive("go")').replace(
    "@workflow", "@step\ndef validate(n: int) -> bool:\n    return True\n\n@workflow"
)


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dev]:
    """``flowkit dev`` over a workflow with one step more than the usual one has."""
    monkeypatch.delenv("FLOWKIT_DB", raising=False)
    (tmp_path / "app.py").write_text(LONGER, "utf-8")
    made = Dev(tmp_path, "app.py")
    yield made
    made.end()


def visit(page: Page, url: str) -> None:
    """Open a page and wait until it is live, and its scripts are at work."""
    page.goto(url)
    page.wait_for_selector('#live[data-stream="open"]', state="attached")


def focused(page: Page, name: str) -> str:
    """A `data-` attribute of what has the focus."""
    return str(page.evaluate("name => document.activeElement.dataset[name] || ''", name))


def tab_to(page: Page, condition: str) -> None:
    """Press Tab until a condition on the focused element `e` holds."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(f"(e => {condition})(document.activeElement)"):
            return
    raise AssertionError(f"Tab never comes to {condition}")


def open_and_leave(page: Page, key: str, verb: str) -> None:
    """Open a verb's dialog by its key, leave it, and find the focus where it was; then open it again."""
    for _ in range(2):
        page.keyboard.press(key)
        page.wait_for_selector("dialog[open] .confirm")
        if page.evaluate("window.left"):
            return
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog:not([open])", state="attached")
        assert focused(page, "verb") == verb
        page.evaluate("window.left = true")


# --- by keys alone


def test_recover_by_keys_alone_and_focus_comes_back(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base) as seen:
        visit(seen.page, f"{fresh.base}/runs/order-2")
        open_and_leave(seen.page, "R", "recover")
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_selector(".notice.good")

        assert fresh.client.get("order-2").status() == "pending"
        assert not seen.errors


def test_cancel_by_keys_alone_and_focus_comes_back(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base) as seen:
        visit(seen.page, f"{fresh.base}/runs/order-4")
        open_and_leave(seen.page, "X", "cancel")
        tab_to(seen.page, "e.textContent.trim() === 'Cancel'")
        seen.page.keyboard.press("Enter")
        seen.page.wait_for_selector(".notice.good")

        assert fresh.client.get("order-4").status() == "cancelled"
        assert not seen.errors


def test_send_by_keys_alone_and_focus_comes_back(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base) as seen:
        page = seen.page
        visit(page, f"{fresh.base}/runs/approval-1")
        page.keyboard.press(".")
        if focused(page, "verb") != "send":
            tab_to(page, "e.dataset.verb === 'send'")
        open_and_leave(page, "Enter", "send")
        assert page.evaluate("document.activeElement.value") == "approved"  # which the run waits for
        page.keyboard.press("Control+a")
        page.keyboard.type("note")
        page.keyboard.press("Tab")
        page.keyboard.type('{"by": "keys"}')
        tab_to(page, "e.textContent.trim() === 'Send message'")
        page.keyboard.press("Enter")
        page.wait_for_selector(".notice.good")

        kept = fresh.ask("/runs/approval-1/messages.json").json()["kept"]
        assert [(message["name"], message["line"]) for message in kept][-1] == ("note", '{"by": "keys"}')
        assert not seen.errors


def test_start_by_keys_alone(browser: Browser, dev: Dev) -> None:
    url = dev.wait("ready")["url"]
    dev.wait("loaded")
    with watched(browser, url) as seen:
        page = seen.page
        visit(page, url)
        page.keyboard.press("g")
        page.keyboard.press("w")
        page.wait_for_url("**/workflows")
        tab_to(page, "e.getAttribute('href') === '/workflows/checkout/start'")
        page.keyboard.press("Enter")
        page.wait_for_url("**/start")
        tab_to(page, "e.name === 'a.n'")
        page.keyboard.press("Control+A")
        page.keyboard.type("7")
        tab_to(page, "e.name === 'id'")
        page.keyboard.press("Control+A")
        page.keyboard.type("by-keys")
        page.keyboard.press("Enter")
        page.wait_for_url("**/runs/by-keys")
        page.wait_for_selector("#now .state:has-text('sleeping')")

        assert dev.log() == ["charge 7"]
        assert not seen.errors


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


# --- back, twice, late


def test_keys_lead_to_the_timeline_the_timers_and_the_system(browser: Browser, recent: Served) -> None:
    with watched(browser, recent.base) as seen:
        seen.page.goto(f"{recent.base}/runs/order-4")
        seen.page.keyboard.press("t")
        seen.page.wait_for_url("**/runs/order-4?view=timeline")
        for keys, place in (("gt", "/timers"), ("gs", "/system")):
            for key in keys:
                seen.page.keyboard.press(key)
            seen.page.wait_for_url(f"**{place}")

        assert not seen.errors


def test_back_and_forward_keep_the_filters(browser: Browser, recent: Served) -> None:
    with watched(browser, recent.base) as seen:
        page = seen.page
        page.goto(f"{recent.base}/runs")
        page.get_by_label("Status").select_option("failed")
        page.get_by_label("Workflow").fill("checkout")
        page.get_by_role("button", name="Filter").click()
        page.wait_for_url("**/runs?*status=failed*")
        filtered, rows = page.url, page.locator("[data-row]").all_inner_texts()
        page.get_by_role("link", name="order-3", exact=True).click()
        page.wait_for_url("**/runs/order-3")

        page.go_back()
        assert page.url == filtered
        assert page.locator("[data-row]").all_inner_texts() == rows == ["order-3", "order-2"]
        assert page.get_by_label("Status").input_value() == "failed"
        assert page.get_by_label("Workflow").input_value() == "checkout"
        page.go_back()
        assert page.locator("[data-row]").count() > len(rows)
        assert page.get_by_label("Status").input_value() == ""
        page.go_forward()
        assert page.url == filtered
        assert page.locator("[data-row]").all_inner_texts() == rows


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
def test_a_double_click_is_one_wish(browser: Browser, fresh: Served, scripts: bool) -> None:
    with watched(browser, fresh.base, java_script_enabled=scripts) as seen:
        page = seen.page
        page.goto(f"{fresh.base}/runs/approval-1/messages")
        page.get_by_label("Name").fill("note")

        page.get_by_role("button", name="Send").dblclick()
        page.wait_for_selector(".notice.good")

        kept = fresh.ask("/runs/approval-1/messages.json").json()["kept"]
        assert [message["name"] for message in kept] == ["comment", "note"]


def test_a_double_click_on_recover_is_no_refusal(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base, java_script_enabled=False) as seen:
        seen.page.goto(f"{fresh.base}/runs/order-2/recover")

        seen.page.get_by_role("button", name="Recover").dblclick()

        seen.page.wait_for_selector(".notice.good:has-text('Recovered at')")


def test_a_dialog_that_is_out_of_date_is_refused_and_filled_in_afresh(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base) as seen:
        page = seen.page
        visit(page, f"{fresh.base}/runs/order-2")
        page.get_by_role("link", name="Replay").click()
        page.wait_for_selector("dialog[open] .confirm")
        stale = page.locator("dialog [name=seen]").input_value()
        fresh.client.get("order-2").recover()

        with page.expect_navigation() as answer:
            page.locator("dialog[open]").get_by_role("button", name="Replay").click()

        assert answer.value is not None
        assert answer.value.status == 409
        assert "moved on" in page.locator(".notice.refused").inner_text()
        assert page.locator(".confirm-page [name=seen]").input_value() != stale
        page.locator(".confirm-page").get_by_role("button", name="Replay").click()
        page.wait_for_selector(".notice.good")


def test_without_scripts_a_run_is_recovered_by_forms_alone(browser: Browser, fresh: Served) -> None:
    with watched(browser, fresh.base, java_script_enabled=False) as seen:
        seen.page.goto(f"{fresh.base}/runs/order-2")
        seen.page.get_by_role("link", name="Recover").click()
        seen.page.get_by_role("button", name="Recover").click()

        assert "Recovered at" in seen.page.locator(".notice").inner_text()
        assert fresh.client.get("order-2").status() == "pending"


# --- held by code


def copied(page: Page, what: str) -> str:
    """What the banner's button puts on the clipboard."""
    page.locator("#banner").get_by_role("button", name=f"Copy {what}").click()
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_the_copied_line_frees_the_held_runs(browser: Browser, dev: Dev) -> None:
    url = dev.wait("ready")["url"]
    dev.wait("loaded")
    with dev.client() as client, watched(browser, url, permissions=["clipboard-read", "clipboard-write"]) as seen:
        page = seen.page
        visit(page, f"{url}workflows/checkout/start")
        page.locator("[name=id]").fill("r-1")
        page.get_by_role("button", name="Start").click()
        page.wait_for_selector("#now .state:has-text('sleeping')")

        dev.save(APP)
        page.wait_for_selector("#now .state:has-text('blocked')")
        page.wait_for_selector("#banner .cause")
        line, imported = copied(page, "line"), copied(page, "import")
        place = re.search(r"app\.py:(\d+)", page.locator("#banner .cause").inner_text())
        assert place is not None
        lines = APP.splitlines(keepends=True)
        lines.insert(int(place[1]) - 1, f"    {line}\n")
        dev.save("".join([f"{imported}\n", *lines]))

        page.wait_for_selector("#now .state:has-text('sleeping')")
        assert line == 'removed("validate", "step")'
        client.send("r-1", "go")
        until(lambda: client.get("r-1").status() == "completed", "the freed run goes on to its end")
        page.wait_for_selector("#now .state:has-text('completed')")
        assert dev.log() == ["charge 1"]
