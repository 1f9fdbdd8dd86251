"""What readers may see where errors and values are hidden: every address there is, asked of a database full of one secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

import flowkit
from flowkit.cli.serving import Posture, load_inspector
from flowkit.client.veil import HIDDEN
from tests.inspector.secrets import SECRET, Says, fill
from tests.inspector.served import SAME_ORIGIN, Served, serving

NAME = load_inspector().__name__
ROUTES = __import__(f"{NAME}.routes", fromlist=["routes"])
URLS = __import__(f"{NAME}.urls", fromlist=["encode"])

VERBS = ("recover", "replay", "cancel", "evict", "pause", "resume", "wake", "send", "fork")
RUN = (
    "part=now", "part=page", "part=history", "part=more", "reveal=1", "view=graph", "view=timeline", "view=rollback",
    "only=failed",
)  # fmt: skip
TRIES = ("", *RUN, "part=pane", "part=dialog", "part=banner", "order=oldest", "step=says", "level=info", "place=app:whole")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("veil") / "secrets.db"
    fill(path)
    return path


@pytest.fixture(scope="module")
def hiding(file: Path) -> Iterator[Served]:
    with serving(file, code=Says(), expose_errors=False, untouched=True) as served:
        yield served


@pytest.fixture(scope="module")
def showing(file: Path) -> Iterator[Served]:
    with serving(file, code=Says(), untouched=True) as served:
        yield served


def routes_of(served: Served, method: str) -> list[str]:
    """Every address of the table, its parameters still open."""
    found = [route for route in ROUTES.routes(served.app.site) if isinstance(route, Route) and method in (route.methods or ())]
    return sorted({route.path for route in found} - {"/static/{path:path}", "/events"})


def filled(served: Served, path: str) -> Iterator[str]:
    """The address for each run, entry, verb, workflow and bulk that there is."""
    rows: list[Any] = [row for name in ("{id:key}", "{name:key}") if name in path for row in served.client.runs(limit=100)]
    bulks = [bulk.seq for bulk in served.client.driver.bulks(10)]
    for run in rows or [None]:
        here = path
        if run is not None:
            here = here.replace("{id:key}", URLS.encode(run.id)).replace("{name:key}", URLS.encode(run.workflow))
        row = None if run is None else served.client.driver.get(run.id)
        entries = [] if row is None else [entry.seq for entry in served.client.driver.history(row.seq)]
        for seq in (entries if "/e/" in here else bulks) if "{seq:int}" in here else [0]:
            for verb in VERBS if "{verb:key}" in here else [""]:
                yield here.replace("{seq:int}", str(seq)).replace("{verb:key}", URLS.encode(verb))


def rewinds(served: Served) -> list[str]:
    """The addresses of what was set aside."""
    found = []
    for run in served.client.runs(limit=100):
        row = served.client.driver.get(run.id)
        assert row is not None
        for rewind in served.app.site.reader.rewinds(row.seq):
            found.append(f"/runs/{URLS.encode(run.id)}?archived={rewind.head}")
            for entry in served.app.site.reader.set_aside(row.seq, rewind.head):
                place = f"/runs/{URLS.encode(run.id)}/e/{entry.seq}"
                found += [f"{place}{field}?archived={rewind.head}" for field in ("", "/input", "/output", "/error")]
    return found


def addresses(served: Served) -> list[str]:
    plain = [place for path in routes_of(served, "GET") for place in filled(served, path)]
    return [f"{place}?{query}".rstrip("?") for place in plain for query in (TRIES if is_page(place) else ("", "reveal=1"))]


def is_page(place: str) -> bool:
    return re.fullmatch(r"/runs/[^/]+|/|/runs/[^/]+/e/\d+|/runs|.*/logs|.*/messages|/migrate", place) is not None


@pytest.mark.timeout(240)
def test_nothing_of_a_secret_is_anywhere_where_errors_are_hidden(hiding: Served) -> None:
    asked = [*addresses(hiding), *rewinds(hiding)]

    leaks = [place for place in asked if has_secret(hiding, place)]

    assert len(asked) > 1_000
    assert not leaks


def has_secret(served: Served, place: str) -> bool:
    reply = served.ask(place)
    assert reply.status < 500, place
    return SECRET.encode() in reply.body or SECRET.lower().encode() in reply.body or SECRET in str(reply.headers)


@pytest.mark.timeout(240)
def test_the_same_addresses_show_it_where_errors_are_exposed(showing: Served) -> None:
    """Else the walk would prove nothing: it comes by every kind of place in which the secret stands."""
    kinds = {path for path in routes_of(showing, "GET") if any(has_secret(showing, place) for place in filled(showing, path))}

    run, entry = "/runs/{id:key}", "/runs/{id:key}/e/{seq:int}"
    places = ("", "/input", "/output", "/error")
    assert kinds >= {
        "/", "/home.json", "/runs", "/runs.json", "/migrate", "/migrate.json", f"{run}.json", f"{run}/logs", f"{run}/logs.json",
        f"{run}/messages", f"{run}/messages.json",
        *(run + each for each in places), *(entry + each for each in places),
        *(f"{run}/export.{format}" for format in ("json", "ndjson", "py")), f"{entry}/resolve",
    }  # fmt: skip
    assert any(has_secret(showing, place) for place in rewinds(showing))


@pytest.mark.timeout(120)
def test_no_answer_to_a_form_has_it_either(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with flowkit.open(file, worker=False) as fk:
        fk.driver.token()
    copy.write_bytes(file.read_bytes())

    with serving(copy, code=Says(), expose_errors=False) as served:
        paths = [path for path in routes_of(served, "POST") if path not in ("/login", "/kill", "/theme")]
        for place in [place for path in paths for place in filled(served, path)]:
            for number, fields in enumerate(({}, {"op": "f" * 32, "reason": "why", "how": "nothing", "verb": "wake"})):
                reply = served.post(place, headers=SAME_ORIGIN, **fields)
                assert SECRET.encode() not in reply.body, (place, number)


def test_types_and_places_stay(hiding: Served) -> None:
    run = hiding.ask("/runs/fails.json").json()
    entries = {row["name"]: row for row in run["window"]["rows"]}

    assert run["head"]["failure"]["type"].endswith("StepExhausted")
    assert run["head"]["failure"]["location"] == "breaks"
    assert set(entries) >= {"says", "breaks"}
    assert "Odd" in hiding.ask("/runs/fails/e/2/error").text
    assert "held by code" in hiding.ask("/runs/held").text


def test_a_value_says_that_it_is_hidden(hiding: Served) -> None:
    assert HIDDEN in hiding.ask("/runs/whole/input").text
    assert "hidden: this inspector shows types and places only" in hiding.ask("/runs/whole").text


def test_what_is_hidden_cannot_be_searched_either(hiding: Served, showing: Served) -> None:
    hidden = [hiding.ask(f"/runs.json?q={name}:{SECRET}").json()["items"] for name in ("error", "input")]
    shown = [showing.ask(f"/runs.json?q={name}:{SECRET}").json()["items"] for name in ("error", "input")]

    assert hidden == [[], []]
    assert all(shown)


def test_a_test_cannot_be_made_of_what_is_hidden(hiding: Served) -> None:
    assert hiding.ask("/runs/whole/export.py").status == 409


def test_no_form_is_filled_in_with_what_is_hidden(hiding: Served) -> None:
    page = hiding.ask("/runs/fails/e/2/resolve").text

    assert not re.search(r"<textarea[^>]*>[^<]*hidden", page)
    assert not re.search(r'value="[^"]*hidden[^"]*"', page)


def test_the_system_page_says_what_is_shown(hiding: Served, showing: Served) -> None:
    assert "hidden: types and places only" in hiding.ask("/system").text
    assert "hidden: types and places only" not in showing.ask("/system").text


def test_by_default_errors_are_shown_to_this_machine_only() -> None:
    assert [Posture(host=host).exposes for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "10.0.0.7")] == [
        True, True, True, False, False
    ]  # fmt: skip
    assert Posture(host="0.0.0.0", expose_errors=True).exposes
    assert not Posture(expose_errors=False).exposes


def test_a_veiled_driver_cannot_write(hiding: Served) -> None:
    from flowkit.client.veil import veil

    with pytest.raises(AttributeError):
        veil(hiding.client.driver).write([], 0.0)
