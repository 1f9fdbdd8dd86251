"""How a page looks: every width, every theme, and what is wrong with it there.

A page is loaded once and then shown at all widths and in all themes: the style sheet is all that depends on them. A theme
changes colours and no boxes, a width changes boxes and no names: so every rule is asked of the light page with its tables,
those that colours and boxes decide of the dark one with its cards, and whether all keeps within the window at each width.
Screenshots go to ``$FLOWKIT_SHOTS``, if that is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

from tests.inspector.browser import AXE_BOXES, AXE_COLOURS, AXE_RULES, Watched, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["LOOKS", "NARROWEST", "WIDTHS", "inaccessible", "wrong_in_all_looks"]


class Media(TypedDict):
    """What a browser tells a style sheet of its person."""

    color_scheme: Literal["light", "dark"]
    forced_colors: Literal["none", "active"]


WIDTHS = (360, 768, 1440)
NARROWEST = 320
LOOKS: dict[str, Media] = {
    "light": {"color_scheme": "light", "forced_colors": "none"},
    "dark": {"color_scheme": "dark", "forced_colors": "none"},
    "forced": {"color_scheme": "dark", "forced_colors": "active"},
}
RULES: Mapping[int, Mapping[str, Sequence[str]]] = {
    WIDTHS[0]: {"dark": (*AXE_COLOURS, *AXE_BOXES)},
    WIDTHS[-1]: {"light": AXE_RULES, "forced": AXE_COLOURS},
}
"""What axe-core is asked in which look."""


def inaccessible(browser: Browser, base: str, axe: str, paths: Iterable[str], name: str) -> list[str]:
    """What is wrong with these pages in any look, or was told to the console; `name` is that of the screenshots."""
    found: list[str] = []
    styles: set[str] = set()
    with watched(browser, base) as seen:
        for path in paths:
            seen.page.goto(base + path)
            found += [f"{path}: {each}" for each in wrong_in_all_looks(seen, axe, f"{name}-{_file_name(path)}", styles)]
        return found + seen.errors + seen.foreign


def wrong_in_all_looks(seen: Watched, axe: str, name: str, styles: set[str] | None = None) -> list[str]:
    """What is wrong with the page as it stands. `styles`: style sheets whose forced colours were looked at before."""
    seen.page.evaluate(axe)
    known: set[str] = set() if styles is None else styles
    found: list[str] = []
    for width in (NARROWEST, *WIDTHS):
        seen.page.set_viewport_size({"width": width, "height": 800})
        found += [f"{width}: {each}" for each in seen.out_of_place()]
        for look, rules in RULES.get(width, {}).items():
            if look == "forced" and not _is_new(seen, known):
                continue
            seen.page.emulate_media(**LOOKS[look])
            found += [f"{look} {width}: {each}" for each in seen.violations(rules)]
    if folder := os.environ.get("FLOWKIT_SHOTS"):
        _keep_pictures(seen, f"{folder}/{name}")
    return found


def _is_new(seen: Watched, known: set[str]) -> bool:
    """Whether these style sheets together were not yet looked at: in forced colours a page has none of its own."""
    before = len(known)
    known.add(str(seen.page.evaluate("[...document.styleSheets].map(sheet => sheet.href).join()")))
    return len(known) > before


def _keep_pictures(seen: Watched, name: str) -> None:
    for width in WIDTHS:
        seen.page.set_viewport_size({"width": width, "height": 800})
        for look, media in LOOKS.items():
            seen.page.emulate_media(**media)
            seen.page.screenshot(path=f"{name}-{look}-{width}.png", full_page=True)


def _file_name(path: str) -> str:
    return path.strip("/").replace("/", "_").replace("?", "_")[:60] or "home"
