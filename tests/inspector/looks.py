"""How a page looks: every width, every theme, and what is wrong with it there.

A page is loaded once and then shown at all widths in all themes: the style sheet is all that depends on them. Screenshots
go to ``$FLOWKIT_SHOTS``, if that is set.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

from tests.inspector.browser import AXE_COLOURS, AXE_RULES, Watched, watched

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["LOOKS", "NARROWEST", "WIDTHS", "inaccessible", "out_of_place", "wrong_in_all_looks"]


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


def inaccessible(browser: Browser, base: str, axe: str, paths: Iterable[str], name: str) -> list[str]:
    """What is wrong with these pages in any look, or was told to the console; `name` is that of the screenshots."""
    found: list[str] = []
    with watched(browser, base) as seen:
        for path in paths:
            seen.page.goto(base + path)
            found += [f"{path}: {each}" for each in wrong_in_all_looks(seen, axe, f"{name}-{_file_name(path)}")]
        return found + seen.errors + seen.foreign


def wrong_in_all_looks(seen: Watched, axe: str, name: str) -> list[str]:
    """What is wrong with the page as it stands."""
    seen.page.evaluate(axe)
    found: list[str] = []
    for width in (NARROWEST, *WIDTHS):
        seen.page.set_viewport_size({"width": width, "height": 800})
        for look, media in LOOKS.items():
            seen.page.emulate_media(**media)
            wrong = out_of_place(seen)
            if rules := _rules(look, width):
                wrong += seen.violations(rules)
            found += [f"{look} {width}: {each}" for each in wrong]
            if folder := os.environ.get("FLOWKIT_SHOTS"):
                seen.page.screenshot(path=f"{folder}/{name}-{look}-{width}.png", full_page=True)
    return found


def out_of_place(seen: Watched) -> list[str]:
    """What does not keep within its window or its box."""
    wide = seen.overflow()
    found = [f"{wide} px wider than the window"] if wide > 0 else []
    return found + [f"sticks out: {text}" for text in seen.sticking_out()]


def _rules(look: str, width: int) -> Sequence[str]:
    """All rules for cards and for tables in light; in the other themes only colours differ."""
    match look:
        case "light":
            return AXE_RULES if width in (WIDTHS[0], WIDTHS[-1]) else ()
        case "dark":
            return AXE_COLOURS if width in (WIDTHS[0], WIDTHS[-1]) else ()
        case _:
            return AXE_COLOURS if width == WIDTHS[-1] else ()


def _file_name(path: str) -> str:
    return path.strip("/").replace("/", "_").replace("?", "_")[:60] or "home"
