"""What a page loads: the vendored files are the published ones, colours can be told apart, and sizes stay in budget."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import re
from collections.abc import Callable

import pytest

from tests.house.source import ROOT

STATIC = ROOT / "inspector/static"
GROUPS = ("done", "active", "parked", "attention", "bad")
Colour = tuple[float, float, float]

# How linear RGB looks to the three colour-blind, after Machado, Oliveira and Fernandes (2009), severity 1.
VISIONS: dict[str, tuple[Colour, Colour, Colour]] = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}


def palette(theme: int) -> dict[str, Colour]:
    """The custom properties, linear; theme 0 is light, 1 dark."""
    css = (STATIC / "flowkit.css").read_text("utf-8")
    found = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", css)
    return {name: linear((light, dark)[theme]) for name, light, dark in found}


def linear(text: str) -> Colour:
    parts = [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return red, green, blue


def luminance(colour: Colour) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]


def contrast(one: Colour, other: Colour) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def seen(colour: Colour, vision: str) -> Colour:
    red, green, blue = (
        min(1.0, max(0.0, sum(weight * part for weight, part in zip(row, colour, strict=True)))) for row in VISIONS[vision]
    )
    return red, green, blue


def lab(colour: Colour) -> Colour:
    x = (0.4124564 * colour[0] + 0.3575761 * colour[1] + 0.1804375 * colour[2]) / 0.95047
    y = 0.2126729 * colour[0] + 0.7151522 * colour[1] + 0.0721750 * colour[2]
    z = (0.0193339 * colour[0] + 0.1191920 * colour[1] + 0.9503041 * colour[2]) / 1.08883
    curve: Callable[[float], float] = lambda part: part ** (1 / 3) if part > 0.008856 else 7.787 * part + 16 / 116  # noqa: E731
    return 116 * curve(y) - 16, 500 * (curve(x) - curve(y)), 200 * (curve(y) - curve(z))


def distance(one: Colour, other: Colour) -> float:
    return sum((a - b) ** 2 for a, b in zip(lab(one), lab(other), strict=True)) ** 0.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_groups_can_be_read_on_both_surfaces(theme: int) -> None:
    colours = palette(theme)

    least = min(contrast(colours[group], colours[surface]) for group in GROUPS for surface in ("surface", "raised"))

    assert least >= 4.6


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_texts_and_borders_have_their_contrast(theme: int) -> None:
    colours = palette(theme)

    assert min(contrast(colours["text"], colours[on]) for on in ("surface", "raised", "hover", "mark", "tint")) >= 7
    assert min(contrast(colours["muted"], colours[on]) for on in ("surface", "raised", "hover", "mark", "tint")) >= 4.5
    assert min(contrast(colours["border"], colours[on]) for on in ("surface", "raised")) >= 3
    assert contrast(colours["on-accent"], colours["active"]) >= 4.5


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize(("theme", "least"), [(0, 19), (1, 24)], ids=["light", "dark"])
def test_groups_can_be_told_apart(theme: int, least: float, vision: str) -> None:
    colours = palette(theme)

    pairs = itertools.combinations((seen(colours[group], vision) for group in GROUPS), 2)

    assert min(distance(one, other) for one, other in pairs) >= least


def test_the_vendored_files_are_the_published_ones() -> None:
    table = (STATIC / "vendor/VENDORED.md").read_text("utf-8")
    sums = dict(re.findall(r"^\| `([^`]+)` \|.*`([0-9a-f]{64})`", table, re.MULTILINE))

    held = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (STATIC / "vendor").iterdir()
        if path.name != "VENDORED.md"
    }

    assert held == sums


@pytest.mark.parametrize(
    ("pattern", "raw", "packed"), [("**/*.js", 52_000, 19_000), ("flowkit.css", 20_000, 6_000), ("icons.svg", 6_000, 2_000)]
)
def test_what_a_page_loads_stays_small(pattern: str, raw: int, packed: int) -> None:
    bodies = [path.read_bytes() for path in STATIC.glob(pattern)]

    assert sum(map(len, bodies)) <= raw
    assert sum(len(gzip.compress(body, 9)) for body in bodies) <= packed


def test_style_sheets_of_single_pages_stay_smaller() -> None:
    sheets = {path.name: len(path.read_bytes()) for path in STATIC.glob("*.css") if path.name != "flowkit.css"}

    assert {name: size for name, size in sheets.items() if size > 6_000} == {}


def test_our_own_script_stays_small() -> None:
    assert (STATIC / "flowkit.js").stat().st_size <= 6_144


def test_every_icon_that_is_used_is_in_the_sprite() -> None:
    sprite = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text("utf-8")))
    templates = "\n".join(path.read_text("utf-8") for path in (ROOT / "templates").glob("*.html"))
    states = (ROOT / "inspector/present/states.py").read_text("utf-8")
    used = set(re.findall(r'icon\("([a-z-]+)"', templates)) | set(re.findall(r'State\("([a-z-]+)"', states))

    assert used <= sprite
