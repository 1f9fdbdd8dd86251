"""Texts of users arrive as text, in every page, attribute and address; and templates have no way to do otherwise."""

from __future__ import annotations

import re
import subprocess
from html.parser import HTMLParser

import pytest

from flowkit.cli.serving import load_inspector
from tests.house.source import ROOT
from tests.inspector.served import Served
from tests.inspector.stories import HOSTILE

TEMPLATES = sorted((ROOT / "templates").glob("*.html"))
URLS = __import__(f"{load_inspector().__name__}.urls", fromlist=["encode"])
RUNS = __import__(f"{load_inspector().__name__}.present.runs", fromlist=["command_line"])
ALLOWED_SCRIPTS = {"vendor/htmx.min.js", "vendor/hx-sse.min.js", "flowkit.js"}


class Markup(HTMLParser):
    """What a browser would act on: tags with attributes, and the texts of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def pages_of(id: str) -> list[str]:
    run = f"/runs/{URLS.encode(id)}"
    return [
        run,
        f"{run}/e/1",
        f"{run}/e/2",
        f"{run}/e/1?part=pane",
        f"{run}/messages",
        f"{run}/replay",
        f"{run}/cancel",
        f"{run}?name={URLS.encode(id)}",
        f"{run}?view=timeline",
        f"{run}/code",
        f"{run}/logs",
        f"{run}/logs?step={URLS.encode(id)}&level=info",
        f"{run}/fork",
        f"{run}/fork?at=1",
    ]


@pytest.mark.parametrize("id", HOSTILE)
def test_no_text_becomes_markup(hostile: Served, id: str) -> None:
    for path in ["/", "/runs", "/workflows", "/timers", "/messages?ended=1", "/system", *pages_of(id)]:
        reply = hostile.ask(path)
        assert reply.status in (200, 409), path
        for tag, attributes in Markup(reply.text).tags:
            assert not [name for name in attributes if name.startswith("on") or name == "style"], path
            assert not any(value and "/evil" in value and name.startswith("hx-") for name, value in attributes.items()), path
            if tag == "script":
                assert str(attributes["src"]).startswith("/static/")
            if "href" in attributes:
                assert re.match(r"[/#]", attributes["href"] or ""), path


@pytest.mark.parametrize("id", HOSTILE)
def test_a_hostile_id_leads_to_its_run(hostile: Served, id: str) -> None:
    found = hostile.ask(f"/runs/{URLS.encode(id)}.json").json()

    assert found["head"]["item"]["id"] == id


def test_what_nobody_sees_is_written_out(hostile: Served) -> None:
    page = hostile.ask("/runs").text

    assert "\u202e" not in page
    assert "safe\\u202egnp.exe" in page


def test_no_page_shows_what_nobody_sees_as_it_is(hostile: Served) -> None:
    for path in [path for id in HOSTILE for path in pages_of(id)]:
        assert "\u202e" not in hostile.ask(path).text, path


@pytest.mark.parametrize("id", [*HOSTILE, "it's \\ \u202e'); rm x\u200b1"])
def test_a_command_to_copy_hides_nothing_and_a_shell_reads_it_as_meant(id: str) -> None:
    command = RUNS.command_line("shop.db", "cancel", id)

    words = subprocess.run(["bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, check=True).stdout.decode()

    assert words == f"flowkit\ncancel\n{id}\n--db\nshop.db\n"
    assert not {"\u202e", "\u200b"} & set(command)


def test_templates_in_texts_are_not_run(hostile: Served) -> None:
    assert "49" not in re.findall(r"data-row>([^<]*)<", hostile.ask("/runs").text)


def test_a_line_of_a_megabyte_is_cut() -> None:
    entry = __import__(f"{load_inspector().__name__}.present.values", fromlist=["one_line"])

    assert len(entry.one_line("x" * 1_000_000)) == 120


@pytest.mark.parametrize("text", [*HOSTILE, "a/b", "..", ".json", "~41", "%2F", "\x00", "\ud800", "日本", "-_09azAZ"])
def test_any_text_survives_its_address(text: str) -> None:
    segment = URLS.encode(text)

    assert re.fullmatch(r"[A-Za-z0-9_~-]*", segment)
    assert text == "\ud800" or URLS.decode(segment) == text


# --- the lint


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_templates_have_no_way_round_escaping(template: object) -> None:
    text = template.read_text("utf-8")  # type: ignore[attr-defined]

    for forbidden in ("|safe", "| safe", "Markup(", "hx-on", "style=", "autoescape false", "javascript:", "onclick"):
        assert forbidden not in text, forbidden
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert not re.search(r'hx-trigger="[^"]*\[', text)
    assert not re.search(r"\w+=\{\{", text), "attributes are quoted"


def test_no_code_makes_markup_by_hand() -> None:
    python = [path for path in (ROOT / "inspector").rglob("*.py") if re.search(r"Markup\b|\|\s*safe", path.read_text("utf-8"))]

    assert not python


def test_every_template_is_used() -> None:
    text = "\n".join(path.read_text("utf-8") for path in [*TEMPLATES, *(ROOT / "inspector").rglob("*.py")])

    assert not [path.name for path in TEMPLATES if f'"{path.name}"' not in text]
