"""Every page answers, and so does its JSON twin."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import flowkit
from tests.inspector.served import Served, serving
from tests.inspector.stories import approval

PAGES = {
    "/": "/home.json",
    "/runs": "/runs.json",
    "/runs?status=failed&workflow=checkout": "/runs.json?status=failed&workflow=checkout",
    "/runs/order-1": "/runs/order-1.json",
    "/runs/order-2": "/runs/order-2.json",
    "/runs/pack-1": "/runs/pack-1.json",
    "/runs/ship-1": "/runs/ship-1.json",
    "/runs/held-1": "/runs/held-1.json",
    "/runs/pack-1?at=30&only=failures&name=label": "/runs/pack-1.json?only=failures",
    "/runs/order-2/e/3": "/runs/order-2/e/3.json",
    "/runs/archive-1/e/1": "/runs/archive-1/e/1.json",
    "/runs/approval-1/messages": "/runs/approval-1/messages.json",
    "/runs/order-2/recover": "/runs/order-2/recover.json",
    "/runs/order-2/replay?from=charge": "/runs/order-2/replay.json",
    "/runs/order-4/cancel": "/runs/order-4/cancel.json",
    "/runs/order-4/send": "/runs/order-4/send.json",
    "/runs/order-4/pause": "/runs/order-4/pause.json",
    "/runs/order-5/resume": "/runs/order-5/resume.json",
    "/runs/ship-1?view=graph": "/runs/ship-1.json?view=graph",
    "/workflows": "/workflows.json",
    "/workflows/checkout/start?from=order-1": "/workflows/checkout/start.json",
    "/migrate": "/migrate.json",
    "/runs/order-2?view=timeline": "/runs/order-2.json?view=timeline",
    "/runs/pack-1?view=timeline&from=0&to=2000000000": "/runs/pack-1.json?view=timeline&from=nonsense",
    "/runs/order-1/code": "/runs/order-1/code.json",
    "/workflows/checkout": "/workflows/checkout.json",
    "/timers": "/timers.json",
    "/timers?workflow=checkout&after=0_0": "/timers.json?after=nonsense",
    "/messages": "/messages.json",
    "/messages?ended=1&after=1": "/messages.json?after=99999999999999999999",
    "/system": "/system.json",
    "/system?before=0_x": "/system.json?before=nonsense",
    "/help": "/help.json",
}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_answers(small: Served, path: str) -> None:
    reply = small.ask(path)

    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.text.count("<h1") == 1


@pytest.mark.parametrize("path", PAGES.values())
def test_a_twin_answers_in_json(small: Served, path: str) -> None:
    reply = small.ask(path)

    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert isinstance(reply.json(), dict)


@pytest.mark.parametrize(
    ("path", "begins"),
    [
        ("/?part=now", '<div id="now"'),
        ("/runs?part=rows&top=5", '<div id="rows"'),
        ("/runs/order-2?part=now", '<header id="now"'),
        ("/runs/order-2?part=history", '<section id="history"'),
        ("/runs/order-2?part=more", "<tr"),
        ("/runs/order-2/e/3?part=pane", '<nav class="tabs"'),
        ("/runs/order-2/recover?part=dialog", '<section class="confirm"'),
        ("/runs/approval-1/messages?part=messages", '<div id="messages"'),
        ("/migrate?part=banner", '<section id="banner"'),
        ("/runs/order-4?view=timeline&part=timeline", '<div id="timeline"'),
        ("/runs/order-4/code?part=code", '<div id="code"'),
        ("/workflows/checkout?part=now", '<div id="now"'),
        ("/timers?part=now", '<div id="now"'),
        ("/messages?part=now", '<div id="now"'),
        ("/system?part=now", '<div id="now"'),
        ("/runs/nope?part=now", '<section class="empty"'),
    ],
)
def test_a_part_is_that_part_alone(small: Served, path: str, begins: str) -> None:
    assert small.ask(path).text.lstrip().startswith(begins)


def test_a_part_that_is_current_is_not_sent_again(small: Served) -> None:
    token = small.ask("/runs/order-2.json").json()["head"]["token"]

    assert small.ask(f"/runs/order-2?part=now&as_of={token}").status == 204


def test_titles_begin_with_the_state(small: Served) -> None:
    assert "<title>exhausted · order-2 · flowkit</title>" in small.ask("/runs/order-2").text


def test_an_exhausted_run_says_where_and_why(small: Served) -> None:
    page = small.ask("/runs/order-2").text

    assert "<strong>exhausted</strong> at <code>charge</code> after 2 attempts" in page
    assert "card of order 2 was declined" in page


def test_a_held_run_says_what_does_not_fit_and_home_leads_to_it(small: Served) -> None:
    page, home = small.ask("/runs/held-1").text, small.ask("/").text

    for text in (page, home):
        assert "<strong>held by code</strong>: history has checkpoint <code>billing</code>, the code does not" in text
    assert 'action="/runs/held-1/resume"' in page
    assert "/runs/held-1/resume" not in home
    assert 'href="/runs/held-1">What to do' in home


def test_a_run_that_is_not_there_names_the_nearest(small: Served) -> None:
    reply = small.ask("/runs/order-22")

    assert reply.status == 404
    assert 'href="/runs/order-2"' in reply.text


def test_an_exact_id_goes_to_its_run(small: Served) -> None:
    reply = small.ask("/runs?q=order-1")

    assert (reply.status, reply.headers["location"]) == (303, "/runs/order-1")


def test_a_prefix_lists_what_begins_so(small: Served) -> None:
    ids = [item["id"] for item in small.ask("/runs.json?q=order-").json()["items"]]

    assert ids == ["order-6", "order-5", "order-4", "order-3", "order-2", "order-1"]


def test_an_empty_list_offers_to_drop_each_filter(small: Served) -> None:
    page = small.ask("/runs?status=running&workflow=checkout").text

    assert "/runs?workflow=checkout" in page
    assert "/runs?status=running" in page


def test_pages_go_by_keyset(small: Served) -> None:
    everything = [item["seq"] for item in small.ask("/runs.json").json()["items"]]

    rest = [item["seq"] for item in small.ask(f"/runs.json?after={everything[3]}").json()["items"]]

    assert rest == everything[4:]


def test_no_verb_is_offered_that_the_status_does_not_allow(small: Served) -> None:
    offered = {
        id: [verb["verb"] for verb in small.ask(f"/runs/{id}.json").json()["head"]["verbs"]]
        for id in ("order-1", "order-2", "order-4", "order-5")
    }

    assert offered == {
        "order-1": ["replay"],
        "order-2": ["recover", "replay"],
        "order-4": ["wake", "send", "pause", "replay", "cancel"],
        "order-5": ["resume", "send", "replay", "cancel"],
    }


def test_secrets_are_masked_until_they_are_asked_for(small: Served) -> None:
    assert "hunter2" not in small.ask("/runs/order-1").text
    assert "hunter2" in small.ask("/runs/order-1?reveal=1").text


def test_a_raw_value_is_text_to_be_saved(small: Served) -> None:
    reply = small.ask("/runs/order-1/output")

    assert reply.json()["tracking"] == "1Z-1"
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.headers["content-disposition"].startswith("attachment")
    assert reply.headers["x-content-type-options"] == "nosniff"


def test_a_large_value_is_shown_by_its_beginning(small: Served) -> None:
    reply = small.ask("/runs/archive-1/e/1")

    assert "only the beginning is shown" in reply.text
    assert len(reply.body) < 40_000


def test_static_files_stand_under_the_hash_of_their_contents(small: Served) -> None:
    replies = [small.ask(url) for url in small.app.site.statics.urls]

    assert {reply.status for reply in replies} == {200}
    assert {reply.headers["cache-control"] for reply in replies} == {"public, max-age=31536000, immutable"}


def test_the_example_stands_where_there_are_no_runs(tmp_path: Path) -> None:
    with serving(tmp_path / "empty.db") as served:
        page = served.ask("/").text

    assert "No runs yet" in page
    assert "@workflow" in page


def test_a_damaged_value_is_told_as_hex_and_takes_no_page_down(small_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "damaged.db"
    shutil.copy(small_file, copy)
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute("UPDATE run_io SET input = '{\"oh\": 1}' WHERE run = 1")
        db.execute("UPDATE entries SET output = '[1' WHERE run = 1 AND kind = 'step' AND output IS NOT NULL")
    with serving(copy) as served:
        page, entry = served.ask("/runs/order-1.json").json(), served.ask("/runs/order-1/e/2.json").json()

        assert (page["input"]["head"], page["input"]["size"]) == (b'{"oh": 1}'.hex(" "), "9 B")
        assert "checksum" in page["input"]["damage"]
        assert (entry["output"]["head"], "checksum" in entry["output"]["damage"]) == (b"[1".hex(" "), True)
        assert (served.ask("/runs/order-1").status, served.ask("/runs/order-1/input").status) == (200, 404)


def test_an_odd_address_takes_no_page_down(small: Served) -> None:
    assert small.ask("/runs/order-1/e/999").status == 404
    assert small.ask("/runs/order-1/e/99999999999999999999999").status == 404
    assert small.ask("/runs?after=99999999999999999999999&since=nonsense&status=odd").status == 200


def test_what_was_set_aside_stands_apart_for_each_replay_the_newest_first(own: Served) -> None:
    own.client.get("order-2").recover()
    own.client.get("order-2").replay("charge")
    own.client.get("order-2").replay()

    now = own.ask("/runs/order-2.json").json()["window"]
    before = [own.ask(json_of(each["href"])).json()["window"] for each in now["rewinds"]]

    assert [each["label"] for each in now["rewinds"]] == ["before replay 2", "before replay 1", "before recovery 1"]
    assert [[row["name"] for row in window["rows"]] for window in before] == [
        ["billing", "reserve"], ["charge"], ["reserve", "charge"],
    ]  # fmt: skip
    assert not now["rows"]


def test_an_archived_entry_shows_what_it_was_and_not_what_took_its_number(own: Served) -> None:
    own.client.get("order-2").recover()
    (before,) = own.ask("/runs/order-2.json").json()["window"]["rewinds"]
    reserve, charge = own.ask(json_of(before["href"])).json()["window"]["rows"]

    was, failed = own.ask(json_of(reserve["href"])).json(), own.ask(json_of(charge["href"])).json()

    assert (was["state"]["word"], was["output"]["head"]) == ("rolled_back", '"reserved 2"')
    assert (failed["state"]["word"], [each["number"] for each in failed["attempts"]]) == ("exhausted", [1, 2])
    assert own.ask(was["output"]["raw"]).json() == "reserved 2"
    assert was["replay_href"] == ""
    assert own.ask("/runs/order-2/e/2.json").json()["state"]["word"] == "pending"


def test_neighbours_of_an_archived_entry_were_set_aside_with_it(own: Served) -> None:
    own.client.get("order-2").recover()
    (before,) = own.ask("/runs/order-2.json").json()["window"]["rewinds"]
    reserve, charge = own.ask(json_of(before["href"])).json()["window"]["rows"]

    assert own.ask(json_of(reserve["href"])).json()["next_href"] == charge["href"]
    assert own.ask(json_of(charge["href"])).json()["previous_href"] == reserve["href"]
    assert own.ask(json_of(charge["href"])).json()["next_href"] == ""


def json_of(href: str) -> str:
    """The JSON twin of a page."""
    path, mark, query = href.partition("?")
    return f"{path}.json{mark}{query}"


def test_a_list_that_is_not_whole_says_partial(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    with flowkit.open(file, worker=False) as fk:
        fk.start_many([(f"o-{n}", approval, ({},)) for n in range(1_003)])
    with serving(file) as served:
        whole, cut = served.ask("/runs?q=o-100"), served.ask("/runs?q=o-")

        assert "Partial" not in whole.text
        assert "Partial: only the first 1,001 ids that begin so were looked at." in cut.text
        assert served.ask("/runs.json?q=o-").json()["partial"]
