"""A real browser for tests: the machine's own Chromium, driven by Playwright, and axe-core from a cache outside the tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import require

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["AXE_BOXES", "AXE_COLOURS", "AXE_RULES", "Watched", "axe_source", "chromium", "launched", "watched"]

AXE = "axe-core-4.14.1"
AXE_RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
AXE_COLOURS = ("color-contrast",)
AXE_BOXES = (
    "aria-hidden-focus", "button-name", "label", "link-in-text-block", "link-name", "nested-interactive",
    "scrollable-region-focusable", "target-size", "td-headers-attr", "th-has-data-cells",
)  # fmt: skip
"""Rules that ask what is seen, how large it is, or what is left of a table whose rows are cards."""
OUT_OF_PLACE = """(() => {
    const root = document.documentElement, wider = root.scrollWidth - root.clientWidth;
    const out = [...document.querySelectorAll("a, button, li, pre, section, .banner, .notice")]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth && getComputedStyle(e).overflowX === "visible"
        && getComputedStyle(e).borderRightWidth !== "0px")
    .map(e => `sticks out: ${e.innerText.slice(0, 60)}`);
    return wider > 0 ? [`${wider} px wider than the window`, ...out] : out;
})()"""
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "flowkit-tests"


@contextmanager
def launched() -> Iterator[Browser]:
    """The browser; a test that needs it is skipped where there is none."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        require(False, "playwright is not installed")
        raise
    program = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])  # root has no other way
        yield browser
        browser.close()


def chromium() -> str:
    """The machine's own browser; a test that needs it is skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    require(program, "no Chromium is installed; on Debian: apt-get install --no-install-recommends chromium fonts-dejavu-core")
    return str(program)


def axe_source() -> str:
    """The text of axe-core, fetched once by npm. It is for tests only and never part of the package."""
    script = _CACHE / f"{AXE}.min.js"
    if not script.exists():
        require(shutil.which("npm"), "axe-core is not in the cache, and there is no npm to fetch it")
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
            _fetch(Path(folder)).replace(script)  # whole or not at all: several test processes may be at it
    return script.read_text("utf-8")


def _fetch(folder: Path) -> Path:
    packed = subprocess.run(["npm", "pack", "axe-core@4.14.1"], cwd=folder, capture_output=True, text=True)
    require(packed.returncode == 0, f"npm could not fetch axe-core: {packed.stderr[-200:]}")
    with tarfile.open(folder / f"{AXE}.tgz") as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        script = folder / "axe.min.js"
        script.write_bytes(member.read())
    return script


class Watched:
    """A page whose errors and requests to elsewhere are noted."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.on("console", lambda message: self._note(message))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._check(request.url, base))

    def _note(self, message: Any) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _check(self, url: str, base: str) -> None:
        if not url.startswith((base, "data:")):
            self.foreign.append(url)

    def out_of_place(self) -> list[str]:
        """What does not keep within its window, and boxes with a border whose content is wider than they are, so that it lies
        on their neighbours.
        """
        return list(self.page.evaluate(OUT_OF_PLACE))

    def violations(self, rules: Sequence[str]) -> list[str]:
        """What axe-core finds wrong. It is put in by `evaluate`, which passes our policy; a script element would not."""
        options = {"runOnly": list(rules), "resultTypes": ["violations"], "preload": False, "selectors": False}
        found = self.page.evaluate("options => axe.run(document, options).then(found => found.violations)", options)
        return [f"{each['id']}: {node['html'][:160]}" for each in found for node in each["nodes"]]


@contextmanager
def watched(browser: Browser, base: str, **options: Any) -> Iterator[Watched]:
    """A new page in a context of its own."""
    context = browser.new_context(reduced_motion="reduce", **options)
    try:
        page = context.new_page()
        page.set_default_timeout(10_000)
        yield Watched(page, base)
    finally:
        context.close()
