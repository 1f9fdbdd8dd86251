"""A newcomer's path through `make demo`, in a real browser: what it prints is all that this test knows of the mistake."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.dev.harness import descendants, until
from tests.inspector.browser import launched, watched

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]

DEMO = Path(__file__).parents[2] / "examples/demo_dev.py"


class Demo(NamedTuple):
    """A running demo: where its inspector is, its file, and which line of it to mend."""

    url: str
    shop: Path
    line: int
    wrong: str
    right: str

    def mend(self) -> None:
        lines = self.shop.read_text("utf-8").splitlines(keepends=True)
        assert self.wrong in lines[self.line - 1]
        lines[self.line - 1] = lines[self.line - 1].replace(self.wrong, self.right)
        self.shop.write_text("".join(lines), "utf-8")


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """The demo as `make demo` starts it, and what it says."""
    command = [sys.executable, str(DEMO), str(tmp_path / "shop"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said: list[str] = []
        reader = threading.Thread(target=said.extend, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            url = until(lambda: re.search(r"http://localhost:\d+/", "".join(said)), f"an address; got {said}", 20)
            told = re.search(r"mend line (\d+) of that file: (\S+) should be (\S+)", "".join(said))
            assert told is not None
            yield Demo(url[0], tmp_path / "shop/shop.py", int(told[1]), told[2], told[3])
        finally:
            end(process)
            reader.join(2)


def end(process: subprocess.Popen[str]) -> None:
    """Stop it, and whatever it has not stopped itself."""
    family = descendants(process.pid)
    process.terminate()
    try:
        process.wait(8)
    except subprocess.TimeoutExpired:
        process.kill()
        for pid in family:
            os.kill(pid, signal.SIGKILL)


def code_in_banner(page: Page) -> str:
    """The first digits of the code that the banner names, empty as long as it names none."""
    found = re.search(r"Code ([0-9a-f]{6})", page.locator("#banner").inner_text())
    return found[1] if found else ""


_HREFS = "links => links.map(link => link.href)"


def at_rest(page: Page) -> bool:
    """Whether the list of what needs somebody stays as it is for a while: what moves is not clicked."""
    links = page.locator(".need a.id")
    before = links.evaluate_all(_HREFS)
    page.wait_for_timeout(1_500)
    return any(href.endswith("order-6") for href in before) and links.evaluate_all(_HREFS) == before


def test_a_newcomer_reads_why_a_run_stopped_mends_the_file_and_recovers_it(demo: Demo) -> None:
    with launched() as browser, watched(browser, demo.url) as seen:
        page = seen.page
        page.goto(demo.url)
        until(lambda: at_rest(page), "the runs of the demo have come to rest")
        need = page.locator(".need", has_text="order-6")
        assert page.get_by_role("heading", name="Needs you").is_visible()
        assert "exhausted at charge" in need.inner_text()

        need.get_by_role("link", name="order-6", exact=True).click()
        page.wait_for_url("**/runs/order-6")
        why = page.get_by_role("region", name=re.compile("Why it stopped")).inner_text()
        assert "'Voucher' object has no attribute 'cent'" in why
        assert f"shop.py:{demo.line}" in why
        assert f"due -= {demo.wrong}" in why

        page.wait_for_selector('#live[data-stream="open"]', state="attached")
        before = until(lambda: code_in_banner(page), "the banner names the code")
        page.evaluate("window.neverReloaded = true")
        demo.mend()
        until(lambda: code_in_banner(page) not in ("", before), "the banner names the new code")
        assert page.evaluate("window.neverReloaded")

        page.get_by_role("link", name="Recover").click()
        page.locator("dialog[open]").get_by_role("button", name="Recover").click()
        page.wait_for_selector(".notice.good")
        page.wait_for_selector("#now .state:has-text('completed')")
        page.wait_for_selector("text=1Z-kettle-1100")

        assert not seen.errors
        assert not seen.foreign
